"""HTTP dates (RFC 9110 §5.6.7): bytes to seconds since the Unix epoch, and back.

Must not know what time it is.
"""

import re
from datetime import date
from functools import lru_cache

_WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86400
_HALF_CENTURY = 50
_MAX_SECONDS = (date.max.toordinal() - _EPOCH + 1) * _DAY

_TIME = rb"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
# Letters in any case, else strict: a date that is only nearly one must count as invalid, and so as expired.
_IMF_FIXDATE = re.compile(
    rb"(?:" + b"|".join(_WEEKDAYS) + rb"), "
    rb"(?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT",
    re.IGNORECASE,
)
_RFC_850 = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, "
    rb"(?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _TIME + rb" GMT",
    re.IGNORECASE,
)
_ASCTIME = re.compile(
    rb"(?:" + b"|".join(_WEEKDAYS) + rb") " + _MONTH + rb" "
    rb"(?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",
    re.IGNORECASE,
)


def parse_date(value: bytes, now: float | None = None) -> float | None:
    """Seconds since the Unix epoch, or None where `value` is none of the three formats.

    `now`, in wall seconds, places a two-digit year: more than fifty years ahead means the past
    century; without it 70 to 99 are of the 1900s. RFC 9110 §5.6.7.
    """
    seconds = _parse_four_digit_year(value)
    if seconds is None and (match := _RFC_850.fullmatch(value)):
        short = int(match["year"])
        if now is None:
            return _seconds(match, 1900 + short if short >= 70 else 2000 + short)
        this_year = date.fromordinal(_EPOCH + int(now // _DAY)).year
        year = this_year - this_year % 100 + short
        return _seconds(match, year - 100 if year > this_year + _HALF_CENTURY else year)
    return seconds


def format_date(seconds: float) -> bytes:
    """The IMF-fixdate of that second.

    Raises ValueError before the year 1 and after the year 9999.
    """
    if not -_EPOCH * _DAY < seconds < _MAX_SECONDS:
        raise ValueError(f"no HTTP date for {seconds!r}")
    return _format(int(seconds // 1))


@lru_cache(maxsize=64)  # nearly always of now
def _format(seconds: int) -> bytes:
    days, rest = divmod(seconds, _DAY)
    day = date.fromordinal(_EPOCH + days)
    hour, rest = divmod(rest, 3600)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _WEEKDAYS[day.weekday()],
        day.day,
        _MONTHS[day.month - 1],
        day.year,
        hour,
        *divmod(rest, 60),
    )


@lru_cache(maxsize=1024)
def _parse_four_digit_year(value: bytes) -> float | None:
    match = _IMF_FIXDATE.fullmatch(value) or _ASCTIME.fullmatch(value)
    return _seconds(match, int(match["year"])) if match else None


def _seconds(match: re.Match[bytes], year: int) -> float | None:
    try:
        days = date(year, _MONTH_NUMBERS[match["month"].lower()], int(match["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    return float(days * _DAY + int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"]))
