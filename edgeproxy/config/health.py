"""The sections `health_check` and `ejection` of an upstream: how origins that fail are found.

Knows no origin. Each key's default, unit and sentence stand here and nowhere else.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from edgeproxy.config.base import Settings
from edgeproxy.config.kinds import (
    BlankIsUnset,
    Count,
    Duration,
    MaybeDuration,
    MaybeText,
    OneOrMany,
    Share,
    refuse,
)
from edgeproxy.config.scalars import Trap, as_plain, show


def _probe_path(value: str) -> str:
    if not re.fullmatch(r"/[\x21-\x22\x24-\x7e]*", value):
        refuse(f"{show(value)} is no path", "begin it with /, and percent-encode what is not visible ASCII")
    return value


_STATUS = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def _status(value: object) -> object:
    """A status code or a range of them, as text."""
    if isinstance(value, Trap):
        value = value.text
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    found = _STATUS.fullmatch(text)
    if found is None or int(found[2] or 599) < int(found[1]):
        refuse(f"{show(value)} is no status code", "write one, or a range, as 204 or 200-299")
    return text


Status = Annotated[
    str,
    BeforeValidator(_status),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"},
            ]
        }
    ),
]


def status_range(text: str) -> tuple[int, int]:
    """The first and the last status code of `200-299` or `204`."""
    low, _, high = text.partition("-")
    return int(low), int(high or low)


class HealthCheck(Settings):
    """Active health checks, made once for the whole node."""

    path: Annotated[str, AfterValidator(_probe_path)] = Field(default="/healthz", description="Asked by GET.")
    interval: Duration = Field(default=5.0, ge=0.05, description="Between two checks of one origin.")
    timeout: Duration = Field(
        default=1.0, gt=0, description="Without an answer by then, the check has failed."
    )
    unhealthy_after: Count = Field(default=3, ge=1, description="Failed checks in a row.")
    healthy_after: Count = Field(default=2, ge=1, description="Good checks in a row.")
    status: Annotated[tuple[Status, ...], Field(strict=False), OneOrMany] = Field(
        default=("200-399",),
        min_length=1,
        description="Status codes and ranges that are good, as 204, 200-299.",
    )
    body: MaybeText = Field(
        default=None, min_length=1, description="Text that a good answer has in its first 64 KiB."
    )
    jitter: Share = Field(
        default=0.1, ge=0, le=1, description="Intervals are longer or shorter by up to this share."
    )


def _times(value: object) -> object:
    """A plain number, or not set."""
    value = as_plain(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Ejection(Settings):
    """Passive health: an origin that fails is left out for a while."""

    consecutive_failures: Count = Field(default=5, ge=0, description="Failures in a row. 0: off.")
    for_: Duration = Field(
        default=10.0,
        gt=0,
        validation_alias="for",
        serialization_alias="for",
        description="How long the origin is left out; then one request tries it.",
    )
    max_for: MaybeDuration = Field(
        default=None,
        gt=0,
        description="Each time in a row that it still fails, it is left out twice as long, up to this. "
        "Not set: six times `for`.",
    )
    error_rate: Annotated[Share | None, BlankIsUnset] = Field(
        default=None,
        gt=0,
        le=1,
        description="Left out too with this share of failed requests within `window`. Not set: off.",
    )
    slower_than: Annotated[float | None, BeforeValidator(_times)] = Field(
        default=None,
        gt=1,
        description="Left out too when its mean time to the head is so many times the others' median, "
        "as 3. Not set: off.",
        json_schema_extra={"examples": [3]},
    )
    window: Duration = Field(default=10.0, ge=1, le=600, description="What those two are judged over.")
    min_requests: Count = Field(
        default=20, ge=1, description="With fewer in the window, as one worker sees it, nobody is judged."
    )
    max_ejected: Share = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Of the origins' addresses that still answer, no more are left out, and never the "
        "last; one that takes no connection or is silent is left out beyond that.",
    )
