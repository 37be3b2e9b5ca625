"""Small changes to a response's fields, as whoever runs its origin would make them.

Must not know whether they help (`advice`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.caching.directives import parse
from edgeproxy.caching.vary import never_the_same, vary_names
from edgeproxy.wire.fields import Fields

_MEMBER = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_FORBIDDING = (b"no-store", b"private", b"no-cache", b"must-understand")
_BARRING = (b"must-revalidate", b"proxy-revalidate")
_NAMES = {b"etag": b"ETag", b"cdn-cache-control": b"CDN-Cache-Control"}
_SECRET = frozenset({b"set-cookie"})

Edit = Callable[[Fields], Fields]


@dataclass(frozen=True, slots=True)
class Change:
    """A line to send, a line to send no more, or one for the other."""

    send: str = ""
    instead_of: str = ""


def for_reuse(fields: Fields, field: bytes, lifetime: int) -> list[Edit]:
    """Edits that may make a response fresh for `lifetime` seconds, the mildest first.

    `field` is the lower-case name of the one whose directives bind the cache.
    """
    directives = parse(fields.get(field))
    edits = [setting(field, b"max-age=%d" % lifetime)]
    if b"s-maxage" in directives:
        edits.append(setting(field, b"s-maxage=%d" % lifetime))
    if b"set-cookie" in fields:
        edits.append(dropping_line(b"set-cookie"))
    edits += [dropping(field, name) for name in _FORBIDDING if name in directives]
    edits += [setting(field, name) for name in (b"public", b"immutable") if name not in directives]
    if b"s-maxage" not in directives:
        edits.append(setting(field, b"s-maxage=%d" % lifetime))
    never = never_the_same(fields)
    if never:
        edits.append(varying(never, b"Accept-Encoding" if b"*" in never else b""))
    return edits


def for_stale_use(fields: Fields, field: bytes, window: int) -> list[Edit]:
    """Edits that may let a response be used stale for `window` seconds while it is validated."""
    directives = parse(fields.get(field))
    edits = [setting(field, b"stale-while-revalidate=%d" % window)]
    return edits + [dropping(field, name) for name in (*_FORBIDDING, *_BARRING) if name in directives]


def setting(field: bytes, directive: bytes) -> Edit:
    """The directive stands in that field, once, in place of one of the same name."""
    name = directive.partition(b"=")[0]

    def edit(fields: Fields) -> Fields:
        kept, at = _others(fields, field, name)
        kept.insert(at, directive)
        return fields.replaced(written(field), b", ".join(kept))

    return edit


def dropping(field: bytes, name: bytes) -> Edit:
    """That field is without the directive, or not there any more."""

    def edit(fields: Fields) -> Fields:
        kept, _ = _others(fields, field, name)
        return fields.replaced(field, b", ".join(kept)) if kept else fields.without((field,))

    return edit


def dropping_line(name: bytes) -> Edit:
    """That field is not there any more."""
    return lambda fields: fields.without((name,))


def varying(drop: frozenset[bytes], instead: bytes = b"") -> Edit:
    """Vary is without these members, with `instead` in their place."""

    def edit(fields: Fields) -> Fields:
        kept = [name for name in sorted(vary_names(fields)) if name not in drop]
        members = [written(name) for name in kept] + ([instead] if instead else [])
        return fields.replaced(b"Vary", b", ".join(members)) if members else fields.without((b"vary",))

    return edit


def adding_line(name: bytes, value: bytes) -> Edit:
    """That line is there too."""
    return lambda fields: fields.plus((name, value))


def changes(before: Fields, after: Fields) -> tuple[Change, ...]:
    """What differs, as whole lines; the value of a cookie is not shown."""
    told = []
    for name in dict.fromkeys((*before.index, *after.index)):
        old, new = before.get(name), after.get(name)
        if old != new:
            told.append(Change(_shown(name, new), _shown(name, old)))
    return tuple(told)


def written(name: bytes) -> bytes:
    """A lower-case field name as it is usually written."""
    return _NAMES.get(name) or b"-".join(part.capitalize() for part in name.split(b"-"))


def _shown(name: bytes, value: bytes | None) -> str:
    if value is None:
        return ""
    shown = written(name)
    return (shown if name in _SECRET else shown + b": " + value).decode("latin-1")


def _others(fields: Fields, field: bytes, name: bytes) -> tuple[list[bytes], int]:
    """The members of a field that are not that directive, and where the first of those stood."""
    members = [member.strip(b" \t") for member in _MEMBER.findall(fields.get(field) or b"")]
    kept: list[bytes] = []
    at = -1
    for member in filter(None, members):
        if name in parse(member):
            at = len(kept) if at < 0 else at
        else:
            kept.append(member)
    return kept, len(kept) if at < 0 else at
