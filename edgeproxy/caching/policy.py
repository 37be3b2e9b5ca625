"""What the operator decided about caching on a route, as plain values."""

from dataclasses import dataclass

from edgeproxy.caching.directives import REQUEST_DIRECTIVES


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """How the cache key is made of the URI, and what of the request joins the variant."""

    query_only: tuple[bytes, ...] | None = None  # globs; None: all
    query_ignore: tuple[bytes, ...] = ()  # globs
    query_sort: bool = False
    headers: tuple[bytes, ...] = ()  # lower-case field names
    cookies: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """A route's cache settings; durations in seconds, sizes in bytes, None where not set."""

    enabled: bool = True
    name: str = "edgeproxy"
    override_ttl: float | None = None
    default_ttl: float | None = None
    negative_ttl: float | None = None
    stale_while_revalidate: float | None = None  # None: only where the origin allows it
    stale_if_error: float | None = None  # None: not set by the operator
    stale_if_disconnected: float = 3600.0  # `stale_if_error`'s default where the origin is out of reach
    jitter: float = 0.0  # share of the lifetime, only ever shortens
    max_object_size: int = 16 * 1024 * 1024
    allow_set_cookie: bool = False
    targeted: tuple[bytes, ...] = (b"cdn-cache-control",)
    tag_headers: tuple[bytes, ...] = (b"surrogate-key", b"cache-tag", b"cache-groups")
    key: KeyPolicy = KeyPolicy()
    vary_normalize: tuple[
        tuple[bytes, tuple[bytes, ...]], ...
    ] = ()  # field -> accepted values, by preference
    max_variants: int = 64
    heuristic: bool = True
    adaptive: tuple[float, float] | None = None  # shortest and longest learnt lifetime
    no_vary_search: bool = True
    request_directives: frozenset[bytes] = REQUEST_DIRECTIVES
    compress: tuple[bytes, ...] = ()  # content codings, by preference
    compress_types: tuple[bytes, ...] = ()  # `text/*` is every subtype
    compress_min_size: int = 1024
    slice_size: int = 0  # 0: whole
    esi: bool = False
    show_key: bool = False
    show_detail: bool = False
