"""Knows how counts are kept in memory that the supervisor and one worker share.

Must not know which metrics there are (`metrics`) beyond their shape, nor how they are printed.

A map belongs to one process index: only that process writes, the supervisor reads. It holds
a directory (append only: which series has which slot), an array of unsigned integers and one
of doubles. A worker that dies leaves its map; its successor goes on with it, so counts never
fall. An entry of the directory counts once the header's word for its end was moved past it.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from edgeproxy.telemetry.metrics import METRICS, Kind, Metric

INT_SLOTS = 65536
FLOAT_SLOTS = 16384
MAX_SERIES = 4096  # of one metric; what comes later is counted with every label "other"
OTHER = "other"

_MAGIC = 0x3143_5045  # "EPC1"
_HEADER = 64
_DIRECTORY = 2 * 1024 * 1024
_INTS = _HEADER + _DIRECTORY
_FLOATS = _INTS + INT_SLOTS * 8
_SIZE = _FLOATS + FLOAT_SLOTS * 8
_SINK = 32  # the first slots take what finds no room, and are never shown


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a directory: a metric with its labels' values, and where it is counted.

    `ints` is the first of `width` integer slots, `floats` a slot of doubles; -1: none.
    """

    metric: str
    labels: tuple[str, ...]
    kind: str
    ints: int
    width: int
    floats: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram's slots; `first_bucket` lets a caller count the smallest durations by one increment."""

    ints: "memoryview[int]"
    floats: "memoryview[float]"
    bounds: tuple[float, ...]
    first_bucket: int
    sum_slot: int

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.ints[self.first_bucket + bisect_left(self.bounds, seconds)] += 1
        self.floats[self.sum_slot] += seconds


class Counters:
    """The counts of one process.

    A slot is asked for once and kept; from then on `ints[slot] += 1` is all there is to do.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _SIZE)
        self._all = memoryview(self._map)
        self._header = self._all[:_HEADER].cast("Q")
        self.ints: memoryview[int] = self._all[_INTS:_FLOATS].cast("Q")
        self.floats: memoryview[float] = self._all[_FLOATS:_SIZE].cast("d")
        self._series: dict[tuple[str, tuple[str, ...]], Series] = {}
        self._per_metric: dict[str, int] = {}
        self._next_int = _SINK
        self._next_float = 1
        self._read_to = 0
        if self._header[0] != _MAGIC:
            self._header[1] = 0
            self._header[0] = _MAGIC

    @classmethod
    def create(cls, name: str = "edgeproxy-counters") -> "Counters":
        """A new, empty map in a memfd of its own."""
        fd = os.memfd_create(name)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> "Counters":
        """Go on with a map that another process made; gauges start from zero."""
        counters = cls(fd)
        counters.reset_gauges()
        return counters

    def __repr__(self) -> str:
        return f"<Counters fd={self.fd} series={len(self._series)} ints={self._next_int}>"

    def close(self) -> None:
        """Give the memory and the descriptor back; slots must no longer be used."""
        for view in (self.ints, self.floats, self._header, self._all):
            view.release()
        self._map.close()
        os.close(self.fd)

    # slots

    def counter(self, metric: str, *labels: str) -> int:
        """The slot in `ints` of a counter's series."""
        return self._slot(metric, labels, Kind.COUNTER).ints

    def total(self, metric: str, *labels: str) -> int:
        """The slot in `floats` of a series that grows by fractions."""
        return self._slot(metric, labels, Kind.TOTAL).floats

    def gauge(self, metric: str, *labels: str) -> int:
        """The slot in `floats` of a gauge; the owner sets it, workers are added up."""
        return self._slot(metric, labels, Kind.GAUGE).floats

    def histogram(self, metric: str, *labels: str) -> Histogram:
        """The slots of a histogram's series."""
        series = self._slot(metric, labels, Kind.HISTOGRAM)
        return Histogram(self.ints, self.floats, METRICS[metric].buckets, series.ints, series.floats)

    def _slot(self, metric: str, labels: tuple[str, ...], kind: Kind) -> Series:
        self.refresh()
        found = self._series.get((metric, labels))
        if found is not None and found.kind == kind:
            return found
        shape = METRICS.get(metric)
        if shape is None or shape.kind is not kind or len(shape.labels) != len(labels):
            raise ValueError(f"{metric}{labels} is no {kind} of telemetry/metrics.py")
        if self._per_metric.get(metric, 0) >= MAX_SERIES:
            other = (OTHER,) * len(labels)
            return self._series.get((metric, other)) or self._append(shape, other)
        return self._append(shape, labels)

    def _append(self, shape: Metric, labels: tuple[str, ...]) -> Series:
        width = 0
        if shape.kind is Kind.COUNTER:
            width = 1
        elif shape.kind is Kind.HISTOGRAM:
            width = len(shape.buckets) + 1
        has_float = shape.kind is not Kind.COUNTER
        series = Series(
            metric=shape.name,
            labels=labels,
            kind=shape.kind,
            ints=self._next_int if width else -1,
            width=width,
            floats=self._next_float if has_float else -1,
        )
        frame = msgspec.msgpack.encode(series)
        end = self._read_to + 4 + len(frame)
        full = self._next_int + width > INT_SLOTS or self._next_float + has_float > FLOAT_SLOTS
        if full or end > _DIRECTORY:
            return msgspec.structs.replace(series, ints=0 if width else -1, floats=0 if has_float else -1)
        start = _HEADER + self._read_to
        self._all[start : start + 4] = len(frame).to_bytes(4, "little")
        self._all[start + 4 : start + 4 + len(frame)] = frame
        self._header[1] = end
        self.refresh()
        return series

    # reading

    def refresh(self) -> None:
        """Take in what was appended to the directory since, by whichever process owns the map."""
        end = self._header[1]
        while self._read_to < end:
            start = _HEADER + self._read_to
            size = int.from_bytes(self._all[start : start + 4], "little")
            series = msgspec.msgpack.decode(self._all[start + 4 : start + 4 + size], type=Series)
            self._read_to += 4 + size
            self._series[series.metric, series.labels] = series
            self._per_metric[series.metric] = self._per_metric.get(series.metric, 0) + 1
            if series.ints >= 0:
                self._next_int = series.ints + series.width
            if series.floats >= 0:
                self._next_float = series.floats + 1

    def series(self) -> Iterator[Series]:
        """Every series there is so far."""
        self.refresh()
        return iter(tuple(self._series.values()))

    def sum_of(self, metric: str) -> int:
        """A counter over all its labels."""
        return sum(self.ints[series.ints] for series in self.series() if series.metric == metric)

    def reset_gauges(self) -> None:
        """Set gauges to zero: their owner is gone or new."""
        for series in self.series():
            if series.kind == Kind.GAUGE:
                self.floats[series.floats] = 0.0
