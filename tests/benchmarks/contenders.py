"""The servers that are measured: how each is configured and started, one worker, logs off."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Contender:
    """A server: the program that must be on PATH, and how to build its command line.

    `command(folder, port, origin)` writes what configuration it needs into `folder`.
    """

    name: str
    program: str
    package: str
    command: Callable[[Path, int, int], list[str]]
    caches: bool = True


def _edgeproxy(folder: Path, port: int, origin: int) -> list[str]:
    config = folder / "edgeproxy.yaml"
    config.write_text(f"""\
version: 1
server: {{listen: ["127.0.0.1:{port}"], workers: 1}}
admin: {{listen: "127.0.0.1:{port + 1}"}}
cache: {{memory: {{max_size: 256MiB}}}}
upstreams: {{bench: {{origins: [{{url: "http://127.0.0.1:{origin}"}}]}}}}
routes: [{{name: all, match: {{path: /*}}, upstream: bench}}]
""")
    return [sys.executable, "-m", "edgeproxy", "run", "--config", str(config)]


def _nginx(folder: Path, port: int, origin: int) -> list[str]:
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"""\
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  open_file_cache max=10000 inactive=10m; open_file_cache_valid 10m;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=c:64m max_size=256m use_temp_path=off;
  upstream bench {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c;
    }}
  }}
}}
""")
    return ["nginx", "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", str(config)]


def _haproxy(folder: Path, port: int, origin: int) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(f"""\
global
  nbthread 1
  maxconn 4096
cache c
  total-max-size 256
  max-object-size 200000
  max-age 3600
defaults
  mode http
  timeout client 30s
  timeout connect 5s
  timeout server 30s
  http-reuse always
listen bench
  bind 127.0.0.1:{port} backlog 1024
  http-request cache-use c
  http-response cache-store c
  server origin 127.0.0.1:{origin}
""")
    return ["haproxy", "-db", "-f", str(config)]


def _varnish(folder: Path, port: int, origin: int) -> list[str]:
    config = folder / "bench.vcl"
    # Its built-in rules pass every request with a cookie; the others here do not.
    config.write_text(f"""\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{ unset req.http.Cookie; }}
""")
    command = ["varnishd", "-F", "-j", "none", "-n", f"{folder}/varnish", "-a", f"127.0.0.1:{port}"]
    return [*command, "-f", str(config), "-s", "malloc,256m", "-p", "thread_pools=1"]


def _floor(folder: Path, port: int, origin: int) -> list[str]:
    program = folder / "floor"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return [str(program), str(port)]


CONTENDERS = (
    Contender("edgeproxy", sys.executable, "edgeproxy", _edgeproxy),
    Contender("nginx", "nginx", "nginx-light", _nginx),
    Contender("haproxy", "haproxy", "haproxy", _haproxy),
    Contender("varnish", "varnishd", "varnish", _varnish),
    Contender("floor (bare C loop)", "gcc", "gcc", _floor, caches=False),
)


def present(contender: Contender) -> bool:
    """Whether its program is on PATH; /usr/sbin, where Debian puts servers, counts too."""
    return shutil.which(contender.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None
