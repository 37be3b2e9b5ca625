"""What some setups need beside the servers: a certificate, a redis-server, many open files."""

import contextlib
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.cases import Setup
from tests.benchmarks.measure import LOAD_CORE, Void
from tests.redis_server import RedisServer, find_redis_server

FILES = 13_000  # open files of one process, for 10,000 connections


def missing(setup: Setup) -> str | None:
    """Why a setup cannot be had on this machine, and how to get it; None: it can."""
    if setup is Setup.TLS and shutil.which("openssl") is None:
        try:
            import trustme  # noqa: F401
        except ImportError:
            return "no certificate without openssl: apt install openssl"
    if setup is Setup.REDIS:
        try:
            find_redis_server()
        except RuntimeError:
            return "no redis-server on PATH: apt install redis-server"
    if setup is Setup.CROWD and not raise_files():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return f"{FILES:,} open files are not allowed (the hard limit is {hard:,}): raise it by ulimit -Hn"
    return None


def raise_files() -> bool:
    """Allow this process, and all that it starts, `FILES` open files; False where that is forbidden."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and soft < FILES:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, max(hard, FILES)))
        except (ValueError, OSError):
            return False
    return True


def certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost, made by openssl or trustme: cert, key, both .pem."""
    folder.mkdir(exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    if shutil.which("openssl"):
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(cert)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if made.returncode:
            raise Void(f"openssl made no certificate: {made.stderr.strip()[-500:]}")
    else:
        import trustme

        issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
    (folder / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    return folder


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """The URL of an empty redis-server, on the core of the load: its time is not the proxy's."""
    with RedisServer() as server:
        os.sched_setaffinity(server.pid, {LOAD_CORE})
        yield server.url


def machine() -> str:
    """The processor, its cores that may be used, and what else it does: for the record."""
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "?")
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, load {os.getloadavg()[0]:.1f}, CPython {platform.python_version()}"
