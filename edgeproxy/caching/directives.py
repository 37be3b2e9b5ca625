"""Cache-Control's grammar, read leniently: names, arguments, delta-seconds.

Must not know what a directive does. RFC 9111 §5.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgeproxy.wire.fields import Fields

MAX_SECONDS = 2**31  # RFC 9111 §1.2.2: what cannot be represented counts as this

# A member: a name, and after "=" a quoted string or whatever stands before the next comma.
_MEMBER = re.compile(
    rb'(?P<name>[^,=;"\s]+)(?P<gap>[ \t]*)'
    rb'(?:=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"[ \t]*(?=,|\Z)|(?P<plain>[^,]*)))?[^,]*'
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
REQUEST_DIRECTIVES = frozenset(
    {b"max-age", b"min-fresh", b"max-stale", b"no-cache", b"no-store", b"only-if-cached"}
)
NO_FIELDS: frozenset[bytes] = frozenset()
_MEMOISED_LENGTH = 256  # bounds the memory of the memo: clients choose the values


@dataclass(frozen=True, slots=True)
class Directives:
    """What one field says: each name, in lower case, with the arguments of its occurrences."""

    arguments: Mapping[bytes, tuple[bytes | None, ...]]

    def __contains__(self, name: bytes) -> bool:
        return name in self.arguments

    def __bool__(self) -> bool:
        return bool(self.arguments)

    def bare(self, name: bytes) -> bool:
        """Whether it stands at least once without naming fields, and so for the whole response."""
        found = self.arguments.get(name)
        return found is not None and not all(found)

    def named_fields(self, name: bytes) -> frozenset[bytes]:
        """The lower-case field names in the argument of `no-cache` or `private` (RFC 9111 §5.2.2.4)."""
        if name not in self.arguments:
            return NO_FIELDS
        listed = b",".join(argument for argument in self.arguments[name] if argument)
        return frozenset(part.strip().lower() for part in listed.split(b",") if part.strip())

    def delta(self, name: bytes) -> int | None:
        """The delta-seconds of its first occurrence; None where absent or no number."""
        argument = self.arguments[name][0] if name in self.arguments else None
        return _delta(argument)

    def lifetime(self, name: bytes) -> int | None:
        """As `delta`, but 0 where it is present and no number.

        Of duplicates the first counts, and invalid freshness information means stale: RFC 9111 §4.2.1.
        """
        return (self.delta(name) or 0) if name in self.arguments else None


NONE = Directives({})
_NO_CACHE = Directives({b"no-cache": (None,)})


def parse(value: bytes | None) -> Directives:
    """The directives of a combined field value; what is malformed never hides what is not."""
    if not value:
        return NONE
    return _memoised(value) if len(value) <= _MEMOISED_LENGTH else _parse(value)


def of_request(fields: Fields, honoured: frozenset[bytes] = REQUEST_DIRECTIVES) -> Directives:
    """What a request asks of caches; `Pragma: no-cache` counts without Cache-Control (RFC 9111 §5.4).

    Of the directives that RFC 9111 §5.2.1 knows, only those that are `honoured`.
    """
    value = fields.get(b"cache-control")
    if value is not None:
        asked = parse(value)
    elif b"pragma" in fields and b"no-cache" in parse(fields.get(b"pragma")):
        asked = _NO_CACHE
    else:
        return NONE
    ignored = REQUEST_DIRECTIVES - honoured
    if not ignored or ignored.isdisjoint(asked.arguments):
        return asked
    return Directives({name: found for name, found in asked.arguments.items() if name not in ignored})


def _parse(value: bytes) -> Directives:
    arguments: dict[bytes, tuple[bytes | None, ...]] = {}
    for match in _MEMBER.finditer(value):
        name = match["name"].lower()
        arguments[name] = (*arguments.get(name, ()), _argument(match))
    return Directives(arguments)


_memoised = lru_cache(maxsize=4096)(_parse)


def _argument(match: re.Match[bytes]) -> bytes | None:
    plain = match["plain"]
    if plain is not None:
        # A blank beside "=" is not in the grammar: it stays, so that no number is read out of it.
        return match["gap"] + plain.rstrip(b" \t")
    quoted = match["quoted"]
    return None if quoted is None else match["gap"] + _ESCAPE.sub(rb"\1", quoted)


def _delta(argument: bytes | None) -> int | None:
    if argument is None or not argument.isdigit():
        return None
    significant = argument.lstrip(b"0")
    return MAX_SECONDS if len(significant) > 10 else min(int(argument), MAX_SECONDS)
