"""The section `routes`: which requests go where, and how their responses are cached.

Knows no upstream's settings. Each key's default, unit and sentence stand here and nowhere else.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

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
    jitter: Share = Field(default=0.0, ge=0, le=1, description="Lifetimes are shortened by up to this share.")
    heuristic: Flag = Field(
        default=True, description="A tenth of the age since Last-Modified where nothing else is said."
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
    collapse: Flag = Field(default=True, description="Requests for the same response wait for one fetch.")
    collapse_timeout: Duration = Field(
        default=10.0, gt=0, description="How long they wait before they fetch themselves."
    )


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
    cache: RouteCache = Field(default=RouteCache(), description="How its responses are cached.")
