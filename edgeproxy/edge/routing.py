"""Which route a request takes, and what that route does to it.

Must not know connections, tiers or origins. The first route that matches wins.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from edgeproxy.caching.compression import negotiated
from edgeproxy.caching.key import cache_key
from edgeproxy.caching.on_request import REFRESHING
from edgeproxy.caching.policy import CachePolicy, KeyPolicy
from edgeproxy.config.model import Config, Esi, HeaderEdits
from edgeproxy.config.model import Route as RouteSettings
from edgeproxy.edge.affinity import Canary, Hashed, Sticky, with_affinity
from edgeproxy.errors import BadRequest
from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.target import Target, normalise_path

KEPT_TAGS = frozenset((b"cache-groups",))
"""Tag headers that clients see: caches there understand them (RFC 9875). All others are stripped."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Field edits: `drop` (lower-case names) first, then `add`."""

    drop: frozenset[bytes] = frozenset()
    add: tuple[RawField, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.drop or self.add)

    def apply(self, fields: Fields) -> Fields:
        """The edited fields."""
        return fields.without(self.drop).plus(*self.add) if self else fields


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path, or with `below` also everything below it; `prefix` has no `/` at its end then."""

    prefix: bytes
    below: bool

    def matches(self, path: bytes) -> bool:
        """Whether the normalised path is this one or below it."""
        if not self.below:
            return path == self.prefix
        return path.startswith(self.prefix) and (
            len(path) == len(self.prefix) or path[len(self.prefix)] == 0x2F or path == b"*"
        )

    def rest(self, path: bytes) -> bytes:
        """What the star took, without the slash before it."""
        return path[len(self.prefix) + 1 :] if self.below else b""


@dataclass(frozen=True, slots=True)
class Route:
    """A route, ready to be matched and followed; durations in seconds, sizes in bytes."""

    name: str
    hosts: frozenset[bytes]
    suffixes: tuple[bytes, ...]
    paths: tuple[PathPattern, ...]
    methods: frozenset[bytes]
    upstream: str | None
    policy: CachePolicy
    unforced: CachePolicy  # for those beyond `forced_refreshes`: they cannot ask past what is fresh
    collapse: bool = True
    collapse_timeout: float = 10.0
    stale_if_slow: float | None = None
    backoff: float = 0.0  # the first wait after a failed validation
    early: float = 0.0  # beta of `caching.early`
    max_body_size: int | None = None
    redirect_to: bytes | None = None
    redirect_status: int = 308
    strip_prefix: bytes = b""
    rewrite: bytes | None = None
    request_edits: Edits = Edits()
    response_edits: Edits = Edits()
    forced_refreshes: float = 100.0  # a second, of the whole node
    early_hints: bool = False
    esi: Esi | None = None
    hashed: Hashed | None = None
    sticky: Sticky | None = None
    canary: Canary | None = None
    plain: bool = False  # nothing on the way is changed, or chosen by more than the URI

    def matches(self, target: Target, method: bytes) -> PathPattern | None:
        """The path pattern that takes the request, or None."""
        if self.methods and method not in self.methods:
            return None
        if self.hosts or self.suffixes:
            host = target.host
            if host not in self.hosts and not host.endswith(self.suffixes or (b"\0",)):
                return None
        path = target.path
        for pattern in self.paths:
            if pattern.matches(path):
                return pattern
        return None

    def origin_target(self, target: Target) -> bytes:
        """The origin-form for the origin, after `strip_prefix` and `rewrite`; `*` stays as it is."""
        path = target.path
        if path == b"*":
            return path
        if self.strip_prefix and PathPattern(self.strip_prefix, True).matches(path):
            path = path[len(self.strip_prefix) :] or b"/"
        if self.rewrite is not None:
            path = self._starred(self.rewrite, target)
        elif not self.strip_prefix:
            return target.origin_form
        return path if target.query is None else path + b"?" + target.query

    def redirect(self, target: Target) -> bytes | None:
        """Where the client is sent, or None where this route goes to an upstream."""
        if self.redirect_to is None:
            return None
        to = self._starred(self.redirect_to, target)
        return to if target.query is None else to + (b"&" if b"?" in to else b"?") + target.query

    def _starred(self, template: bytes, target: Target) -> bytes:
        if not template.endswith(b"*"):
            return template
        pattern = next((pattern for pattern in self.paths if pattern.matches(target.path)), None)
        return template[:-1] + (pattern.rest(target.path) if pattern is not None else b"")


class Router:
    """All routes of a configuration, in order."""

    def __init__(self, config: Config) -> None:
        show = config.server.cache_status
        paced = {name for name, upstream in config.upstreams.items() if upstream.admission is not None}
        self.routes = tuple(
            with_affinity(
                compile_route(route, config.server.name, show.key, show.detail, paced),
                route,
                config.upstreams,
            )
            for route in config.routes
        )

    def __repr__(self) -> str:
        return f"<Router {[route.name for route in self.routes]}>"

    def match(self, target: Target, method: bytes) -> Route | None:
        """The first route that takes the request, or None."""
        for route in self.routes:
            if route.matches(target, method) is not None:
                return route
        return None

    def key_of(self, target: Target) -> bytes:
        """The cache key of that URI as a GET would be routed, for purges by URL and invalidation."""
        route = self.match(target, b"GET")
        return cache_key(target, route.policy.key if route is not None else KeyPolicy())


def compile_route(
    settings: RouteSettings,
    name: str,
    show_key: bool,
    show_detail: bool,
    paced: Collection[str] = (),
) -> Route:
    """A route of the configuration, ready to use; `paced` are the upstreams that refetches wait for."""
    match = settings.match
    cache = settings.cache
    hosts = frozenset(host.encode() for host in match.host if not host.startswith("*."))
    suffixes = tuple(host[1:].encode() for host in match.host if host.startswith("*."))
    edits = _edits(settings.response_headers)
    stripped = {name.lower().encode() for name in cache.tag_headers} - KEPT_TAGS
    redirect = settings.redirect
    policy = compile_policy(settings, name, show_key, show_detail)
    return Route(
        name=settings.name,
        hosts=hosts,
        suffixes=suffixes,
        paths=tuple(_path(path) for path in match.path),
        methods=frozenset(method.encode() for method in match.methods),
        upstream=settings.upstream,
        policy=policy,
        collapse=cache.collapse,
        collapse_timeout=cache.collapse_timeout,
        stale_if_slow=cache.stale_if_slow,
        backoff=cache.backoff,
        early=cache.early_revalidation,
        max_body_size=settings.max_body_size,
        redirect_to=redirect.to.encode() if redirect is not None else None,
        redirect_status=redirect.status if redirect is not None else 308,
        strip_prefix=_normal(settings.strip_prefix or "/").rstrip(b"/"),
        rewrite=settings.rewrite.encode() if settings.rewrite is not None else None,
        request_edits=_edits(settings.request_headers),
        response_edits=Edits(edits.drop | stripped, edits.add),
        forced_refreshes=cache.forced_refreshes,
        unforced=replace(policy, request_directives=policy.request_directives - REFRESHING),
        early_hints=settings.early_hints,
        esi=settings.esi,
        plain=_plain(settings, policy) and not (policy.enabled and settings.upstream in paced),
    )


def _plain(settings: RouteSettings, policy: CachePolicy) -> bool:
    """Whether requests go to the origin, and answers to the client, as they come."""
    edits = settings.request_headers
    changes = (settings.redirect, settings.esi, settings.slice, settings.compress, edits.set, edits.remove)
    return not any(changes) and not policy.vary_normalize and b"surrogate-control" not in policy.targeted


def compile_policy(settings: RouteSettings, name: str, show_key: bool, show_detail: bool) -> CachePolicy:
    """A route's cache settings as the pure functions want them."""
    cache = settings.cache
    adaptive = cache.adaptive
    query = cache.key.query
    compress = tuple(coding.encode() for coding in settings.compress)
    return CachePolicy(
        enabled=cache.enabled,
        name=name,
        override_ttl=cache.override_ttl,
        default_ttl=cache.default_ttl,
        negative_ttl=cache.negative_ttl,
        stale_while_revalidate=cache.stale_while_revalidate,
        stale_if_error=cache.stale_if_error,
        jitter=cache.jitter,
        max_object_size=cache.max_object_size,
        allow_set_cookie=cache.allow_set_cookie,
        targeted=_lower(cache.targeted),
        tag_headers=_lower(cache.tag_headers),
        key=KeyPolicy(
            query_only=None if query.only is None else tuple(glob.encode() for glob in query.only),
            query_ignore=tuple(glob.encode() for glob in query.ignore),
            query_sort=query.sort,
            headers=_lower(cache.key.headers),
            cookies=tuple(cookie.encode() for cookie in cache.key.cookies),
        ),
        vary_normalize=negotiated(
            tuple(
                (field.lower().encode(), tuple(value.encode() for value in values))
                for field, values in cache.vary.normalize.items()
            ),
            compress,
        ),
        max_variants=cache.max_variants,
        heuristic=cache.heuristic,
        adaptive=None if adaptive is None else (adaptive.min, adaptive.max),
        no_vary_search=cache.no_vary_search,
        request_directives=frozenset(_lower(cache.request_directives)),
        compress=compress,
        compress_types=tuple(media.encode() for media in settings.compress_types),
        compress_min_size=settings.compress_min_size,
        slice_size=settings.slice or 0,
        esi=settings.esi is not None,
        show_key=show_key,
        show_detail=show_detail,
    )


def _path(path: str) -> PathPattern:
    if path.endswith("/*"):
        return PathPattern(_normal(path[:-1])[:-1], True)
    return PathPattern(_normal(path), False)


def _normal(path: str) -> bytes:
    """The path as requests have it; one that no request can have stays as it is, and matches none."""
    try:
        return normalise_path(path.encode())
    except BadRequest:
        return path.encode()


def _edits(edits: HeaderEdits) -> Edits:
    drop = frozenset(_lower(tuple(edits.remove))) | frozenset(_lower(tuple(edits.set)))
    return Edits(drop, tuple((name.encode(), value.encode("latin-1")) for name, value in edits.set.items()))


def _lower(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(name.lower().encode() for name in names)
