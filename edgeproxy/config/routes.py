"""The section `routes`: which requests go where, and how their responses are cached.

Knows no upstream's settings. Each key's default, unit and sentence stand here and nowhere else.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from edgeproxy.config.affinity import Canary, Sticky
from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import (
    BlankIsUnset,
    Count,
    Duration,
    Flag,
    HeaderName,
    HeaderValue,
    MaybeDuration,
    MaybeSize,
    MaybeText,
    OneOrMany,
    Rate,
    Share,
    Size,
    refuse,
)
from edgeproxy.config.patterns import (
    Editable,
    HostPattern,
    Method,
    PathPattern,
    PathPrefix,
    QueryGlob,
    RedirectTo,
)
from edgeproxy.config.scalars import Trap, as_plain, show

HeaderNames = Annotated[tuple[HeaderName, ...], Field(strict=False)]


class Match(Settings):
    """Which requests a route takes: all that is given must match, on the normalised path."""

    host: Annotated[tuple[HostPattern, ...], Field(strict=False), OneOrMany] = Field(
        default=(), description="Host names without port; *.shop.example is every name below it. Empty: any."
    )
    path: Annotated[tuple[PathPattern, ...], Field(strict=False), OneOrMany] = Field(
        default=("/*",), min_length=1, description="Paths; /account/* is /account and all below it."
    )
    methods: Annotated[tuple[Method, ...], Field(strict=False), OneOrMany] = Field(
        default=(), description="Methods in capitals. Empty: any."
    )


def _redirect(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


class Redirect(Settings):
    """An answer made here that sends the client elsewhere; a plain URL is one with 308."""

    to: RedirectTo = Field(
        description="URL or path; a * at its end stands for what the match's * took. The query is kept.",
        examples=["https://www.shop.example/*"],
    )
    status: Literal[301, 302, 303, 307, 308] = Field(default=308, description="301, 302, 303, 307 or 308.")


class HeaderEdits(Settings):
    """Field edits: first `remove`, then `set`."""

    set: dict[Annotated[HeaderName, Editable], HeaderValue] = Field(
        default={},
        description="Name: value; replaces all lines of that name.",
        json_schema_extra={"secret": "fields"},
    )
    remove: Annotated[tuple[Annotated[HeaderName, Editable], ...], Field(strict=False)] = Field(
        default=(), description="Names of fields to take away."
    )


class KeyQuery(Settings):
    """Which parameters of the query are part of the cache key."""

    only: Annotated[tuple[QueryGlob, ...], Field(strict=False)] | None = Field(
        default=None, description="Only these parameters; * stands for any text. Not set: all."
    )
    ignore: Annotated[tuple[QueryGlob, ...], Field(strict=False)] = Field(
        default=(), description="All but these parameters, as utm_*."
    )
    sort: Flag = Field(default=False, description="The parameters' order makes no difference.")


class Key(Settings):
    """What tells stored responses apart."""

    query: KeyQuery = Field(default=KeyQuery(), description="Which parameters of the query count.")
    headers: HeaderNames = Field(
        default=(), description="Request fields that count, as parts of the variant."
    )
    cookies: Annotated[tuple[HeaderName, ...], Field(strict=False)] = Field(
        default=(), description="Cookies that count, as parts of the variant."
    )


def _accepted(value: str) -> str:
    if not value or not all(" " < character <= "~" and character not in ',;"' for character in value):
        refuse(f'"{value}" is no accepted value', "write a plain token, as br or en-GB")
    return value


Accepted = Annotated[tuple[Annotated[str, AfterValidator(_accepted)], ...], Field(strict=False)]


class Vary(Settings):
    """How fields named by Vary are compared."""

    normalize: dict[HeaderName, Annotated[Accepted, Field(min_length=1)]] = Field(
        default={},
        description="Field: values told apart, as {accept-encoding: [br, gzip], accept-language: [en, de]}.",
    )


def _switch(value: object) -> object:
    """A section of which `true` stands for the defaults."""
    value = as_plain(value)
    if isinstance(value, Trap) and value.reading == "a boolean":
        refuse(f"{value.text} is neither true nor false", "write true or false")
    return ({} if value else None) if isinstance(value, bool) else value


class Adaptive(Settings):
    """Freshness lifetimes learnt from how often validation found a response changed."""

    min: Duration = Field(default=10.0, gt=0, description="The lifetime to begin with, and the shortest.")
    max: Duration = Field(default=3600.0, gt=0, description="The longest lifetime that is learnt.")

    @model_validator(mode="after")
    def _in_order(self) -> "Adaptive":
        if self.min > self.max:
            refuse("`min` is longer than `max`", "write the shorter one as `min`")
        return self


def _beta(value: object) -> object:
    """`true` and `false` stand for 1 and 0."""
    value = as_plain(value)
    if isinstance(value, Trap | str):
        refuse(f"{show(value)} is no number", "write true, false, or a factor as 1 or 2.5")
    return float(value) if isinstance(value, bool | int) else value


Beta = Annotated[
    float,
    BeforeValidator(_beta),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 100}]}),
]
RequestDirective = Literal["max-age", "min-fresh", "max-stale", "no-cache", "no-store", "only-if-cached"]


class RouteCache(Settings):
    """How this route's responses are cached."""

    enabled: Flag = Field(default=True, description="Off: nothing is stored or answered from a store.")
    override_ttl: MaybeDuration = Field(
        default=None,
        ge=0,
        description="Freshness lifetime instead of the origin's; what forbids storing still does.",
    )
    default_ttl: MaybeDuration = Field(
        default=None, ge=0, description="Freshness lifetime where the origin says nothing of it."
    )
    negative_ttl: MaybeDuration = Field(
        default=None, ge=0, description="The same for the errors 404, 410, 451, 500, 502, 503 and 504."
    )
    stale_while_revalidate: MaybeDuration = Field(
        default=None,
        ge=0,
        description="Served stale so long while it is validated. Not set: as the origin allows.",
    )
    stale_if_error: MaybeDuration = Field(
        default=None,
        ge=0,
        description="Served stale so long when the origin fails. Not set: 1h, and only when out of reach.",
    )
    stale_if_slow: MaybeDuration = Field(
        default=None,
        gt=0,
        description="Served stale, within either window, when the origin takes longer than this; the fetch "
        "goes on. Not set: off.",
    )
    backoff: Duration = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="After a failed validation stale is served at once for so long, twice that after each "
        "further one, up to ten times; then one request tries in the background. 0s: off.",
    )
    early_revalidation: Beta = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Popular responses are revalidated in the background shortly before they expire; more "
        "than 1: earlier, 0: off.",
    )
    jitter: Share = Field(default=0.0, ge=0, le=1, description="Lifetimes are shortened by up to this share.")
    heuristic: Flag = Field(
        default=True, description="A tenth of the age since Last-Modified where nothing else is said."
    )
    adaptive: Annotated[Adaptive | None, BeforeValidator(_switch)] = Field(
        default=None, description="Where nobody says a lifetime: learnt from validations. Not set: off."
    )
    max_object_size: Size = Field(
        default=16 * 2**20, ge=0, description="Larger responses pass without being stored."
    )
    max_variants: Count = Field(default=64, ge=1, le=10_000, description="Stored variants of one key.")
    allow_set_cookie: Flag = Field(
        default=False, description="Store responses that set cookies too, for everybody."
    )
    vary: Vary = Field(default=Vary(), description="How fields named by Vary are compared.")
    key: Key = Field(default=Key(), description="What tells stored responses apart.")
    targeted: HeaderNames = Field(
        default=("CDN-Cache-Control",),
        description="Fields that come before Cache-Control (RFC 9213), in order.",
    )
    tag_headers: HeaderNames = Field(
        default=("Surrogate-Key", "Cache-Tag", "Cache-Groups"),
        description="Response fields that carry tags; all but Cache-Groups are taken away towards clients.",
    )
    no_vary_search: Flag = Field(
        default=True,
        description="Honour No-Vary-Search: queries that the origin calls equal share a response.",
    )
    request_directives: Annotated[tuple[RequestDirective, ...], Field(strict=False)] = Field(
        default=("max-age", "min-fresh", "max-stale", "no-cache", "no-store", "only-if-cached"),
        description="Cache-Control directives of requests that count; the others are as good as absent.",
    )
    forced_refreshes: Rate = Field(
        default=100.0,
        ge=0,
        description="So often may requests' no-cache, max-age and min-fresh send a fresh response's "
        "request to the origin (the whole node, this route); beyond, it is served from the store.",
    )
    collapse: Flag = Field(default=True, description="Requests for the same response wait for one fetch.")
    collapse_timeout: Duration = Field(
        default=10.0, gt=0, description="How long they wait before they fetch themselves."
    )


class Esi(Settings):
    """Edge Side Includes: pages put together of fragments, each cached by its own policy."""

    max_depth: Count = Field(default=3, ge=1, le=10, description="Fragments within fragments.")
    max_includes: Count = Field(default=64, ge=1, le=1000, description="Fragments of one page, in all.")


MediaType = Annotated[str, Field(pattern=r"^[a-z0-9.+-]+/(\*|[a-z0-9.+-]+)$")]


class Route(Settings):
    """One rule; the first that matches a request takes it."""

    name: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="In metrics, log and explain.",
        examples=["pages"],
    )
    match: Match = Field(default=Match(), description="Which requests it takes. Not set: all.")
    upstream: MaybeText = Field(default=None, description="Name of an upstream; or else `redirect`.")
    redirect: Annotated[Redirect | None, BeforeValidator(_redirect)] = Field(
        default=None,
        description="An answer made here that sends the client elsewhere, instead of `upstream`.",
    )
    strip_prefix: Annotated[PathPrefix | None, BlankIsUnset] = Field(
        default=None, description="Taken off the path before it goes to the origin."
    )
    rewrite: Annotated[PathPattern | None, BlankIsUnset] = Field(
        default=None, description="Path for the origin; a * at its end stands for what the match's * took."
    )
    request_headers: HeaderEdits = Field(default=HeaderEdits(), description="Edits on the way to the origin.")
    response_headers: HeaderEdits = Field(
        default=HeaderEdits(), description="Edits on the way to the client."
    )
    max_body_size: MaybeSize = Field(
        default=None, description="Of a request's body. Not set: the server's limit."
    )
    slice: MaybeSize = Field(
        default=None,
        ge=4096,
        description="Fetch and store large responses in aligned pieces of this size. Not set: whole.",
    )
    compress: Annotated[tuple[Literal["zstd", "br", "gzip"], ...], Field(strict=False)] = Field(
        default=(), description="Content codings for what the origin sends uncompressed, by preference."
    )
    compress_types: Annotated[tuple[MediaType, ...], Field(strict=False)] = Field(
        default=(
            "text/*",
            "application/json",
            "application/javascript",
            "application/xml",
            "application/wasm",
            "application/manifest+json",
            "application/ld+json",
            "application/rss+xml",
            "application/atom+xml",
            "image/svg+xml",
        ),
        description="Media types that are compressed.",
    )
    compress_min_size: Size = Field(default=1024, ge=0, description="Smaller bodies are not compressed.")
    esi: Annotated[Esi | None, BeforeValidator(_switch)] = Field(
        default=None, description="Process Edge Side Includes in its pages; `true` for the defaults."
    )
    early_hints: Flag = Field(
        default=False, description="Send a stored response's Link ahead, as 103, while the origin is asked."
    )
    sticky: Sticky | None = Field(
        default=None, description="Clients stay with an origin, by a cookie. Not set: off."
    )
    canary: Canary | None = Field(
        default=None, description="Some clients are served by another upstream. Not set: off."
    )
    cache: RouteCache = Field(default=RouteCache(), description="How its responses are cached.")
