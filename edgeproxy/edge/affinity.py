"""Where a client's requests go: what is hashed, which origin it stays with, which upstream it gets.

Must not know who is up. None of it applies to stored responses: `sticky` and `canary` are for routes
without a cache, where an answer is one client's own. With a cache, a hit could not tell whom it is
for without a look at the client, and an answer of the canary would be everybody's.
"""

import hashlib
import hmac
import random
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeproxy.caching.vary import cookie
from edgeproxy.config import model
from edgeproxy.edge.ports import Client, Downstream
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.heads import RequestHead

if TYPE_CHECKING:
    from edgeproxy.edge.routing import Route

_SHARED = (b"public", b"s-maxage")


class Hashed:
    """What consistent hashing goes by instead of the URL: a field or a cookie."""

    __slots__ = ("_cookie", "_header")

    def __init__(self, header: str | None, cookie: str | None) -> None:
        self._header = header.lower().encode() if header else None
        self._cookie = cookie.encode() if cookie else None

    def __repr__(self) -> str:
        return f"<Hashed {self._header!r} {self._cookie!r}>"

    def of(self, head: RequestHead) -> bytes | None:
        """Its value in a request; None without one, or with an empty one."""
        if self._header is not None:
            return head.fields.get(self._header) or None
        return (self._cookie is not None and cookie(head.fields, self._cookie)) or None


class Sticky:
    """The cookie that keeps a client with its origin; its value is an HMAC of the origin's name."""

    __slots__ = ("_keys", "_lines", "_name")

    def __init__(self, settings: model.Sticky, upstream: str, origins: tuple[model.Origin, ...]) -> None:
        self._name = settings.cookie.encode()
        tokens = {origin.key: _token(settings.secret, upstream, origin.key) for origin in origins}
        self._keys = {token: key for key, token in tokens.items()}
        self._lines = {
            key: b"%s=%s; Path=/; HttpOnly; SameSite=Lax" % (self._name, token)
            for key, token in tokens.items()
        }

    def __repr__(self) -> str:
        return f"<Sticky {self._name!r} {len(self._keys)} origins>"

    def prefers(self, head: RequestHead) -> str | None:
        """The origin (HOST:PORT) that the client was with; None for a new one, or a cookie not ours."""
        token = cookie(head.fields, self._name)
        return None if token is None else self._keys.get(token)

    def lines(self, out: Downstream, origin: str, fields: Fields) -> tuple[RawField, ...]:
        """What the answer of that origin needs, so that the client stays with it.

        Nothing where it is known already, and where caches on the way would hand it to others.
        """
        line = self._lines.get(origin)
        if line is None or self.prefers(out.head) == origin:
            return ()
        told = b",".join(fields.get_all(b"cache-control")).lower()
        if any(word in told for word in _SHARED):
            return ()
        return ((b"Set-Cookie", line + b"; Secure" if out.client.scheme == b"https" else line),)


def _token(secret: str, upstream: str, key: str) -> bytes:
    digest = hmac.new(secret.encode(), f"{upstream}\0{key}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest[:18])


class Canary:
    """Another upstream for a share of the clients: `route` is the route as they get it."""

    __slots__ = ("_draw", "_random", "_stable", "_weight", "route")

    def __init__(
        self,
        settings: model.Canary,
        stable: "Route",
        route: "Route",
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.route = route
        self._stable = stable.sticky
        self._weight = settings.weight
        self._random = settings.by == "random"
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Canary {self.route.upstream} {self._weight}>"

    def takes(self, head: RequestHead, client: Client) -> bool:
        """Whether this request is one for the canary: a client that has a cookie stays where it is."""
        if not self._weight:
            return False
        if self._random and self._stable is not None and self.route.sticky is not None:
            if self.route.sticky.prefers(head) is not None:
                return True
            if self._stable.prefers(head) is not None:
                return False
        return (self._draw() if self._random else _place(self.route.name, client)) < self._weight


def _place(route: str, client: Client) -> float:
    """Where a client stands between 0 and 1, always the same; another on another route."""
    chain = client.forwarded_for
    who = client.address if chain is None else chain.partition(b",")[0].strip()
    digest = hashlib.blake2b(who, digest_size=8, key=route.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / 2**64


def with_affinity(route: "Route", settings: model.Route, upstreams: Mapping[str, model.Upstream]) -> "Route":
    """The route with what its settings and its upstream's say of where requests go."""
    stable = _for(route, settings, upstreams, route.upstream)
    canary = None if route.policy.enabled else settings.canary  # the configuration is refused before that
    if canary is None:
        return stable
    other = _for(replace(route, upstream=canary.upstream), settings, upstreams, canary.upstream)
    return replace(stable, canary=Canary(canary, stable, other), plain=False)


def _for(
    route: "Route", settings: model.Route, upstreams: Mapping[str, model.Upstream], name: str | None
) -> "Route":
    upstream = upstreams.get(name or "")
    if upstream is None:
        return route
    by = upstream.hash
    hashed = Hashed(by.header, by.cookie) if by.header or by.cookie else None
    sticky = None if route.policy.enabled else settings.sticky
    made = None if sticky is None else Sticky(sticky, name or "", upstream.origins)
    plain = route.plain and hashed is None and made is None
    return replace(route, hashed=hashed, sticky=made, plain=plain)
