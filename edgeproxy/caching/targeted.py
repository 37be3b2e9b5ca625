"""Which field's directives bind this cache: a targeted field, else Cache-Control.

Must not know what the directives do. RFC 9213, and W3C's Edge Architecture for Surrogate-Control.
"""

import re
from typing import cast

import http_sf
from msgspec import Struct

from edgeproxy.caching.directives import MAX_SECONDS, Directives, parse
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.fields import Fields

SURROGATE_CONTROL = b"surrogate-control"

_DELTA = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_LISTING = frozenset({"no-cache", "private"})
_FLAGS = frozenset(
    {"no-store", "public", "must-revalidate", "proxy-revalidate", "must-understand", "immutable"}
)
_SURROGATE = frozenset({b"max-age", b"no-store"})
_MEMBER = re.compile(rb'(?:[^,"]|"[^"]*"?)+')


class Binding(Struct, frozen=True):
    """The directives that bind this cache, and the field that they came from.

    `targeted` says that Cache-Control and Expires are hidden (RFC 9213 §2.1).
    """

    directives: Directives
    field: bytes
    targeted: bool


def binding(fields: Fields, policy: CachePolicy) -> Binding:
    """The first valid field of `policy.targeted` that is present and not empty, else Cache-Control."""
    index = fields.index
    for name in policy.targeted:
        if name in index:
            value = fields.get(name) or b""
            directives = (
                _surrogate(value, policy.name.encode()) if name == SURROGATE_CONTROL else _structured(value)
            )
            if directives:
                return Binding(directives, name, targeted=True)
    return Binding(parse(fields.get(b"cache-control")), b"cache-control", targeted=False)


def _structured(value: bytes) -> Directives | None:
    """A Dictionary's directives; None where its syntax or a known directive's type is wrong (RFC 9213)."""
    try:
        members = cast(dict[str, tuple[object, object]], http_sf.parse(value, tltype="dictionary"))
    except ValueError:
        return None
    arguments: dict[bytes, tuple[bytes | None, ...]] = {}
    for name, member in members.items():
        item = member[0]  # member[1]: parameters, which mean nothing here
        if item is False:
            continue
        try:
            arguments[name.encode()] = (_argument(name, item),)
        except TypeError:
            return None
    return Directives(arguments)


def _argument(name: str, item: object) -> bytes | None:
    """The argument as Cache-Control would write it. Raises TypeError for a type that `name` cannot have."""
    if name in _DELTA:
        if isinstance(item, int) and not isinstance(item, bool):
            return b"%d" % min(item, MAX_SECONDS)
    elif name in _LISTING and type(item) is str:
        return item.encode()
    elif item is True or name not in _FLAGS | _LISTING:
        return None
    raise TypeError(name)


def _surrogate(value: bytes, target: bytes) -> Directives | None:
    """What is for this surrogate: members that name no target, or ours.

    None without max-age or no-store among them: `content="ESI/1.0"` alone hides nothing.
    """
    arguments: dict[bytes, tuple[bytes | None, ...]] = {}
    for member in _MEMBER.findall(value):
        directive, _, targets = member.partition(b";")
        named = {part.strip(b" \t") for part in targets.split(b";")} - {b""}
        if named and target not in named:
            continue
        for name, found in parse(directive).arguments.items():
            arguments.setdefault(name, found)
    lifetime, plus, extension = (arguments.get(b"max-age", (None,))[0] or b"").partition(b"+")
    if plus:
        # "max-age=600+300": fresh for 600 s, and another 300 s while it is validated.
        arguments[b"max-age"] = (lifetime,)
        arguments.setdefault(b"stale-while-revalidate", (extension,))
    return Directives(arguments) if arguments.keys() & _SURROGATE else None
