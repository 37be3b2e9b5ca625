"""No-Vary-Search: queries that the origin calls equal, so that they share a stored response.

Must not know tiers. The HTTP Working Group's draft-ietf-httpbis-no-vary-search.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl, unquote_plus, urlencode

import http_sf

from edgeproxy.wire.fields import Fields

NO_VARY_SEARCH = b"no-vary-search"
_MEMOISED = 256
LONGEST = 2048
"""Bytes of a field value that is worth reading."""


@dataclass(frozen=True, slots=True)
class SearchVariance:
    """Which parameters of a query tell responses apart: all but `ignored`, or where `only` is set, those.

    `ordered`: their order does too.
    """

    ordered: bool = True
    ignored: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return not self.ordered or bool(self.ignored) or self.only is not None

    def canonical(self, query: bytes) -> bytes:
        """What all queries have in common that this rule calls equal."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        if self.only is not None:
            pairs = [pair for pair in pairs if pair[0] in self.only]
        elif self.ignored:
            pairs = [pair for pair in pairs if pair[0] not in self.ignored]
        if not self.ordered:
            pairs.sort(key=lambda pair: pair[0])  # stably: the order of one name's values counts
        return urlencode(pairs, encoding="latin-1").encode()


EXACT = SearchVariance()
"""The default: every query is its own."""


def search_variance(fields: Fields) -> SearchVariance:
    """What a response's No-Vary-Search says; the default where it is absent or malformed."""
    value = fields.get(NO_VARY_SEARCH)
    if value is None:
        return EXACT
    if len(value) > LONGEST:
        return EXACT
    return _memoised(value) if len(value) <= _MEMOISED else _parse(value)


def _parse(value: bytes) -> SearchVariance:
    try:
        members = cast(Mapping[str, tuple[object, object]], http_sf.parse(value, tltype="dictionary"))
    except ValueError:
        return EXACT
    order = members.get("key-order", (False, None))[0]
    params = members.get("params", (False, None))[0]
    spared = members.get("except")
    if not isinstance(order, bool):
        return EXACT
    if spared is not None:
        names = _names(spared[0])
        return EXACT if params is not True or names is None else SearchVariance(not order, only=names)
    if isinstance(params, bool):
        return SearchVariance(not order, only=frozenset() if params else None)
    names = _names(params)
    return EXACT if names is None else SearchVariance(not order, names)


_memoised = lru_cache(maxsize=512)(_parse)


def _names(inner: object) -> frozenset[str] | None:
    """The strings of an inner list, decoded as names in a query are; None where it is none."""
    if not isinstance(inner, list):
        return None
    names: set[str] = set()
    for member in inner:
        item = member[0] if isinstance(member, tuple) else member
        if type(item) is not str:
            return None
        names.add(unquote_plus(item, encoding="latin-1"))  # whole: `&` and `=` are of the name here
    return frozenset(names)
