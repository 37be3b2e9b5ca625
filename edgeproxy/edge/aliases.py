"""Stored responses that suit other queries too, by their No-Vary-Search.

Must not know tiers. Bounded: what is forgotten costs a fetch.
"""

from collections import OrderedDict
from collections.abc import Iterator

from edgeproxy.caching.no_vary_search import SearchVariance

MOST_PATHS = 4096
MOST_RULES = 4
"""Rules of one path that are remembered: a path has one, unless its origin changes its mind."""
MOST_QUERIES = 1024

Queries = OrderedDict[bytes, bytes]  # canonical query -> cache key


class Aliases:
    """Which cache key answers for a query, by path and rule."""

    def __init__(self) -> None:
        self._paths: OrderedDict[bytes, OrderedDict[SearchVariance, Queries]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Aliases paths={len(self._paths)}>"

    def __bool__(self) -> bool:
        return bool(self._paths)

    def learn(self, key: bytes, rule: SearchVariance) -> None:
        """What is stored under `key` answers for all queries that `rule` calls equal to its own."""
        path, _, query = key.partition(b"?")
        rules = self._paths.setdefault(path, OrderedDict())
        self._paths.move_to_end(path)
        queries = rules.setdefault(rule, OrderedDict())
        rules.move_to_end(rule)
        queries[rule.canonical(query)] = key
        queries.move_to_end(rule.canonical(query))
        for bounded, most in ((self._paths, MOST_PATHS), (rules, MOST_RULES), (queries, MOST_QUERIES)):
            while len(bounded) > most:
                bounded.popitem(last=False)

    def of(self, key: bytes) -> Iterator[tuple[bytes, SearchVariance]]:
        """The keys under which an answer for `key` may be stored, the rule learnt last first."""
        path, _, query = key.partition(b"?")
        for rule, queries in reversed(self._paths.get(path, {}).items()):
            other = queries.get(rule.canonical(query))
            if other is not None and other != key:
                yield other, rule
