"""Knows how to read a trace out of an access log: our JSON lines, or the combined format of nginx and Apache.

Must not know policies. It streams: what is kept of a line is the number of its URL, so that memory grows
by 4 bytes a line and about 150 a distinct URL. Lines it cannot read are counted, never an error.
"""

import gzip
import io
import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import BinaryIO, NamedTuple, cast

import msgspec

from edgeproxy.errors import EdgeProxyError
from edgeproxy.simulation.ratios import WHOLE, Sample
from edgeproxy.simulation.trace import Trace

METHODS = frozenset(("GET", "HEAD"))
STATUSES = frozenset((200, 203, 204, 206, 300, 301, 304, 308, 404, 405, 410, 414, 501))
"""Those that may be stored without being told a lifetime (RFC 9110 section 15.1), and 304."""
UNCACHED = frozenset(("bypass", "error"))
"""Outcomes in our own log of what no cache may answer."""
MAX_LINE = 65536
MAX_BYTES = 1 << 40  # of one response: what claims more is not a size
_GZIP = b"\x1f\x8b"

_COMBINED = re.compile(
    rb'([^\[]*) \[([^\]]{1,40})\] "([A-Z]{1,20}) (\S+)(?: [^"]{0,20})?" ([0-9]{3}) ([0-9]{1,15}|-)(?: |$)'
)
_VIRTUAL_HOST = re.compile(rb"([^\s:]+):[0-9]{1,5} \S+ \S+ \S+")
_MONTHS = {name: at + 1 for at, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}


class LogUnreadable(EdgeProxyError):
    """The file cannot be read as an access log."""


class Line(NamedTuple):
    """What one line says; `time` as it stands there."""

    key: bytes
    method: str
    status: int
    bytes: int
    time: str
    outcome: str


class _Json(msgspec.Struct):
    method: str
    path: str
    status: int
    bytes: int = 0
    host: str = ""
    time: str = ""
    outcome: str = ""


@dataclass(slots=True)
class Reading:
    """A trace and what was left out of it, in lines."""

    trace: Trace = field(default_factory=Trace)
    lines: int = 0
    bad: int = 0
    uncacheable: int = 0
    sampled_out: int = 0
    share: float = 1.0  # of the URLs that was asked for
    bytes_kept: int = 0
    bytes_sampled_out: int = 0

    @property
    def sample(self) -> Sample:
        """How much of the whole the trace is."""
        if self.share == 1 or not self.trace.requests:
            return WHOLE
        kept, of_bytes = len(self.trace), self.bytes_kept
        return Sample(
            self.share,
            kept / (kept + self.sampled_out) / self.share,
            of_bytes / (of_bytes + self.bytes_sampled_out) / self.share if of_bytes else 1.0,
        )


def read(
    file: BinaryIO,
    *,
    everything: bool = False,
    timed: bool = False,
    sample: float = 1.0,
    step: Callable[[int], None] = lambda length: None,
) -> Reading:
    """The trace of a log, gzip or plain; raises LogUnreadable where gzip is damaged or reading fails.

    Counts are GET and HEAD with a status of STATUSES and, in our own log, no outcome of UNCACHED; or
    `everything`. `timed` keeps times, 8 bytes a line. `sample` (0 to 1) keeps that share of the URLs, with
    all their requests. `step` hears the length of each line, unpacked.
    """
    reading = Reading(share=sample)
    trace = reading.trace
    numbers: dict[int, int] = {}  # by hash: among ten million URLs two share one with a chance of 1 : 400,000
    limit = int(sample * 0x100000000)
    for raw in _lines(file):
        step(len(raw))
        reading.lines += 1
        line = parse(raw)
        seconds = 0.0
        if line is None or (timed and (seconds := _seconds(line.time)) < 0):
            reading.bad += 1
        elif not everything and not _cacheable(line):
            reading.uncacheable += 1
        elif sample < 1 and zlib.crc32(line.key) >= limit:
            reading.sampled_out += 1
            reading.bytes_sampled_out += line.bytes
        else:
            number = numbers.setdefault(hash(line.key), len(numbers))
            if number == len(trace.sizes):
                trace.sizes.append(0)
            trace.ask(number, line.bytes)
            reading.bytes_kept += line.bytes
            if timed:
                trace.times.append(seconds)
    if timed:
        _order(trace)
    return reading


def parse(raw: bytes) -> Line | None:
    """One line; None where it is neither of the formats."""
    if raw.startswith(b"{"):
        try:
            told = msgspec.json.decode(raw, type=_Json)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if not 0 <= told.bytes < MAX_BYTES:
            return None
        key = f"{told.host.lower()} {told.path}".encode("utf-8", "surrogatepass")
        return Line(key, told.method, told.status, told.bytes, told.time, told.outcome)
    found = _COMBINED.match(raw.rstrip())
    if found is None:
        return None
    who, when, method, target, status, size = found.groups()
    host = _VIRTUAL_HOST.fullmatch(who)
    key = (host[1].lower() if host else b"") + b" " + target
    length = 0 if size == b"-" else int(size)
    if length >= MAX_BYTES:
        return None
    return Line(key, method.decode(), int(status), length, when.decode("latin-1"), "")


def _cacheable(line: Line) -> bool:
    return line.method in METHODS and line.status in STATUSES and line.outcome not in UNCACHED


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of any length, of which MAX_LINE bytes are kept."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
    unpacked: BinaryIO = buffered
    try:
        if buffered.peek(2)[:2] == _GZIP:
            unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=buffered))
        while line := unpacked.readline(MAX_LINE):
            rest = line
            while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
                rest = unpacked.readline(MAX_LINE)
            if line.strip():
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise LogUnreadable(f"cannot be read to its end: {error}") from error


@lru_cache(maxsize=4096)
def _seconds(text: str) -> float:
    """Wall seconds of `2024-01-31T12:00:00.000Z` or `31/Jan/2024:13:00:00 +0100`; -1 where it is neither."""
    try:
        if text[2:3] == "/":
            date, _, zone = text.partition(" ")
            day, month, rest = date.split("/")
            year, _, clock = rest.partition(":")
            text = f"{year}-{_MONTHS[month.encode()]:02d}-{day}T{clock}{zone or '+0000'}"
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, KeyError, OverflowError):
        return -1.0


def _order(trace: Trace) -> None:
    """By time: several workers, and lines written when an exchange ends, mix the order a little."""
    times = trace.times
    order = sorted(range(len(times)), key=times.__getitem__)
    trace.requests = array("I", (trace.requests[at] for at in order))
    trace.times = array("d", (times[at] for at in order))
