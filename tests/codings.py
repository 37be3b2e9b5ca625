"""What a client does with a coded body. Must not know what is tested with it."""

import gzip

import brotli
import zstandard

CODINGS = ("zstd", "br", "gzip")


def decoded(coding: str | bytes | None, body: bytes) -> bytes:
    """The body without its content coding; None is none."""
    match coding.decode() if isinstance(coding, bytes) else coding:
        case None:
            return body
        case "gzip":
            return gzip.decompress(body)
        case "br":
            return bytes(brotli.decompress(body))
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    raise AssertionError(coding)
