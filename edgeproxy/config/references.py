"""What no field can know by itself: names that must exist, things that must agree.

Works on the raw tree, so that it tells its mistakes even where fields failed; it takes any shape.
Knows neither places in the file nor the models' types.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from edgeproxy.config.addresses import AddressError, clash, is_loopback, split_address
from edgeproxy.config.mistakes import Finding, Path, nearest
from edgeproxy.config.scalars import as_plain, show
from edgeproxy.config.units import UnitError, parse_duration

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_ADMIN = "127.0.0.1:9900"


def check_references(raw: dict[str, Any]) -> list[Finding]:
    """Every mistake between the parts of a configuration."""
    return [finding for rule in _RULES for finding in rule(raw)]


# --- a tolerant look at the raw tree ------------------------------------------------


def section(raw: object, *path: str) -> dict[str, Any]:
    """The mapping at a path, or an empty one."""
    for step in path:
        raw = raw.get(step) if isinstance(raw, dict) else None
    return raw if isinstance(raw, dict) else {}


def items(raw: object) -> list[tuple[int, Any]]:
    """A list's items with their index; a scalar is a list of one; anything else an empty one."""
    if isinstance(raw, (list, tuple)):
        return list(enumerate(raw))
    return [(0, raw)] if isinstance(raw, str) else []


def text(value: object) -> str | None:
    """A string, or None."""
    return value if isinstance(value, str) else None


def routes(raw: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each route that is a mapping."""
    for index, route in items(raw.get("routes")):
        if isinstance(route, dict):
            yield ("routes", index), route


def upstreams(raw: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each upstream that is a mapping."""
    for name, upstream in section(raw, "upstreams").items():
        if isinstance(upstream, dict):
            yield ("upstreams", name), upstream


# --- routes -------------------------------------------------------------------------


def _targets(raw: dict[str, Any]) -> Iterator[Finding]:
    known = section(raw, "upstreams")
    for path, route in routes(raw):
        upstream, redirect = route.get("upstream"), route.get("redirect")
        if upstream in (None, "") and redirect is None:
            yield Finding(path, "neither upstream nor redirect", "add upstream: NAME")
        elif upstream is not None and redirect is not None:
            yield Finding((*path, "redirect"), "both upstream and redirect", "keep one")
        elif isinstance(upstream, str) and upstream not in known:
            near = nearest(upstream, known)
            names = ", ".join(known) or "none"
            instead = f"did you mean {near}?" if near else f"the upstreams here are: {names}"
            yield Finding((*path, "upstream"), f"no upstream is named {show(upstream)}", instead)


def _only_without_a_cache(raw: dict[str, Any]) -> Iterator[Finding]:
    known = section(raw, "upstreams")
    for path, route in routes(raw):
        cached = as_plain(section(route, "cache").get("enabled", True)) is not False
        for key in ("sticky", "canary"):
            if isinstance(route.get(key), dict) and cached:
                what = "is one client's own, and this route has a cache"
                yield Finding((*path, key), what, "add cache: {enabled: false}, or remove it")
        name = text(section(route, "canary").get("upstream"))
        if name and name not in known:
            near = nearest(name, known)
            instead = f"did you mean {near}?" if near else f"the upstreams here are: {', '.join(known)}"
            yield Finding((*path, "canary", "upstream"), f"no upstream is named {show(name)}", instead)


def _route_names(raw: dict[str, Any]) -> Iterator[Finding]:
    first: dict[str, Path] = {}
    for path, route in routes(raw):
        name = text(route.get("name"))
        if name in first:
            yield Finding((*path, "name"), f"routes[{first[name][1]}] has the same name", "choose another")
        elif name:
            first[name] = path


def _rewrites(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, route in routes(raw):
        paths = [value for _, value in items(section(route, "match").get("path", "/*"))]
        starred = all(isinstance(value, str) and value.endswith("/*") for value in paths)
        rewrite, strip = text(route.get("rewrite")), text(route.get("strip_prefix"))
        redirect = route.get("redirect")
        to = text(redirect.get("to") if isinstance(redirect, dict) else redirect)
        if rewrite and strip:
            yield Finding((*path, "rewrite"), "both strip_prefix and rewrite", "keep one")
        for key, value in (("rewrite", rewrite), ("redirect", to)):
            if value and value.endswith("*") and not starred:
                yield Finding((*path, key), "its * stands for nothing", "end the match's path in /* too")
        if strip:
            for value in paths:
                if isinstance(value, str) and not _below(value.removesuffix("*"), strip):
                    yield Finding(
                        (*path, "strip_prefix"),
                        f"{show(strip)} does not begin the path {show(value)}",
                        "write a part of the match's path",
                    )


def _below(path: str, prefix: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{prefix.rstrip('/')}/")


def _query_keys(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, route in routes(raw):
        query = section(route, "cache", "key", "query")
        if query.get("only") is not None and query.get("ignore"):
            yield Finding((*path, "cache", "key", "query", "ignore"), "both only and ignore", "keep one")


# --- upstreams ----------------------------------------------------------------------


def _origins(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, upstream in upstreams(raw):
        origins = [(i, o if isinstance(o, dict) else {"url": o}) for i, o in items(upstream.get("origins"))]
        first: dict[str, int] = {}
        for index, origin in origins:
            url = (text(origin.get("url")) or "").rstrip("/")
            if url in first:
                place = (*path, "origins", index) if isinstance(upstream.get("origins"), list) else path
                yield Finding((*place, "url"), f"the same as origins[{first[url]}]", "give one a weight")
            elif url:
                first[url] = index
        if origins and all(origin.get("weight", 1) == 0 for _, origin in origins):
            yield Finding((*path, "origins"), "all weights are 0", "give one origin a weight of 1")


def _hashes(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, upstream in upstreams(raw):
        by = section(upstream, "hash")
        named = next((key for key in ("header", "cookie") if by.get(key)), None)
        if named and as_plain(upstream.get("balance")) != "consistent_hash":
            what = "means nothing without consistent hashing"
            yield Finding((*path, "hash", named), what, "write balance: consistent_hash, or remove it")
        if by.get("header") and by.get("cookie"):
            yield Finding((*path, "hash", "cookie"), "both header and cookie", "keep one")


def _client_certificates(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, upstream in upstreams(raw):
        tls = section(upstream, "tls")
        for key, other in (("certificate", "key"), ("key", "certificate")):
            if tls.get(key) and not tls.get(other):
                yield Finding((*path, "tls", key), f"a {key} without a {other}", f"add {other}")


def _checks(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, upstream in upstreams(raw):
        if upstream.get("resolver") and any(
            str(origin.get("url") if isinstance(origin, dict) else origin).startswith("unix:")
            for _, origin in items(upstream.get("origins"))
        ):
            yield Finding((*path, "resolver"), "a unix socket needs no DNS", "remove resolver")


def _tries(raw: dict[str, Any]) -> Iterator[Finding]:
    for path, upstream in upstreams(raw):
        retries, concurrency = section(upstream, "retries"), section(upstream, "concurrency")
        one, all_of_them = _seconds(retries.get("per_try_timeout")), _seconds(retries.get("total_timeout"))
        if one is not None and all_of_them is not None and one > all_of_them:
            what = "is longer than total_timeout"
            yield Finding((*path, "retries", "per_try_timeout"), what, "write less, or more there")
        if upstream.get("hedge") is not None and retries.get("budget") in ("0%", "0 %"):
            what = "takes from retries.budget, which is 0%"
            yield Finding((*path, "hedge"), what, "give retries a budget, or remove it")
        ejection = section(upstream, "ejection")
        first, longest = _seconds(ejection.get("for", "10s")), _seconds(ejection.get("max_for"))
        if first is not None and longest is not None and longest < first:
            what = "is shorter than for"
            yield Finding((*path, "ejection", "max_for"), what, "write more, or less there")
        yield from _bounds(path, concurrency, as_plain(upstream.get("max_connections", 256)))


def _bounds(path: Path, concurrency: dict[str, Any], connections: object) -> Iterator[Finding]:
    least, most = as_plain(concurrency.get("min", 4)), as_plain(concurrency.get("max"))
    if isinstance(most, int) and isinstance(connections, int) and most > connections:
        what = f"is more than max_connections, {connections}"
        yield Finding((*path, "concurrency", "max"), what, f"write at most {connections}, or more there")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        where = "min" if "min" in concurrency else "max"
        what = f"min is {least}, and max {most}"
        yield Finding((*path, "concurrency", where), what, "write a min that is no more than max")


def _seconds(value: object) -> float | None:
    """A duration; None where its own field tells what is wrong, or it is not set."""
    try:
        return parse_duration(value.strip()) if isinstance(value, str) else None
    except UnitError:
        return None


# --- listeners ------------------------------------------------------------------------


def _listeners(raw: dict[str, Any]) -> Iterator[Finding]:
    places: list[tuple[Path, str]] = []
    listen = section(raw, "server").get("listen")
    listed = isinstance(listen, (list, tuple))
    listen = DEFAULT_LISTEN if listen is None else listen
    entries = [(0, listen)] if isinstance(listen, dict) else items(listen)
    for index, entry in entries:
        address = text(entry.get("address") if isinstance(entry, dict) else entry)
        place: Path = ("server", "listen", index) if listed else ("server", "listen")
        if address:
            places.append((place, address))
    admin = section(raw, "admin").get("listen")
    places.append((("admin", "listen"), text(DEFAULT_ADMIN if admin is None else admin) or ""))
    for (place, one), (later, other) in combinations(places, 2):
        try:
            clashes = clash(one, other)
        except AddressError:
            continue
        if clashes:
            where = ".".join(str(step) for step in place[:2])
            yield Finding(later, f"{other} clashes with {one} of {where}", "choose another port")


def _admin_token(raw: dict[str, Any]) -> Iterator[Finding]:
    admin = section(raw, "admin")
    listen = text(admin.get("listen")) or DEFAULT_ADMIN
    try:
        host, _ = split_address(listen)
    except AddressError:
        return
    if not admin.get("token") and not is_loopback(host):
        yield Finding(
            ("admin", "token"),
            f"empty, but {listen} is no loopback address",
            "set a token, or listen on 127.0.0.1",
        )


def _redis_prefix(raw: dict[str, Any]) -> Iterator[Finding]:
    redis = section(raw, "cache", "redis")
    prefix = text(redis.get("key_prefix")) or ""
    if "+cluster:" in (text(redis.get("url")) or "") and ("{" in prefix or "}" in prefix):
        yield Finding(
            ("cache", "redis", "key_prefix"),
            "has braces, by which a cluster would put all keys on one node",
            "leave them away",
        )


_RULES: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    _targets,
    _only_without_a_cache,
    _route_names,
    _rewrites,
    _query_keys,
    _origins,
    _hashes,
    _client_certificates,
    _checks,
    _tries,
    _listeners,
    _admin_token,
    _redis_prefix,
)
