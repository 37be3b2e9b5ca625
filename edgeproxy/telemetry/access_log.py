"""Knows how exchanges become lines of JSON in a file or on standard output, off the hot path.

Must not know what an exchange is beyond the values of a `Record`.

The event loop appends to a bounded queue; a thread formats and writes. No write is larger
than a pipe takes at once, so that the lines of several workers never mix.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import msgspec

from edgeproxy.telemetry.counters import Counters

MAX_WRITE = 4096  # bytes: PIPE_BUF of Linux
MAX_QUEUE = 20_000  # records
_INTERVAL = 0.1  # seconds between two looks at the queue
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


class AccessLog:
    """The access log of one process."""

    def __init__(self, target: str, counters: Counters | None = None) -> None:
        """`target` is `stdout` or a path. Raises OSError where that cannot be opened."""
        self._target = target
        self._queue: deque[tuple[object, ...]] = deque()
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
        return f"<AccessLog {self._target} queued={len(self._queue)} dropped={self.dropped}>"

    def add(self, record: tuple[object, ...]) -> None:
        """Log one exchange: a `Record` or its plain tuple. Never waits; a full queue drops it."""
        if len(self._queue) < MAX_QUEUE:
            self._queue.append(record)
        else:
            self._drop(1)

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away."""
        self._reopen.set()

    def close(self) -> None:
        """Write what is queued, for at most two seconds, and stop."""
        self._stop.set()
        self._thread.join(_CLOSE_TIMEOUT)
        if self._thread.is_alive():
            _log.warning("%s takes no lines: %d are lost", self._target, len(self._queue))
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
        batch: list[bytes] = []
        size = 0
        for _ in range(len(self._queue)):
            line = format_line(self._queue.popleft())
            if size + len(line) > MAX_WRITE:
                self._write(batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        if batch:
            self._write(batch)

    def _write(self, batch: list[bytes]) -> None:
        rest = b"".join(batch)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:  # somebody made standard output non-blocking
                    select.select([], [self._fd], [], 1.0)
        except OSError as error:
            self._drop(len(batch))
            self._complain(error)

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._counters is not None:
            self._counters.ints[self._dropped_slot] += count

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
    for longest in (1024, 160):
        line = _encode(record, longest)
        if len(line) <= MAX_WRITE:
            break
    return line


def _encode(record: tuple[object, ...], longest: int) -> bytes:
    out: dict[str, object] = {}
    for place, value in enumerate(record):
        if place >= _ALWAYS and not value:
            continue
        if isinstance(value, bytes):
            value = value[:longest].decode("utf-8", "backslashreplace")
        elif isinstance(value, str):
            value = value[:longest]
        out[_NAMES[place]] = value
    with suppress(KeyError, TypeError):
        out["time"] = _iso(out["time"])  # type: ignore[arg-type]
        out["duration"] = round(out["duration"], 6)  # type: ignore[call-overload]
    return msgspec.json.encode(out) + b"\n"


def _iso(seconds: float) -> str:
    whole = int(seconds)
    milliseconds = int((seconds - whole) * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"
