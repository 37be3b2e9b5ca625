"""Knows how exchanges become lines of JSON in a file or on standard output, off the hot path.

Must not know what an exchange is beyond the values of a `Record`.

The event loop appends to a bounded queue, a line as its parts, which may be formatted already; a
thread formats the others, joins and writes. No write is larger than a pipe takes at once, so that the
lines of several workers never mix.
"""

import logging
import os
import select
import threading
import time
from typing import NamedTuple

import msgspec

from edgeproxy.telemetry.counters import Counters

MAX_WRITE = 4096  # bytes: PIPE_BUF of Linux
PARTS = 3  # of one line in the queue
MAX_QUEUE = 20_000 * PARTS
_INTERVAL = 0.05  # seconds between two looks at the queue
_AT_ONCE = 1000 * PARTS  # are joined: it holds the event loop up for some 50 microseconds
_CLOSE_TIMEOUT = 2.0
_STDOUT = 1

_log = logging.getLogger("edgeproxy.access_log")


_Bytes = bytes  # `bytes` is a field below


class Record(NamedTuple):
    """One finished exchange; `time` is wall seconds at its end, `duration` seconds, `bytes` of the body.

    A plain tuple in this order will do. Empty values are left out of the line.
    """

    time: float
    client: _Bytes
    method: _Bytes
    host: _Bytes
    path: _Bytes  # the target as it came
    status: int
    bytes: int
    duration: float
    route: str = ""
    outcome: str = ""
    upstream: str = ""
    origin: str = ""
    request_id: _Bytes = b""
    referer: _Bytes = b""
    user_agent: _Bytes = b""
    reason: str = ""  # why the cache did what it did


_ALWAYS = 8  # fields from `time` to `duration`
_NAMES = Record._fields
_LONGEST_CLIENT = 64  # bytes
_BEGINNING = 512  # bytes that the time and a client's name take at most


class AccessLog:
    """The access log of one process."""

    def __init__(self, target: str, counters: Counters | None = None) -> None:
        """`target` is `stdout` or a path. Raises OSError where that cannot be opened."""
        self._target = target
        # PARTS entries a line: its parts, or a record and nothing. The thread takes them from the front:
        # that and `extend` are one step each under the interpreter's lock.
        self.queue: list[bytes | tuple[object, ...]] = []
        self._counters = counters
        self._dropped_slot = counters.counter("edgeproxy_access_log_dropped_total") if counters else 0
        self.dropped = 0
        self._complained = -60.0
        self._fd = self._open()
        self._stop = threading.Event()
        self._reopen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, target: str, counters: Counters | None = None) -> "AccessLog | None":
        """The log that `log.access` asks for: None for `off`, or where it cannot be opened (logged)."""
        if target == "off":
            return None
        try:
            return cls(target, counters)
        except OSError as error:
            _log.error(
                "no access log: cannot open %s: %s; make it writable, then restart", target, error.strerror
            )
            return None

    def __repr__(self) -> str:
        return f"<AccessLog {self._target} queued={len(self.queue) // PARTS} dropped={self.dropped}>"

    def add(self, record: tuple[object, ...]) -> None:
        """Log one exchange: a `Record` or its plain tuple. Never waits; a full queue drops it."""
        if len(self.queue) < MAX_QUEUE:
            self.queue.extend((record, b"", b""))
        else:
            self.drop(1)

    def drop(self, count: int) -> None:
        """Count lines that are lost."""
        self.dropped += count
        if self._counters is not None:
            self._counters.ints[self._dropped_slot] += count

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away."""
        self._reopen.set()

    def close(self) -> None:
        """Write what is queued, for at most two seconds, and stop."""
        self._stop.set()
        self._thread.join(_CLOSE_TIMEOUT)
        if self._thread.is_alive():
            _log.warning("%s takes no lines: %d are lost", self._target, len(self.queue) // PARTS)
        elif self._fd != _STDOUT:
            os.close(self._fd)

    def _open(self) -> int:
        if self._target == "stdout":
            return _STDOUT
        return os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    # the thread

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_INTERVAL)
            if self._reopen.is_set():
                self._reopen.clear()
                self._exchange_file()
            self._write_queue()

    def _exchange_file(self) -> None:
        try:
            fresh = self._open()
        except OSError as error:
            self._complain(error)
            return
        if self._fd != _STDOUT:
            os.close(self._fd)
        self._fd = fresh

    def _write_queue(self) -> None:
        queue = self.queue
        left = len(queue)
        while left > 0:
            count = min(left, _AT_ONCE)
            parts = queue[:count]
            del queue[:count]
            left -= count
            self._write(b"".join([part if isinstance(part, bytes) else format_line(part) for part in parts]))

    def _write(self, lines: bytes) -> None:
        begin = 0
        while begin < len(lines):
            end = lines.rfind(b"\n", begin, begin + MAX_WRITE) + 1
            rest = lines[begin:end]
            begin = end
            try:
                while rest:
                    try:
                        rest = rest[os.write(self._fd, rest) :]
                    except BlockingIOError:  # somebody made standard output non-blocking
                        select.select([], [self._fd], [], 1.0)
            except OSError as error:
                self.drop(rest.count(b"\n"))
                self._complain(error)

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained >= 60.0:
            self._complained = now
            _log.error(
                "access log lines are lost: %s: %s; make room or make it writable",
                self._target,
                error.strerror,
            )


def format_line(record: tuple[object, ...]) -> bytes:
    """A record as one line of JSON, its line feed included, at most MAX_WRITE bytes long."""
    moment, client = record[0], record[1]
    assert isinstance(moment, float)
    assert isinstance(client, bytes)
    return b"".join((time_part(moment), client_part(client), rest_part(record)))


def time_part(seconds: float) -> bytes:
    """The first part of a line: when, in wall seconds."""
    whole = int(seconds)
    milliseconds = int((seconds - whole) * 1000)
    day_and_time = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f'{{"time":"{day_and_time}.{milliseconds:03d}Z",'.encode()


def client_part(client: bytes) -> bytes:
    """The second part of a line: the client's address."""
    return b'"client":%b,' % msgspec.json.encode(_text(client, _LONGEST_CLIENT))


def rest_part(record: tuple[object, ...]) -> bytes:
    """The third part of a line: all but time and client, the line feed included."""
    for longest in (1024, 160, 32):
        out = {
            name: _text(value, longest)
            for at, (name, value) in enumerate(zip(_NAMES[2:], record[2:], strict=False), 2)
            if value or at < _ALWAYS
        }
        part = msgspec.json.encode(out)[1:] + b"\n"
        if len(part) <= MAX_WRITE - _BEGINNING:
            break
    return part


def _text(value: object, longest: int) -> object:
    if isinstance(value, bytes):
        return value[:longest].decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value[:longest]
    return round(value, 6) if isinstance(value, float) else value
