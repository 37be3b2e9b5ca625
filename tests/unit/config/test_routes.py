"""A route's keys for slices, compression, ESI, early hints and freshness: what they take, and what not."""

from collections.abc import Iterator

import pytest

from edgeproxy.config.messages import _PATTERNS
from edgeproxy.config.model import Config
from edgeproxy.config.routes import Adaptive, Esi, Route, RouteCache
from tests.unit.config.test_fields import ROUTE, said
from tests.unit.config.yaml_texts import lines, loaded, refused

VARIABLES = {"E": "", "T": "true", "RATE": "7/m", "SIZE": "1MiB", "BAD": "hush"}
RATE_WRITTEN = "not a rate, write a number and a unit, as 100/s or 30/m"
MEDIA = "has characters that do not belong there, write a media type in small letters, as text/html or text/*"


def route(text: str) -> Route:
    return loaded("", rest=ROUTE.format(text), **VARIABLES).routes[0]


def cache(text: str) -> RouteCache:
    return route(f"cache: {{{text}}}").cache


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slice: 4095B", 'slice: "4095B" is too small, write 4KiB or more'),
        ("slice: 0", "slice: 0B is too small, write 4KiB or more"),
        ("slice: none", 'slice: "none" is too small, write 4KiB or more'),
        ("slice: 1", "slice: 1: no unit, write 1B for bytes (units: B KiB MiB GiB TiB)"),
        ("slice: 1MB", "slice: \"1MB\": 'MB' is no unit of size, write 1MiB"),
        ("slice: -1", "slice: -1 is negative, write a positive value, as 64KiB"),
        ("slice: [1MiB]", "slice: a list is no quantity, write one value, as 64KiB"),
        ("slice: '${BAD}'", "slice: ${BAD}: not a size, write a number and a unit, as 64KiB, 256MiB or 2GiB"),
        ("compress: gzip", 'compress: "gzip" is no list, write [ONE, TWO], or lines that begin with -'),
        ("compress: true", "compress: true is no list, write [ONE, TWO], or lines that begin with -"),
        ("compress: [deflate]", 'compress[0]: "deflate" is not known here, write zstd or br or gzip'),
        ("compress: [br, gz]", 'compress[1]: "gz" is not known here, did you mean gzip?'),
        ("compress_types: html", 'compress_types: "html" is no list, write [ONE, TWO], or lines that'),
        ("compress_types: ['*/*']", f'compress_types[0]: "*/*" {MEDIA}'),
        ("compress_types: [Text/HTML]", f'compress_types[0]: "Text/HTML" {MEDIA}'),
        ("compress_types: [text]", f'compress_types[0]: "text" {MEDIA}'),
        ("compress_types: ['a/b; c=d']", f'compress_types[0]: "a/b; c=d" {MEDIA}'),
        ("compress_types: ['text/html\n']", "compress_types[0]: "),
        ("compress_min_size: 10", "compress_min_size: 10: no unit, write 10B for bytes"),
        ("compress_min_size: none", 'compress_min_size: "none": not a size, write a number and a unit'),
        ("esi: yes", "esi: yes is neither true nor false, write true or false"),
        ("esi: 5", "esi: 5 stands where keys belong, write some of max_depth, max_includes below it"),
        ("esi: [a]", "esi: a list stands where keys belong, write some of max_depth, max_includes below it"),
        ("esi: {depth: 2}", "esi.depth: unknown key, did you mean max_depth?"),
        ("esi: {max_depth: 0}", "esi.max_depth: 0 is too small, write 1 or more"),
        ("esi: {max_depth: 11}", "esi.max_depth: 11 is too large, write 10 or less"),
        ("esi: {max_includes: 0}", "esi.max_includes: 0 is too small, write 1 or more"),
        ("esi: {max_includes: 1001}", "esi.max_includes: 1001 is too large, write 1000 or less"),
        ("early_hints: yes", "early_hints: yes is neither true nor false, write true or false"),
        ("early_hints: 1", "early_hints: 1 is neither true nor false, write true or false"),
        ("early_hint: true", "early_hint: unknown key, did you mean early_hints?"),
        ("adaptive: {min: 1s}", "adaptive: unknown key, it belongs in routes[].cache"),
    ],
)
def test_keys_of_a_route_that_are_refused(text: str, message: str) -> None:
    found = said(lines(refused("", rest=ROUTE.format(text), **VARIABLES)))
    assert any(line.startswith(f"routes[0].{message}") for line in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adaptive: on", "adaptive: on is neither true nor false, write true or false"),
        ("stale_if_slow: 300", "stale_if_slow: 300: no unit, write 300s for seconds"),
        ("stale_if_slow: 0s", 'stale_if_slow: "0s" is too small, write more than 0s'),
        ("backoff: soon", 'backoff: "soon": not a duration'),
        ("early_revalidation: yes", "early_revalidation: yes is no number, write true, false, or a factor"),
        ("early_revalidation: much", 'early_revalidation: "much" is no number, write true, false, or a'),
        ("early_revalidation: -1", "early_revalidation: -1.0 is too small, write 0.0 or more"),
        ("adaptive: {mim: 5s}", "adaptive.mim: unknown key, did you mean min?"),
        ("adaptive: {min: 0}", "adaptive.min: 0s is too small, write more than 0s"),
        ("adaptive: {max: 0s}", "adaptive.max: 0s is too small, write more than 0s"),
        ("adaptive: {min: 5}", "adaptive.min: 5: no unit, write 5s for seconds (units: ms s m h d)"),
        ("adaptive: {min: 2h}", "adaptive: `min` is longer than `max`, write the shorter one as `min`"),
        ("adaptive: {max: 9s}", "adaptive: `min` is longer than `max`, write the shorter one as `min`"),
        ("request_directives: no-cache", 'request_directives: "no-cache" is no list, write [ONE, TWO]'),
        ("request_directives: none", 'request_directives: "none" is no list, write [ONE, TWO]'),
        ("request_directives: [nocache]", 'request_directives[0]: "nocache" is not known here, did you mean'),
        ("request_directives: [No-Cache]", 'request_directives[0]: "No-Cache" is not known here, did you'),
        ("forced_refreshes: 0", f"forced_refreshes: 0: {RATE_WRITTEN}"),
        ("forced_refreshes: 100", f"forced_refreshes: 100: {RATE_WRITTEN}"),
        ("forced_refreshes: 22:22", f'forced_refreshes: "22:22": {RATE_WRITTEN}'),
        ("forced_refreshes: /s", f'forced_refreshes: "/s": {RATE_WRITTEN}'),
        ("forced_refreshes: -1/s", f'forced_refreshes: "-1/s": {RATE_WRITTEN}'),
        ("forced_refreshes: '${BAD}'", f"forced_refreshes: ${{BAD}}: {RATE_WRITTEN}"),
        ("forced_refreshes: '${E}'", "forced_refreshes: has no value, write one, or remove the key"),
        ("forced_refreshes: ", "forced_refreshes: has no value, write one, or remove the key"),
        ("forced_refreshes: 5/d", "forced_refreshes: \"5/d\": 'd' is no unit of a rate, write /s, /m or /h"),
        ("forced_refreshes: true", "forced_refreshes: true is a boolean, write one value, as 100/s"),
        ("forced_refreshes: [1/s]", "forced_refreshes: a list is no quantity, write one value, as 100/s"),
        ("no_vary_search: no", "no_vary_search: no is neither true nor false, write true or false"),
        ("heuristic: off", "heuristic: off is neither true nor false, write true or false"),
    ],
)
def test_keys_of_its_cache_that_are_refused(text: str, message: str) -> None:
    found = said(lines(refused("", rest=ROUTE.format(f"cache: {{{text}}}"), **VARIABLES)))
    assert any(line.startswith(f"routes[0].cache.{message}") for line in found), found
    assert "hush" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "size"),
    [("slice: 4KiB", 4096), ("slice: 1MiB", 2**20), ("slice: '${SIZE}'", 2**20), ("slice: '${E}'", None)],
)
def test_the_size_of_slices(text: str, size: int | None) -> None:
    assert route(text).slice == size


@pytest.mark.parametrize(
    ("text", "esi"),
    [
        ("esi: true", Esi()),
        ("esi: '${T}'", Esi()),
        ("esi: false", None),
        ("esi: null", None),
        ("esi: {}", Esi()),
        ("esi: {max_depth: 10, max_includes: 1000}", Esi(max_depth=10, max_includes=1000)),
    ],
)
def test_esi_is_on_off_or_has_bounds(text: str, esi: Esi | None) -> None:
    assert route(text).esi == esi


def test_what_is_compressed() -> None:
    assert route("compress: [gzip, zstd]").compress == ("gzip", "zstd")
    assert route("compress_types: ['text/*', application/ld+json]").compress_types == (
        "text/*",
        "application/ld+json",
    )
    assert route("compress_min_size: 0").compress_min_size == 0


@pytest.mark.parametrize(
    ("text", "adaptive"),
    [
        ("adaptive: {}", Adaptive(min=10, max=3600)),
        ("adaptive: {min: 5s, max: 5s}", Adaptive(min=5, max=5)),
        ("adaptive: {max: 1d}", Adaptive(min=10, max=86400)),
        ("adaptive: null", None),
    ],
)
def test_learnt_lifetimes_have_bounds(text: str, adaptive: Adaptive | None) -> None:
    assert cache(text).adaptive == adaptive


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", 100.0),
        ("30/m", 0.5),
        ("9/h", 0.0025),
        ("0/s", 0.0),
        ("1.5/s", 1.5),
        ("'200 / s'", 200.0),
        ("'${RATE}'", 7 / 60),
    ],
)
def test_forced_refreshes_have_a_rate(text: str, rate: float) -> None:
    assert cache(f"forced_refreshes: {text}").forced_refreshes == rate


def test_a_rate_is_shown_as_people_write_it() -> None:
    shown = cache("forced_refreshes: 31/m").model_dump(context={"human": True})["forced_refreshes"]
    assert shown == "31/m"


@pytest.mark.parametrize(("text", "names"), [("[]", ()), ("[no-cache, max-age]", ("no-cache", "max-age"))])
def test_request_directives_that_count(text: str, names: tuple[str, ...]) -> None:
    assert cache(f"request_directives: {text}").request_directives == names


def test_what_holds_where_nothing_is_written() -> None:
    plain = route("early_hints: false")
    assert (plain.slice, plain.compress, plain.compress_min_size, plain.esi) == (None, (), 1024, None)
    assert (plain.cache.adaptive, plain.cache.forced_refreshes) == (None, 100.0)
    assert (plain.cache.heuristic, plain.cache.no_vary_search) == (True, True)
    assert len(plain.cache.request_directives) == 6


def patterns(schema: object) -> Iterator[str]:
    """The patterns that strings are held to, anywhere in a core schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "str" and isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, (list, tuple)):
        for value in schema:
            yield from patterns(value)


def test_each_pattern_has_words_for_people() -> None:
    found = set(patterns(Config.__pydantic_core_schema__))
    assert found
    assert found <= set(_PATTERNS)


@pytest.mark.parametrize(
    ("text", "beta"), [("true", 1.0), ("false", 0.0), ("2", 2.0), ("0.5", 0.5), ('"${T}"', 1.0)]
)
def test_early_revalidation_is_a_switch_or_a_factor(text: str, beta: float) -> None:
    assert cache(f"early_revalidation: {text}").early_revalidation == beta
