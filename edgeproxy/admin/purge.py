"""POST /purge: from a body to an order.

Must not know how purges are carried out.
"""

import msgspec
from aiohttp import web

from edgeproxy.admin.bodies import read_json
from edgeproxy.admin.ports import Node, PurgeOrder
from edgeproxy.admin.problems import Handler, Problem
from edgeproxy.config.units import format_rate, parse_duration, parse_rate

MAX_NAMED = 10_000  # URLs and tags in one call
MAX_WAIT = 25.0  # seconds
MIN_RATE, MAX_RATE = 1 / 60, 2000.0  # URLs a second


class PurgeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of the body, as they are named there."""

    urls: list[str] = []
    tags: list[str] = []
    prefix: str | None = None
    host: str | None = None
    everything: bool = False
    soft: bool = False
    wait: str = "2s"
    dry_run: bool = False
    rate: str | None = None


def order_of(body: PurgeBody) -> PurgeOrder:
    """The order that a body gives. Raises Problem 422."""
    if not (body.urls or body.tags or body.prefix is not None or body.host is not None or body.everything):
        raise Problem(422, "name what to purge: urls, tags, prefix, host or everything")
    if len(body.urls) + len(body.tags) > MAX_NAMED:
        raise Problem(422, f"more than {MAX_NAMED} URLs and tags in one call; make several")
    if not all(body.tags):
        raise Problem(422, "a tag is empty")
    try:
        wait = parse_duration(body.wait)
    except ValueError as error:
        raise Problem(422, f"wait: {error}") from error
    if wait > MAX_WAIT:
        raise Problem(422, f"wait: at most {MAX_WAIT:g}s")
    rate = _rate_of(body)
    return PurgeOrder(
        urls=tuple(body.urls),
        tags=tuple(body.tags),
        prefix=body.prefix,
        host=body.host,
        everything=body.everything,
        soft=body.soft,
        wait=wait,
        dry_run=body.dry_run,
        rate=rate,
    )


def _rate_of(body: PurgeBody) -> float | None:
    """URLs a second. Raises Problem 422."""
    if body.rate is None:
        return None
    try:
        rate = parse_rate(body.rate)
    except ValueError as error:
        raise Problem(422, f"rate: {error}") from error
    if not body.soft:
        raise Problem(
            422,
            "rate goes with soft only: what must not be served again cannot be removed little by little; "
            'add "soft": true, or leave rate out',
        )
    if not MIN_RATE <= rate <= MAX_RATE:
        raise Problem(422, f"rate: from {format_rate(MIN_RATE)} to {format_rate(MAX_RATE)}")
    return rate


def purge_handler(node: Node) -> Handler:
    """The handler of POST /purge."""

    async def purge(request: web.Request) -> web.Response:
        order = order_of(await read_json(request, PurgeBody))
        return web.json_response(await node.purge(order))

    return purge
