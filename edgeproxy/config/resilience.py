"""The sections `retries`, `hedge` and `concurrency` of an upstream: what is tried again, how much at once.

Knows no origin. Each key's default, unit and sentence stand here and nowhere else.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from edgeproxy.config.base import Settings
from edgeproxy.config.health import Status, status_range
from edgeproxy.config.kinds import (
    BlankIsUnset,
    Count,
    Flag,
    MaybeDuration,
    OneOrMany,
    Share,
    refuse,
)
from edgeproxy.config.scalars import Trap, as_plain, show
from edgeproxy.config.units import UnitError, parse_duration


def _error_status(value: str) -> str:
    if status_range(value)[0] < 400:
        refuse(f"{show(value)} is no failure", "write statuses from 400 on, as 503 or 502-504")
    return value


class Retries(Settings):
    """Second tries of what is safe to send again."""

    attempts: Count = Field(default=2, ge=0, le=10, description="Tries after the first one. 0: off.")
    budget: Share = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Retries' share of the last 10 s' requests; 10 a second are always allowed.",
    )
    status: Annotated[
        tuple[Annotated[Status, AfterValidator(_error_status)], ...], Field(strict=False), OneOrMany
    ] = Field(
        default=(),
        description="Answers with these status codes, as 502, 503-504, are tried again at another origin, "
        "where the method allows and no body was sent. 5xx among them count as failures of their origin.",
    )
    per_try_timeout: MaybeDuration = Field(
        default=None,
        gt=0,
        description="For each try without a body, from choosing an origin to the head of its answer. "
        "Not set: `timeouts` alone.",
    )
    total_timeout: MaybeDuration = Field(
        default=None, gt=0, description="The same for all tries of a request together. Not set: no bound."
    )


_PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]+)?)")


def percentile(after: str) -> float | None:
    """0.95 of `p95`; None of a duration."""
    found = _PERCENTILE.fullmatch(after)
    return None if found is None else float(found[1]) / 100


def _after(value: object) -> object:
    """A percentile or a duration, as text."""
    if isinstance(value, Trap):
        value = value.text
    text = value.strip() if isinstance(value, str) else ""
    share = percentile(text)
    try:
        valid = 0.5 <= share < 1 if share is not None else parse_duration(text) > 0
    except UnitError:
        valid = False
    if not valid:
        refuse(f"{show(value)} is no time to wait", "write a percentile, as p95, or a time, as 50ms")
    return text


class Hedge(Settings):
    """A second copy of a GET that is not answered in time, to another origin; the first head wins."""

    after: Annotated[
        str,
        BeforeValidator(_after),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": "^(p[0-9]{2}(\\.[0-9]+)?|[0-9]+(\\.[0-9]+)? ?(ms|s|m|h|d))$",
                "examples": ["p95", "50ms"],
            }
        ),
    ] = Field(
        default="p95",
        description="Sent after that percentile of the upstream's last times to the head, or that time. "
        "It takes from the retries' budget.",
    )


class Concurrency(Settings):
    """How many requests at once an origin is given: as many as it answers in its usual time."""

    adaptive: Flag = Field(
        default=False,
        description="More are answered 503 at once, or by what is stored; instead of `max_pending`.",
    )
    min: Count = Field(default=4, ge=1, description="Always given, by the node to each origin.")
    max: Annotated[Count | None, BlankIsUnset, BeforeValidator(as_plain)] = Field(
        default=None, ge=1, description="Never more than that. Not set: `max_connections`."
    )
    tolerance: Annotated[float, BeforeValidator(lambda value: _times(value))] = Field(
        default=2.0,
        gt=1,
        le=100,
        description="The limit falls while the time to the head is over so many times its minimum.",
    )


def _times(value: object) -> object:
    """A plain number."""
    value = as_plain(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
