"""Content codings applied to bodies: gzip, brotli, zstd (RFC 9110 §8.4.1, RFC 7932, RFC 8878).

Must not know whose body it is, nor whether coding it pays.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import brotli
import zstandard

PIECE = 128 * 1024
"""Bytes between two looks at whether the result is still wanted: a few milliseconds of work."""
# A body is coded once and sent often. Measured on scripts, pages and JSON: 40 to 60 MB/s each; a step
# further costs more than twice the time for a percent of the size. Zstandard's window stays within the
# 8 MiB that clients must support (RFC 9659).
_GZIP_LEVEL = 6
_BROTLI_QUALITY = 6
_ZSTD_LEVEL = 8
_GZIP_FORMAT = 31  # to zlib: the largest window, in gzip's wrapping, whose time is then 0


class Encoder(Protocol):
    """Takes a body in pieces."""

    def add(self, piece: bytes | memoryview) -> bytes: ...
    def end(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        encoder = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
        self.add, self.end = encoder.compress, encoder.flush


class _Brotli:
    def __init__(self) -> None:
        encoder = brotli.Compressor(quality=_BROTLI_QUALITY)
        self.add, self.end = encoder.process, encoder.finish


class _Zstd:
    def __init__(self, size: int) -> None:
        encoder = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=size)
        self.add, self.end = encoder.compress, encoder.flush


def encoder(coding: bytes, size: int) -> Encoder:
    """What applies `coding` to a body of `size` bytes. Raises ValueError for a coding unknown here."""
    if coding == b"gzip":
        return _Gzip()
    if coding == b"br":
        return _Brotli()
    if coding == b"zstd":
        return _Zstd(size)
    raise ValueError(f"no content coding of this proxy: {coding!r}")


def encoded(
    coding: bytes, body: Sequence[bytes], given_up: Callable[[], bool] = lambda: False
) -> tuple[bytes, ...] | None:
    """The body in that coding; None once `given_up`, which is asked between pieces.

    Raises ValueError for a coding unknown here.
    """
    works = encoder(coding, sum(map(len, body)))
    pieces: list[bytes] = []
    for segment in body:
        view = memoryview(segment)
        for start in range(0, len(view), PIECE):
            if given_up():
                return None
            pieces.append(works.add(view[start : start + PIECE]))
    pieces.append(works.end())
    return tuple(piece for piece in pieces if piece)
