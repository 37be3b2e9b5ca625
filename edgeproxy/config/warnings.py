"""What is allowed but most likely not meant, as lines for the operator.

Knows a whole configuration; no place in a file.
"""

import os
from collections.abc import Iterator

from edgeproxy.config.mistakes import path_text
from edgeproxy.config.model import Config
from edgeproxy.config.reach import never_reached


def warnings(config: Config) -> list[str]:
    """One line for each doubt, as `PATH: what, what instead`."""
    return [
        *_unreachable(config),
        *_upstreams(config),
        *_server(config),
        *_routes(config),
    ]


def _unreachable(config: Config) -> Iterator[str]:
    for index, earlier in never_reached(config.routes):
        place = _route_place(index, config)
        yield f"{place}: never reached, {config.routes[earlier].name} takes all its requests before it"


def _route_place(index: int, config: Config) -> str:
    return f"{path_text(('routes', index))} ({config.routes[index].name})"


def _upstreams(config: Config) -> Iterator[str]:
    used = {route.upstream for route in config.routes}
    used |= {route.canary.upstream for route in config.routes if route.canary is not None}
    for name, upstream in config.upstreams.items():
        place = f"upstreams.{name}"
        if name not in used:
            yield f"{place}: no route uses it, remove it or name it in a route"
        if not upstream.tls.verify:
            yield f"{place}.tls.verify: false lets anybody on the way pose as the origin, give a ca instead"
        https = any(origin.parts.scheme == "https" for origin in upstream.origins)
        if not https and upstream.tls != type(upstream.tls)():
            yield f"{place}.tls: no origin is https, so it means nothing; write https:// URLs"
        check = upstream.health_check
        if check is not None and check.timeout > check.interval:
            yield f"{place}.health_check: timeout is longer than interval, so checks overlap; shorten it"


def _server(config: Config) -> Iterator[str]:
    for network in config.server.trusted_proxies:
        if network.endswith("/0"):
            yield f"server.trusted_proxies: {network} believes every client, name your own proxies"
    affinity = config.server.cpu_affinity
    if not isinstance(affinity, str):
        allowed = os.sched_getaffinity(0)
        for cpu in sorted(set(affinity) - allowed):
            usable = ", ".join(map(str, sorted(allowed)))
            yield (
                f"server.cpu_affinity: CPU {cpu} is none that this process may use, its worker is not "
                f"pinned; write some of {usable}, or auto"
            )


def _routes(config: Config) -> Iterator[str]:
    memory = config.cache.memory.max_size
    for index, route in enumerate(config.routes):
        place = _route_place(index, config)
        if route.cache.allow_set_cookie and route.cache.enabled:
            yield f"{place}: allow_set_cookie hands one client's cookies to all, be sure that is meant"
        asked = route.cache.enabled and "max_object_size" in route.cache.model_fields_set
        if asked and route.cache.max_object_size > memory:
            yield f"{place}: max_object_size is larger than cache.memory.max_size, enlarge that one"
        canary = route.canary
        if canary is not None and canary.weight and canary.upstream == route.upstream:
            yield f"{place}: canary names the route's own upstream, so it changes nothing; name another"
        if route.slice and route.slice > route.cache.max_object_size:
            yield f"{place}: slice is larger than cache.max_object_size and never stored, make it smaller"
        if route.slice and route.esi is not None:
            yield f"{place}: slice means nothing beside esi, remove it"
        if route.redirect is not None and (route.strip_prefix or route.rewrite):
            yield f"{place}: strip_prefix and rewrite mean nothing beside redirect, remove them"
