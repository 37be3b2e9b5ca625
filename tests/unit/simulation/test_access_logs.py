"""Reading of logs: what counts, what does not, and nothing that a line may hold raises."""

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.simulation.access_logs import MAX_LINE, LogUnreadable, Reading, parse, read
from edgeproxy.simulation.ratios import WHOLE, Sample
from edgeproxy.telemetry.access_log import Record, format_line

COMBINED = (
    b'203.0.113.9 - - [10/Oct/2025:13:55:36 +0200] "GET /a?b=%20c HTTP/1.1" 200 2326 '
    b'"-" "curl/8 [x] \\"y\\""\n'
)


def ours(**fields: object) -> bytes:
    return (
        json.dumps({"method": "GET", "host": "a.example", "path": "/", "status": 200} | fields).encode()
        + b"\n"
    )


def of(*lines: bytes, **options: object) -> Reading:
    return read(io.BytesIO(b"".join(lines)), **options)  # type: ignore[arg-type]


def test_reads_what_our_own_access_log_writes() -> None:
    record = Record(1767225600.5, b"::1", b"GET", b"Shop.example", b"/p?x=\xff", 200, 512, 0.1, outcome="hit")
    line = parse(format_line(record))
    assert line is not None
    assert line.key == b"shop.example /p?x=\\xff"
    assert line[1:] == ("GET", 200, 512, "2026-01-01T00:00:00.500Z", "hit")


def test_reads_the_combined_format() -> None:
    line = parse(COMBINED)
    assert line is not None
    assert line == (b" /a?b=%20c", "GET", 200, 2326, "10/Oct/2025:13:55:36 +0200", "")


@pytest.mark.parametrize(
    ("raw", "key", "size"),
    [
        (b'shop.Example:443 ::1 - bob [t] "GET / HTTP/2.0" 200 5 "-" "-"', b"shop.example /", 5),
        (b'::1 - bob [t] "HEAD / HTTP/1.1" 304 -', b" /", 0),
        (b'::1 - two names [t] "GET / HTTP/1.1" 200 1 "-" "-"', b" /", 1),
        (b'10.0.0.1 - - [t] "GET /" 200 1', b" /", 1),
    ],
)
def test_reads_variants_of_the_combined_format(raw: bytes, key: bytes, size: int) -> None:
    line = parse(raw)
    assert line is not None
    assert (line.key, line.bytes) == (key, size)


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish",
        b"{",
        b"{}",
        b'{"method": "GET", "path": "/", "status": "200"}',
        b'{"method": "GET", "path": "\xff", "status": 200}',
        b'{"method": "GET", "path": "/", "status": 200, "bytes": -1}',
        b'{"method": "GET", "path": "/", "status": 200, "bytes": 99999999999999}',
        b'10.0.0.1 - - [t] "GET / HTTP/1.1" 200 99999999999999 "-" "-"',
        b'10.0.0.1 - - [t] "\\x16\\x03" 400 0 "-" "-"',
        b'10.0.0.1 - - [t] "-" 408 0 "-" "-"',
        b"[" * 9000,
    ],
)
def test_bad_lines_are_counted(raw: bytes) -> None:
    reading = of(COMBINED, raw + b"\n", b"\n", COMBINED)
    assert (reading.lines, reading.bad, len(reading.trace)) == (3, 1, 2)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=40).map(lambda noise: COMBINED[:60] + noise)))
def test_no_line_raises(raw: bytes) -> None:
    parse(raw)


def test_only_what_may_be_stored_counts() -> None:
    lines = [
        ours(),
        ours(method="HEAD"),
        ours(status=304),
        ours(method="POST"),
        ours(status=500),
        ours(status=302),
        ours(outcome="bypass"),
        ours(outcome="error", status=404),
    ]
    reading = of(*lines)
    assert (len(reading.trace), reading.uncacheable) == (3, 5)
    assert len(of(*lines, everything=True).trace) == 8


def test_same_path_of_two_hosts_are_two_urls_of_the_largest_size_each() -> None:
    trace = of(
        ours(bytes=5), ours(host="b.example", bytes=7), ours(bytes=90, status=200), ours(bytes=1)
    ).trace
    assert list(trace.requests) == [0, 1, 0, 0]
    assert list(trace.sizes) == [90, 7]


def test_gzip_is_found_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(gzip.compress(COMBINED * 3) + gzip.compress(COMBINED))
    with path.open("rb") as file:
        assert len(read(file).trace) == 4


def test_damaged_gzip_is_told() -> None:
    with pytest.raises(LogUnreadable, match="cannot be read to its end"):
        of(gzip.compress(COMBINED * 1000)[:-9])
    with pytest.raises(LogUnreadable):
        of(b"\x1f\x8b\x08" + b"x" * 100)


def test_long_line_counts_once_and_the_next_is_read() -> None:
    reading = of(b"x" * (3 * MAX_LINE + 5) + b"\n", COMBINED, b"x" * MAX_LINE)
    assert (reading.lines, reading.bad, len(reading.trace)) == (3, 2, 1)


def test_times_are_kept_where_asked_for_and_put_in_order() -> None:
    zoned = COMBINED.replace(b"10/Oct/2025:13:55:36 +0200", b"01/Jan/2026:01:00:09 +0100")
    reading = of(
        zoned,
        ours(time="2026-01-01T00:00:08.500Z"),
        ours(time="yesterday"),
        COMBINED.replace(b"Oct", b"Okt"),
        ours(),
        timed=True,
    )
    assert reading.bad == 3
    assert list(reading.trace.times) == [1767225608.5, 1767225609.0]
    assert list(reading.trace.requests) == [1, 0]
    assert not of(zoned).trace.times


def test_sample_keeps_a_share_of_the_urls_with_all_their_requests() -> None:
    lines = [ours(path=f"/{at % 1000}", bytes=at % 3 + 1) for at in range(3000)]
    reading = of(*lines, sample=0.2)
    assert 120 < len(reading.trace.sizes) < 280
    assert len(reading.trace) == 3 * len(reading.trace.sizes)
    assert reading.sampled_out == 3000 - len(reading.trace)
    share = len(reading.trace) / 3000 / 0.2
    assert reading.sample == Sample(0.2, share, pytest.approx(share, rel=0.01))


def test_sample_of_nothing_and_of_empty_bodies() -> None:
    assert of(sample=0.2).sample == WHOLE
    assert of(COMBINED).sample == WHOLE
    empty = of(*(ours(path=f"/{at}") for at in range(1000)), sample=0.5).sample
    assert (empty.share, empty.bytes) == (0.5, 1.0)


def test_step_hears_of_each_line() -> None:
    heard: list[int] = []
    of(COMBINED, COMBINED, step=heard.append)
    assert heard == [len(COMBINED)] * 2
