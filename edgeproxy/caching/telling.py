"""One step of an explanation, and how the fields and values that mattered are told in it.

Must not know which rules there are (`steps`), nor tell a secret.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeproxy.caching.reasons import Reason
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead

Mattered = tuple[tuple[str, str], ...]

SECRET = frozenset({b"authorization", b"cookie", b"set-cookie"})
"""Fields whose presence is told, and not their value."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was applied: what it said, and the fields and values that mattered.

    `reason` is set where the rule settled the matter, which only the last step of a walk does.
    """

    rule: str
    outcome: str
    fields: Mattered = ()
    section: str = ""
    reason: Reason | None = None


def settled(reason: Reason, outcome: str, fields: Mattered = ()) -> Step:
    """The step that settles the matter."""
    return Step(str(reason), outcome, fields, reason.section, reason)


def until_settled(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps up to the first that settles the matter."""
    for step in steps:
        yield step
        if step.reason is not None:
            return


def from_request(request: RequestHead, names: Iterable[bytes]) -> Mattered:
    """Those fields of the request, by lower-case name, that it has."""
    return _named("request", request.fields, names)


def from_response(fields: Fields, names: Iterable[bytes]) -> Mattered:
    """Those fields of the response, by lower-case name, that it has."""
    return _named("response", fields, names)


def seconds(value: float) -> str:
    """Seconds for people."""
    return f"{value:.1f}".removesuffix(".0") + " s"


def _named(where: str, fields: Fields, names: Iterable[bytes]) -> Mattered:
    return tuple(
        (f"{where} {_title(name)}", told(name, fields.get(name))) for name in names if name in fields
    )


def told(name: bytes, value: bytes | None) -> str:
    """A field's value, unless it is a secret."""
    if name in SECRET or name.startswith(b"cookie:"):
        return "present"
    return text(value or b"")


def _title(name: bytes) -> str:
    special = {b"etag": "ETag", b"cdn-cache-control": "CDN-Cache-Control"}
    return special.get(name) or "-".join(part.capitalize() for part in text(name).split("-"))


def text(value: bytes) -> str:
    """Bytes of a message's head, one character each."""
    return value.decode("latin-1")


def setting(value: float | None) -> str:
    """A duration of the configuration."""
    return "not set" if value is None else seconds(value)
