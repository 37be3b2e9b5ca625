"""An origin's URL taken apart: http, https, or a unix socket.

Knows no connection and no name resolution.
"""

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from edgeproxy.config.addresses import join_address
from edgeproxy.config.kinds import refuse
from edgeproxy.config.scalars import show

_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "write http://HOST:PORT, https://HOST:PORT or unix:/run/app.sock"
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[?[0-9a-f:.]+\]?")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")


@dataclass(frozen=True, slots=True)
class OriginParts:
    """`host` is without brackets; `path` is the prefix without a slash at its end; `socket` a unix path."""

    scheme: str
    host: str
    port: int
    path: str = ""
    socket: str | None = None

    @property
    def key(self) -> str:
        """HOST:PORT, or unix:/PATH."""
        return f"unix:{self.socket}" if self.socket else join_address(self.host, self.port)

    @property
    def authority(self) -> str:
        """What Host says of this origin: without the scheme's default port."""
        if self.socket:
            return "localhost"
        address = join_address(self.host, self.port)
        return address.removesuffix(f":{_PORTS[self.scheme]}")


def split_origin(url: str) -> OriginParts:
    """The parts of a URL that a model has accepted."""
    if url.startswith("unix:"):
        return OriginParts("http", "localhost", 80, socket=url.removeprefix("unix:"))
    parts = urlsplit(url)
    assert parts.hostname
    return OriginParts(
        parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/")
    )


def _origin_url(value: str) -> str:
    if value.startswith("unix:"):
        path = "/" + value.removeprefix("unix:").lstrip("/")
        if not value.startswith("unix:/") or len(path) < 2 or len(path) > 100 or not path.isprintable():
            refuse(f"{show(value)} is no unix socket", "write unix:/run/app.sock, at most 100 characters")
        return f"unix:{path}"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        refuse(f"{show(value)} is no URL", _EXAMPLE)
    if "@" in parts.netloc:
        refuse("credentials in an origin's URL", "set Authorization in the route's request_headers")
    if parts.scheme not in _PORTS or not value.lower().startswith(("http://", "https://")):
        refuse(f"{show(value)} is no URL of an origin", _EXAMPLE)
    if not parts.hostname or port == 0 or not _HOST.fullmatch(parts.hostname):
        refuse(f"{show(value)} has no valid host and port", _EXAMPLE)
    if parts.query or parts.fragment or "?" in value or "#" in value:
        refuse(f"{show(value)} has a query or a fragment", "leave it out")
    if not _PATH.fullmatch(parts.path) or "//" in parts.path or re.search(r"/\.\.?(/|$)", parts.path):
        refuse(f"{show(value)} has a path that is not normalised", "write it without //, . and ..")
    return value


OriginUrl = Annotated[str, AfterValidator(_origin_url)]
