"""Knows how the shop's answers carry HTTP caching: validators, lifetimes, tags, gzip and its Vary.

Must not know products or the database.
"""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from aiohttp import web

COMPRESS_FROM = 512  # bytes; below it gzip costs more than it saves


@dataclass(frozen=True, slots=True)
class Caching:
    """What caches are told: the field Cache-Control and the tags to purge by."""

    control: str
    tags: Sequence[str] = ()


PRIVATE = Caching("private, no-cache")
NO_STORE = Caching("no-store")


def reply(
    request: web.Request, body: str | bytes, media: str, caching: Caching, updated: int | None = None
) -> web.Response:
    """The answer to a GET or HEAD: 200, or 304 when what the client holds is current.

    `updated` (seconds since the Unix epoch) becomes Last-Modified. Text is gzipped for
    those who accept it; each coding has a strong ETag of its own. RFC 9110 §8.8, §13.
    """
    content = body.encode() if isinstance(body, str) else body
    fields = {"Cache-Control": caching.control, "Content-Type": media}
    if caching.tags:
        fields["Surrogate-Key"] = " ".join(caching.tags)
    if updated is not None:
        fields["Last-Modified"] = formatdate(updated, usegmt=True)
    zipped = False
    if media.startswith(("text/", "application/json", "image/svg")) and len(content) >= COMPRESS_FROM:
        fields["Vary"] = "Accept-Encoding"
        zipped = _accepts_gzip(request.headers.get("Accept-Encoding", ""))
    digest = hashlib.blake2b(content, digest_size=9).hexdigest()
    fields["ETag"] = f'"{digest}-gzip"' if zipped else f'"{digest}"'
    if _is_current(request, fields["ETag"], updated):
        return web.Response(status=304, headers=fields)
    if zipped:
        content = gzip.compress(content, 6, mtime=0)
        fields["Content-Encoding"] = "gzip"
    return web.Response(body=content, headers=fields)


def _accepts_gzip(accepted: str) -> bool:
    for member in accepted.lower().split(","):
        coding, _, weight = member.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _is_current(request: web.Request, etag: str, updated: int | None) -> bool:
    held = request.headers.get("If-None-Match")
    if held is not None:
        return held.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in held.split(","))
    since = request.headers.get("If-Modified-Since")
    if since is None or updated is None:
        return False
    try:
        return updated <= parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError):
        return False
