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
MOST = 8192
"""Queries of all paths."""
LONGEST = 1024
"""Bytes of a key; what is longer has no alias."""
MOST_PARAMETERS = 64

Queries = OrderedDict[bytes, bytes]  # canonical query -> cache key


class Aliases:
    """Which cache key answers for a query, by path and rule."""

    def __init__(self) -> None:
        self._paths: OrderedDict[bytes, OrderedDict[SearchVariance, Queries]] = OrderedDict()
        self._learnt = 0  # queries since it was last made small

    def __repr__(self) -> str:
        return f"<Aliases paths={len(self._paths)}>"

    def __len__(self) -> int:
        """Queries that are remembered."""
        return sum(len(queries) for rules in self._paths.values() for queries in rules.values())

    def __bool__(self) -> bool:
        return bool(self._paths)

    def learn(self, key: bytes, rule: SearchVariance) -> None:
        """What is stored under `key` answers for all queries that `rule` calls equal to its own."""
        if _too_much(key):
            return
        path, _, query = key.partition(b"?")
        rules = self._paths.setdefault(path, OrderedDict())
        self._paths.move_to_end(path)
        queries = rules.setdefault(rule, OrderedDict())
        rules.move_to_end(rule)
        canonical = rule.canonical(query)
        queries[canonical] = key
        queries.move_to_end(canonical)
        for bounded, most in ((self._paths, MOST_PATHS), (rules, MOST_RULES), (queries, MOST_QUERIES)):
            while len(bounded) > most:
                bounded.popitem(last=False)
        self._learnt += 1
        if self._learnt >= MOST:
            self._learnt = len(self)
            while self._learnt > MOST // 2 and len(self._paths) > 1:
                _, oldest = self._paths.popitem(last=False)
                self._learnt -= sum(map(len, oldest.values()))

    def of(self, key: bytes) -> Iterator[tuple[bytes, SearchVariance]]:
        """The keys under which an answer for `key` may be stored, the rule learnt last first."""
        if _too_much(key):
            return
        path, _, query = key.partition(b"?")
        for rule, queries in reversed(self._paths.get(path, {}).items()):
            other = queries.get(rule.canonical(query))
            if other is not None and other != key:
                yield other, rule


def _too_much(key: bytes) -> bool:
    """Whether to compare such queries would cost more than it can bring."""
    return len(key) > LONGEST or key.count(b"&") >= MOST_PARAMETERS
