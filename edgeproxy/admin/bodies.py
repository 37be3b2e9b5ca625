"""Knows how a call's body becomes a value: JSON, bounded, no unknown members, no wrong types.

Must not know what the value is for.
"""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from edgeproxy.admin.problems import Problem
from edgeproxy.admin.wording import with_advice

MAX_BODY = 1024 * 1024  # bytes
BODY_TIMEOUT = 10.0  # seconds

Value = TypeVar("Value")


async def read_json(request: web.Request, kind: type[Value]) -> Value:
    """The body as a `kind`. Raises Problem: 415, 413, 408, 400 (no JSON), 422 (JSON that does not fit)."""
    if request.content_type != "application/json":
        raise Problem(415, "the body wants Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            data = await request.read()
    except TimeoutError as error:
        raise Problem(408, f"the body did not arrive within {BODY_TIMEOUT:g} s") from error
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {error}") from error
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise Problem(422, with_advice(str(error), kind)) from error
