"""The servers that are measured: how each is configured and started, one worker.

Each is given what its own handbook gives for speed: nginx buffers its log, HAProxy writes its log to
a file by way of standard output (it has no log file of its own), varnishncsa is a process of its own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cases import Setup

HERE = Path(__file__).parent
ROOM = 12_000  # connections that a server takes where there are to be 10,000


@dataclass(frozen=True, slots=True)
class Site:
    """What one server is started with; it may write what it needs into `folder`.

    `certificate` is a folder with cert.pem, key.pem and both.pem, for `Setup.TLS`; `redis` a URL.
    """

    folder: Path
    port: int
    origin: int
    setup: Setup = Setup.PLAIN
    certificate: Path | None = None
    redis: str = ""

    @property
    def log(self) -> Path:
        """Where its access log goes, for `Setup.LOG`."""
        return self.folder / "access.log"

    @property
    def output(self) -> Path:
        """Where what it prints goes."""
        return self.folder / "output.log"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server: the program that must be on PATH, and how to build its command line.

    `beside` is a second process that belongs to it. `lacks` are the setups that it is left out of.
    """

    name: str
    program: str
    package: str
    command: Callable[[Site], list[str]]
    caches: bool = True
    beside: Callable[[Site], list[str] | None] = lambda site: None
    lacks: tuple[Setup, ...] = (Setup.REDIS, Setup.DISK)
    log: Callable[[Site], Path] = lambda site: site.log
    has_metrics: bool = False  # in Prometheus' text format, at the port behind its own


def _edgeproxy(site: Site) -> list[str]:
    config = site.folder / "edgeproxy.yaml"
    listen = f'"127.0.0.1:{site.port}"'
    if site.certificate:
        tls = f'{{certificate: "{site.certificate}/cert.pem", key: "{site.certificate}/key.pem"}}'
        listen = f"{{address: {listen}, tls: {tls}}}"
    log = f'log: {{access: "{site.log}"}}' if site.setup is Setup.LOG else ""
    limits = f", limits: {{max_connections: {ROOM}}}" if site.setup is Setup.CROWD else ""
    tiers = "memory: {max_size: 256MiB}"
    if site.redis:
        # The least that is allowed: nearly all has to come from Redis. No short timeout, which would
        # make a slow answer of Redis a request to the origin.
        tiers = f'memory: {{max_size: 1MiB}}, redis: {{url: "{site.redis}", timeout: 2s}}'
    if site.setup is Setup.DISK:
        tiers = f'memory: {{max_size: 1MiB}}, disk: {{path: "{site.folder}/disk", max_size: 256MiB}}'
    config.write_text(f"""\
version: 1
server: {{listen: [{listen}], workers: 1{limits}}}
admin: {{listen: "127.0.0.1:{site.port + 1}"}}
{log}
cache: {{{tiers}}}
upstreams: {{bench: {{origins: [{{url: "http://127.0.0.1:{site.origin}"}}]}}}}
routes: [{{name: all, match: {{path: /*}}, upstream: bench}}]
""")
    return [sys.executable, "-m", "edgeproxy", "run", "--config", str(config)]


def _nginx(site: Site) -> list[str]:
    folder = site.folder
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    crowd = site.setup is Setup.CROWD
    log = f"{site.log} combined buffer=32k flush=1s" if site.setup is Setup.LOG else "off"
    tls, listen = "", f"127.0.0.1:{site.port} backlog=1024"
    if site.certificate:
        listen += " ssl"
        tls = f"ssl_certificate {site.certificate}/cert.pem; ssl_certificate_key {site.certificate}/key.pem;"
    config.write_text(f"""\
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
{f"worker_rlimit_nofile {ROOM + 500};" if crowd else ""}
events {{ worker_connections {ROOM if crowd else 4096}; }}
http {{
  access_log {log}; sendfile on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  open_file_cache max=10000 inactive=10m; open_file_cache_valid 10m;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=c:64m max_size=256m use_temp_path=off;
  upstream bench {{ server 127.0.0.1:{site.origin}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {listen}; {tls}
    location / {{
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c;
    }}
  }}
}}
""")
    return ["nginx", "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", str(config)]


def _haproxy(site: Site) -> list[str]:
    config = site.folder / "haproxy.cfg"
    crowd = site.setup is Setup.CROWD
    tls = f" ssl crt {site.certificate}/both.pem" if site.certificate else ""
    logs = site.setup is Setup.LOG
    # Its 304 tells the Content-Length of the 200, as RFC 9110 §8.6 allows, and wrk waits for that content.
    unchanged = "http-after-response del-header Content-Length if { status 304 }"
    # It wants two open files a connection, for a server's side too; a hit needs but one.
    config.write_text(f"""\
global
  nbthread 1
  maxconn {ROOM if crowd else 4096}
  {"no strict-limits" if crowd else ""}
  {"log stdout format raw local0" if logs else ""}
cache c
  total-max-size 256
  max-object-size 200000
  max-age 3600
defaults
  mode http
  timeout client 60s
  timeout connect 5s
  timeout server 30s
  http-reuse always
  {"log global" if logs else ""}
  {"option httplog" if logs else ""}
listen bench
  bind 127.0.0.1:{site.port} backlog 1024{tls}
  {f"maxconn {ROOM}" if crowd else ""}
  http-request cache-use c
  http-response cache-store c
  {unchanged if site.setup is Setup.UNCHANGED else ""}
  server origin 127.0.0.1:{site.origin}
""")
    return ["haproxy", "-db", "-f", str(config)]


def _varnish(site: Site) -> list[str]:
    config = site.folder / "bench.vcl"
    # Its built-in rules pass every request with a cookie; the others here do not.
    config.write_text(f"""\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{site.origin}"; }}
sub vcl_recv {{ unset req.http.Cookie; }}
""")
    command = ["varnishd", "-F", "-j", "none", "-n", f"{site.folder}/varnish", "-a", f"127.0.0.1:{site.port}"]
    # An idle connection lives for 5 s by default, here for as long as with the others.
    idle = ["-p", "timeout_idle=75"] if site.setup is Setup.CROWD else []
    # varnishncsa loses lines where the ring that it reads, 80 MiB by default, is written faster.
    ring = ["-p", "vsl_space=512M"] if site.setup is Setup.LOG else []
    return [*command, "-f", str(config), "-s", "malloc,256m", "-p", "thread_pools=1", *idle, *ring]


def _varnishncsa(site: Site) -> list[str] | None:
    if site.setup is not Setup.LOG:
        return None
    return ["varnishncsa", "-n", f"{site.folder}/varnish", "-a", "-w", str(site.log)]


def _floor(site: Site) -> list[str]:
    program = site.folder / "floor"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return [str(program), str(site.port)]


CONTENDERS = (
    Contender("edgeproxy", sys.executable, "edgeproxy", _edgeproxy, lacks=(), has_metrics=True),
    Contender("nginx", "nginx", "nginx-light", _nginx, lacks=(Setup.REDIS,)),
    Contender("haproxy", "haproxy", "haproxy", _haproxy, log=lambda site: site.output),
    Contender(
        "varnish",
        "varnishd",
        "varnish",
        _varnish,
        beside=_varnishncsa,
        lacks=(Setup.REDIS, Setup.DISK, Setup.TLS),
    ),
    Contender(
        "floor (bare C loop)",
        "gcc",
        "gcc",
        _floor,
        caches=False,
        lacks=tuple(setup for setup in Setup if setup is not Setup.PLAIN),
    ),
)


def present(contender: Contender) -> bool:
    """Whether its program is on PATH; /usr/sbin, where Debian puts servers, counts too."""
    return shutil.which(contender.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None
