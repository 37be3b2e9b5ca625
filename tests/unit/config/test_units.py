"""Durations, sizes, shares and rates: read as written, refused with a hint, written as read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config.units import (
    UnitError,
    format_duration,
    format_rate,
    format_share,
    format_size,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("2s", 2.0),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1.5s", 1.5),
        ("2 s", 2.0),
        ("0", 0.0),
        ("0s", 0.0),
        ("3650d", 3650 * 86400.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("10", "no unit", "write 10s"),
        ("5min", "'min' is no unit of time", "write 5m"),
        ("5 seconds", "'seconds' is no unit of time", "write 5s"),
        ("5S", "'S' is no unit of time", "write 5s"),
        ("5w", "'w' is no unit of time", "the units are"),
        ("3651d", "longer than ten years", "at most 3650d"),
        ("-1s", "not a duration", "50ms"),
        ("1h30m", "not a duration", "50ms"),
        ("", "not a duration", "50ms"),
        ("١s", "not a duration", "50ms"),
    ],
)
def test_other_durations_are_refused_with_a_hint(text: str, what: str, instead: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert caught.value.what == what
    assert instead in caught.value.instead


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512),
        ("64KiB", 65536),
        ("256MiB", 2**28),
        ("2GiB", 2**31),
        ("1TiB", 2**40),
        ("1.5KiB", 1536),
        ("0", 0),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("10", "no unit", "write 10B"),
        ("64KB", "'KB' is no unit of size", "write 64KiB"),
        ("64k", "'k' is no unit of size", "write 64KiB"),
        ("2gib", "'gib' is no unit of size", "write 2GiB"),
        ("2 bytes", "'bytes' is no unit of size", "write 2B"),
        ("2x", "'x' is no unit of size", "the units are"),
        ("1025TiB", "larger than 1024TiB", "write less"),
        ("many", "not a size", "64KiB"),
    ],
)
def test_other_sizes_are_refused_with_a_hint(text: str, what: str, instead: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text)
    assert caught.value.what == what
    assert instead in caught.value.instead


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("100%", 1.0), ("0.5%", 0.005)])
def test_shares_are_read(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("0.2", "no percent sign", "write 20%"),
        ("20", "no percent sign", "write 20%"),
        ("101%", "more than 100%", "0% to 100%"),
        ("half", "not a percentage", "20%"),
    ],
)
def test_other_shares_are_refused_with_a_hint(text: str, what: str, instead: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_share(text)
    assert caught.value.what == what
    assert instead in caught.value.instead


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("200/s", 200.0),
        ("30/m", 0.5),
        ("9/h", 0.0025),
        ("0/s", 0.0),
        ("0/h", 0.0),
        ("1.5/s", 1.5),
        ("200 / s", 200.0),
        ("999999999999/s", 999999999999.0),
    ],
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("100", "not a rate", "100/s"),
        ("/s", "not a rate", "100/s"),
        ("", "not a rate", "100/s"),
        ("many/s", "not a rate", "100/s"),
        ("-1/s", "not a rate", "100/s"),
        ("1e3/s", "not a rate", "100/s"),
        ("1./s", "not a rate", "100/s"),
        ("1000000000000/s", "not a rate", "100/s"),
        ("١/s", "not a rate", "100/s"),
        ("5/", "'' is no unit of a rate", "/s, /m or /h"),
        ("5/d", "'d' is no unit of a rate", "/s, /m or /h"),
        ("5/S", "'S' is no unit of a rate", "/s, /m or /h"),
        ("5/s/s", "'s/s' is no unit of a rate", "/s, /m or /h"),
    ],
)
def test_other_rates_are_refused_with_a_hint(text: str, what: str, instead: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_rate(text)
    assert caught.value.what == what
    assert instead in caught.value.instead


@given(st.integers(min_value=0, max_value=10**9), st.sampled_from("smh"))
def test_a_rate_is_written_so_that_it_is_read_back(count: int, unit: str) -> None:
    rate = parse_rate(f"{count}/{unit}")
    assert parse_rate(format_rate(rate)) == pytest.approx(rate, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("0/h", "0/s"),
        ("100/s", "100/s"),
        ("30/m", "30/m"),
        ("120/m", "2/s"),
        ("31/m", "31/m"),
        ("7/h", "7/h"),
        ("1.5/s", "90/m"),
        ("0.5/m", "30/h"),
        ("0.5/h", "0.000138889/s"),
        ("0.001/h", "0.000000278/s"),
    ],
)
def test_rates_are_written_by_the_unit_in_which_they_are_whole(written: str, text: str) -> None:
    assert format_rate(parse_rate(written)) == text


@given(st.integers(min_value=0, max_value=3650 * 86400 * 1000))
def test_a_duration_is_written_so_that_it_is_read_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_size_is_written_so_that_it_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.05, "50ms"), (90, "90s"), (3600, "1h"), (86400, "1d"), (0.0005, "0.5ms")],
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_shares_are_written_as_percentages() -> None:
    assert [format_share(share) for share in (0.2, 0.0, 1.0, 0.005)] == ["20%", "0%", "100%", "0.5%"]
