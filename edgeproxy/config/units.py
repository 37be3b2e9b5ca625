"""Durations, sizes, shares and rates as people write them, and back.

Knows no YAML and no model.
"""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_RATES = {"s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER_UNIT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)[ ]?([A-Za-z%µ]*)", re.ASCII)

MAX_SECONDS = 3650 * 86400.0
MAX_BYTES = 2**50


class UnitError(ValueError):
    """A quantity that cannot be read: `what` is wrong, and what to write `instead`."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}, {instead}")
        self.what = what
        self.instead = instead


def parse_duration(text: str) -> float:
    """Seconds of `50ms`, `2s`, `10m`, `1h`, `1d`; a bare 0 needs no unit. Raises UnitError."""
    number, unit = _split(text, "not a duration", "write a number and a unit, as 50ms, 2s, 10m, 1h or 1d")
    if not unit and float(number) == 0:
        return 0.0
    if not unit:
        raise UnitError("no unit", f"write {number}s for seconds (units: ms s m h d)")
    if unit not in _SECONDS:
        guess = _DURATION_GUESS.get(unit.lower())
        hint = f"write {number}{guess}" if guess else "the units are ms, s, m, h and d"
        raise UnitError(f"{unit!r} is no unit of time", hint)
    # divided rather than multiplied, so that 50ms is exactly 0.05
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    if seconds > MAX_SECONDS:
        raise UnitError("longer than ten years", "write at most 3650d")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of `512B`, `64KiB`, `256MiB`, `2GiB`, `1TiB`; a bare 0 needs no unit. Raises UnitError."""
    number, unit = _split(text, "not a size", "write a number and a unit, as 64KiB, 256MiB or 2GiB")
    if not unit and float(number) == 0:
        return 0
    if not unit:
        raise UnitError("no unit", f"write {number}B for bytes (units: B KiB MiB GiB TiB)")
    if unit not in _BYTES:
        guess = _SIZE_GUESS.get(unit.lower())
        hint = f"write {number}{guess}" if guess else "the units are B, KiB, MiB, GiB and TiB"
        raise UnitError(f"{unit!r} is no unit of size", hint)
    size = int(number) * _BYTES[unit] if number.isdigit() else int(float(number) * _BYTES[unit])
    if size > MAX_BYTES:
        raise UnitError("larger than 1024TiB", "write less")
    return size


def parse_share(text: str) -> float:
    """A share from 0 to 1 of `20%`. Raises UnitError."""
    number, unit = _split(text, "not a percentage", "write a number and a percent sign, as 20%")
    if unit != "%":
        raise UnitError("no percent sign", f"write {_guess_percent(number)}")
    if float(number) > 100:
        raise UnitError("more than 100%", "write 0% to 100%")
    return float(number) / 100


def parse_rate(text: str) -> float:
    """Times a second of `200/s` or `30/m`. Raises UnitError."""
    number, slash, unit = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", number.strip(), re.ASCII):
        raise UnitError("not a rate", "write a number and a unit, as 100/s or 30/m")
    seconds = _RATES.get(unit.strip())
    if seconds is None:
        raise UnitError(f"{unit.strip()!r} is no unit of a rate", "write /s, /m or /h")
    return float(number) / seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as the same seconds."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        count = seconds / _SECONDS[unit]
        if count == int(count):
            return f"{int(count)}{unit}"
    milliseconds = round(seconds * 1000, 6)
    text = f"{milliseconds:.6f}".rstrip("0").rstrip(".")
    return f"{text}ms"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back as the same bytes."""
    if size == 0:
        return "0B"
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def format_rate(rate: float) -> str:
    """The text that `parse_rate` reads back as the same rate, where it is whole by one of the units."""
    for unit, seconds in _RATES.items():
        count = round(rate * seconds, 6)  # what was divided and multiplied again is whole only nearly
        if count == int(count) and int(count) / seconds == rate:
            return f"{int(count)}/{unit}"
    return f"{rate:.9f}/s"


def format_share(share: float) -> str:
    """`0.2` as `20%`."""
    return f"{round(share * 100, 7):g}%"


_DURATION_GUESS = {
    "ms": "ms",
    "msec": "ms",
    "millis": "ms",
    "milliseconds": "ms",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
    "hr": "h",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
} | {unit: unit for unit in "smhd"}
_SIZE_GUESS = {"b": "B", "byte": "B", "bytes": "B"} | {
    spelling: unit + "iB"
    for unit in "KMGT"
    for spelling in (unit.lower(), unit.lower() + "b", unit.lower() + "ib")
}


def _split(text: str, what: str, instead: str) -> tuple[str, str]:
    found = _NUMBER_UNIT.fullmatch(text)
    if found is None:
        raise UnitError(what, instead)
    return found[1], found[2]


def _guess_percent(number: str) -> str:
    value = float(number)
    return format_share(value) if value < 1 else f"{value:g}%"
