"""Where an origin is: its URL taken apart.

Must not resolve names or open anything.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Location:
    """An origin's place.

    `key` is HOST:PORT (or `unix:/path`), its name in metrics and the admin API; `authority` is the
    Host it is asked for by its own name; `prefix` goes before each path, without a final slash.
    """

    scheme: str
    host: str
    port: int
    path: str | None
    prefix: bytes

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def key(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{self._literal}:{self.port}"

    @property
    def authority(self) -> bytes:
        if self.path is not None:
            return b"localhost"
        if self.port == DEFAULT_PORTS[self.scheme]:
            return self._literal.encode("ascii")
        return self.key.encode("ascii")

    @property
    def _literal(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_location(url: str) -> Location:
    """Take an origin's URL apart. Raises ValueError with a sentence for the operator."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"{url!r}: a unix socket is written unix:/path/to/socket")
        return Location("http", "", 0, path, b"")
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"{url!r}: an origin's URL begins with http://, https:// or unix:/")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{url!r}: an origin's URL has no user, query or fragment")
    host = parts.hostname
    if not host:
        raise ValueError(f"{url!r}: an origin's URL names a host")
    try:
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
        prefix = parts.path.rstrip("/").encode("ascii")
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{url!r}: {error}") from error
    return Location(parts.scheme, ascii_host, port, None, prefix)
