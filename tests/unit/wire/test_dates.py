import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.wire.dates import format_date, parse_date

EXAMPLE = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
IN_2050 = 2544400878.0  # Thu, 18 Aug 2050 02:01:18 GMT
IN_2024 = 1704067200.0

ACCEPTED = {
    "s5.6.7-imf-fixdate": (b"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
    "s5.6.7-rfc850": (b"Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
    "s5.6.7-asctime": (b"Sun Nov  6 08:49:37 1994", EXAMPLE),
    "asctime-two-digit-day": (b"Sun Nov 13 08:49:37 1994", EXAMPLE + 7 * 86400),
    "weekday-in-capitals": (b"THU, 18 Aug 2050 02:01:18 GMT", IN_2050),
    "month-in-capitals": (b"Thu, 18 AUG 2050 02:01:18 GMT", IN_2050),
    "zone-in-mixed-case": (b"Thu, 18 Aug 2050 02:01:18 gMT", IN_2050),
    "weekday-that-does-not-fit": (b"Mon, 18 Aug 2050 02:01:18 GMT", IN_2050),
    "epoch": (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    "before-the-epoch": (b"Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
    "beyond-32-bits": (b"Sun, 21 Nov 2286 04:46:39 GMT", 10000039599.0),
    "last-year": (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0),
    "leap-second": (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800.0),
    "leap-day": (b"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800.0),
}

REFUSED = {
    "empty": b"",
    "zero": b"0",
    "minus-one": b"-1",
    "utc": b"Thu, 18 Aug 2050 02:01:18 UTC",
    "other-zone": b"Thu, 18 Aug 2050 02:01:18 AEST",
    "numeric-zone": b"Thu, 18 Aug 2050 02:01:18 +0000",
    "no-zone": b"Thu, 18 Aug 2050 02:01:18",
    "two-digit-year": b"Thu, 18 Aug 50 02:01:18 GMT",
    "no-comma": b"Thu 18 Aug 2050 02:01:18 GMT",
    "two-spaces": b"Thu, 18  Aug  2050 02:01:18 GMT",
    "dashes": b"Thu, 18-Aug-2050 02:01:18 GMT",
    "periods-in-the-time": b"Thu, 18 Aug 2050 02.01.18 GMT",
    "one-digit-hour": b"Thu, 18 Aug 2050 2:01:18 GMT",
    "one-digit-day": b"Thu, 8 Aug 2050 02:01:18 GMT",
    "two-dates": b"Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
    "trailing-newline": b"Thu, 18 Aug 2050 02:01:18 GMT\n",
    "leading-blank": b" Thu, 18 Aug 2050 02:01:18 GMT",
    "thirtieth-of-february": b"Fri, 30 Feb 2024 00:00:00 GMT",
    "leap-day-of-a-common-year": b"Wed, 29 Feb 2023 00:00:00 GMT",
    "day-zero": b"Thu, 00 Aug 2050 02:01:18 GMT",
    "year-zero": b"Thu, 18 Aug 0000 02:01:18 GMT",
    "hour-24": b"Thu, 18 Aug 2050 24:00:00 GMT",
    "minute-60": b"Thu, 18 Aug 2050 02:60:18 GMT",
    "second-61": b"Thu, 18 Aug 2050 02:01:61 GMT",
    "non-ascii-digits": "Thu, 18 Aug ２０５０ 02:01:18 GMT".encode(),
    "rfc850-day-that-is-none": b"Wednesday, 29-Feb-23 00:00:00 GMT",
    "rfc850-short-weekday": b"Sun, 06-Nov-94 08:49:37 GMT",
    "asctime-unpadded-day": b"Sun Nov 6 08:49:37 1994",
    "iso-8601": b"2050-08-18T02:01:18Z",
}


@pytest.mark.parametrize(("value", "seconds"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_date_is_read(value: bytes, seconds: float) -> None:
    assert parse_date(value) == seconds
    assert parse_date(value, now=IN_2024) == seconds


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_nearly_a_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None
    assert parse_date(value, now=IN_2024) is None


@pytest.mark.parametrize(
    ("year", "now", "expected"),
    [
        pytest.param(b"50", IN_2024, 2050, id="s5.6.7-within-fifty-years-ahead"),
        pytest.param(b"74", IN_2024, 2074, id="s5.6.7-fifty-years-ahead"),
        pytest.param(b"75", IN_2024, 1975, id="s5.6.7-more-than-fifty-years-ahead-is-past"),
        pytest.param(b"24", IN_2024, 2024, id="this-year"),
        pytest.param(b"69", None, 2069, id="without-now-69-is-2069"),
        pytest.param(b"70", None, 1970, id="without-now-70-is-1970"),
    ],
)
def test_a_two_digit_year_is_placed(year: bytes, now: float | None, expected: int) -> None:
    seconds = parse_date(b"Monday, 01-Jun-" + year + b" 00:00:00 GMT", now)
    assert seconds is not None
    assert b" %d " % expected in format_date(seconds)


def test_a_date_is_written() -> None:
    assert format_date(EXAMPLE) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(EXAMPLE + 0.9) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(-0.5) == b"Wed, 31 Dec 1969 23:59:59 GMT"


@pytest.mark.parametrize("seconds", [1e12, -1e12, float("nan"), float("inf")])
def test_a_date_beyond_four_digit_years_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="no HTTP date"):
        format_date(seconds)


@given(st.integers(-62135596799, 253402300799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds
