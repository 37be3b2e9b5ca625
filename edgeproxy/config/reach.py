"""Which routes can never be reached, because one before them takes all that they would.

Knows patterns of hosts and paths; no request.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from edgeproxy.config.routes import Match, Route

_ANY = ""


def never_reached(routes: Sequence[Route]) -> Iterator[tuple[int, int]]:
    """The index of each route that is never reached, with that of the first route that hides it.

    Looks up what could cover a route's first host and path instead of comparing all with all, so
    that ten thousand routes take a second.
    """
    seen: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, route in enumerate(routes):
        match = route.match
        candidates = {
            earlier
            for host in _hosts_above(match.host[0] if match.host else _ANY)
            for path in _paths_above(match.path[0])
            for earlier in seen.get((host, path), ())
        }
        hiding = [earlier for earlier in sorted(candidates) if _covers(routes[earlier].match, match)]
        if hiding:
            yield index, hiding[0]
            continue  # what it would hide is hidden already
        for host in match.host or (_ANY,):
            for path in match.path:
                seen[host, path].append(index)


def _hosts_above(host: str) -> Iterator[str]:
    """The patterns that take all that `host` takes."""
    yield _ANY
    if host:
        yield host
    labels = host.removeprefix("*.").split(".")
    for start in range(0 if host.startswith("*.") else 1, len(labels)):
        yield f"*.{'.'.join(labels[start:])}"


def _paths_above(path: str) -> Iterator[str]:
    """The patterns that take all that `path` takes."""
    yield path
    prefix = path.removesuffix("/*")
    yield f"{prefix.rstrip('/')}/*"
    while prefix:
        prefix = prefix.rpartition("/")[0]
        yield f"{prefix}/*"


def _covers(one: Match, other: Match) -> bool:
    """Whether every request that `other` takes is taken by `one`."""
    hosts = not one.host or (
        bool(other.host) and all(set(_hosts_above(each)) & set(one.host) for each in other.host)
    )
    paths = all(set(_paths_above(each)) & set(one.path) for each in other.path)
    methods = not one.methods or (bool(other.methods) and set(other.methods) <= set(one.methods))
    return hosts and paths and methods
