"""Request targets, normalised once: the same bytes for routing, cache key and origin.

Must not know routes or keys. RFC 9112 §3.2, RFC 3986 §6.2.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A normalised target URI.

    `authority` is lower-case host, with its port unless it is the scheme's default;
    `query` is None where there is no `?`, and empty for a bare `?`.
    """

    scheme: bytes
    authority: bytes
    path: bytes
    query: bytes | None = None

    @property
    def origin_form(self) -> bytes:
        """Path and query, as sent in a request line to an origin."""
        return self.path if self.query is None else self.path + b"?" + self.query

    @property
    def uri(self) -> bytes:
        """The whole URI, canonical."""
        return self.scheme + b"://" + self.authority + self.origin_form

    @property
    def host(self) -> bytes:
        """The host alone, an IPv6 literal with its brackets."""
        if self.authority.startswith(b"["):
            return self.authority[: self.authority.index(b"]") + 1]
        return self.authority.partition(b":")[0]
