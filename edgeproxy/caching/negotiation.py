"""Values of selecting fields, normalised so that what means the same selects the same variant.

Must not know Vary or stored responses. RFC 9110 §12.5, RFC 9111 §4.1.
"""

import re

from edgeproxy.caching.policy import CachePolicy

ACCEPT_LANGUAGE = b"accept-language"
ACCEPT_ENCODING = b"accept-encoding"
IDENTITY = b"identity"

_LISTS = frozenset({b"accept", b"accept-charset", ACCEPT_ENCODING, ACCEPT_LANGUAGE})
_BLANKS_AT_COMMA = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t]*(,)[ \t]*')
_QUALITY = re.compile(rb"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")


def normalise(name: bytes, value: bytes | None, policy: CachePolicy) -> bytes | None:
    """The value by which field `name` selects; None where it is absent.

    Where the route names the values it knows, the best of them stands for the field.
    """
    for normalised, known in policy.vary_normalize:
        if normalised == name:
            return _best(name, value, known)
    if value is None:
        return None
    if name in _LISTS:
        return b",".join(_canonical(member, quality) for member, quality in by_preference(value))
    return _BLANKS_AT_COMMA.sub(rb"\1\2", value.strip(b" \t"))


def by_preference(value: bytes) -> list[tuple[bytes, float]]:
    """The members of an Accept-like field in lower case with their weights, the dearest first.

    Among equals in alphabetical order: the order in which they are listed means nothing (§12.5.4).
    """
    members: dict[bytes, float] = {}
    for part in value.lower().split(b","):
        member, *parameters = [piece.strip(b" \t") for piece in part.split(b";")]
        quality = 1.0
        if parameters and parameters[-1].startswith(b"q=") and _QUALITY.match(parameters[-1][2:]):
            quality = float(parameters.pop()[2:])
        if member:
            members.setdefault(b";".join([member, *parameters]), quality)
    return sorted(members.items(), key=lambda weighed: (-weighed[1], weighed[0]))


def _canonical(member: bytes, quality: float) -> bytes:
    return member if quality == 1 else b"%s;q=%s" % (member, f"{quality:g}".encode())


def _best(name: bytes, value: bytes | None, known: tuple[bytes, ...]) -> bytes | None:
    """The dearest of `known`, the first among equals; for codings `identity` where none will do."""
    members = dict(by_preference(value or b""))
    weighed = [(_weight(name, choice, members), choice) for choice in known]
    weight = max((weight for weight, _ in weighed), default=0.0)
    plain = members.get(IDENTITY, 0.0) if name == ACCEPT_ENCODING else 0.0
    if weight > 0 and weight >= plain:
        return next(choice for of_choice, choice in weighed if of_choice == weight)
    # An absent Accept-Encoding allows all codings: a plain body is right for it too.
    return IDENTITY if name == ACCEPT_ENCODING else None


def _weight(name: bytes, choice: bytes, members: dict[bytes, float]) -> float:
    lower = choice.lower()
    if lower in members:
        return members[lower]
    if name == ACCEPT_LANGUAGE:
        # "de-AT" is content with "de", and "de" with "de-AT" (RFC 4647 §3.3.1, §3.4).
        related = [
            quality
            for member, quality in members.items()
            if member.startswith(lower + b"-") or lower.startswith(member + b"-")
        ]
        if related:
            return max(related)
    return members.get(b"*", 0.0)
