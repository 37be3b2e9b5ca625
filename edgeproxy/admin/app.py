"""The admin API as one aiohttp application, and the address it is served on.

Must not know what its calls do.
"""

import logging
from typing import Any, Literal, cast

import msgspec
from aiohttp import web

from edgeproxy.admin.auth import check_callers
from edgeproxy.admin.bodies import MAX_BODY, read_json
from edgeproxy.admin.ports import Node, Reloads, UnknownOrigin
from edgeproxy.admin.problems import Handler, Problem, tell_problems
from edgeproxy.admin.purge import purge_handler
from edgeproxy.admin.standing import Standing

_log = logging.getLogger("edgeproxy.admin")


class SteerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an origin shall be."""

    state: Literal["drain", "up", "down"]


def make_app(node: Node, reloads: Reloads) -> web.Application:
    """All calls; errors are problems, and nobody calls without leave."""

    async def steer(request: web.Request) -> web.Response:
        body = await read_json(request, SteerBody)
        name, origin = request.match_info["upstream"], request.match_info["origin"]
        try:
            return web.json_response(await node.steer(name, origin, body.state))
        except UnknownOrigin as error:
            raise Problem(404, str(error)) from error

    async def reload(request: web.Request) -> web.Response:
        try:
            done = await reloads.reload()
        except Exception as error:
            mistakes = getattr(error, "mistakes", None)
            if mistakes is None:
                raise
            detail = "the configuration was not reloaded, the old one stays in force"
            raise Problem(422, detail, mistakes=mistakes) from error
        return web.json_response({"changed": done.changed, "needs_restart": done.needs_restart})

    app = web.Application(
        middlewares=[
            tell_problems,
            cast(Any, check_callers(lambda: node.config.admin.token)),
            note_changes,
        ],
        client_max_size=MAX_BODY,
    )
    standing = Standing(node)
    app.router.add_get("/healthz", standing.healthz)
    app.router.add_get("/readyz", standing.readyz)
    app.router.add_get("/metrics", standing.metrics)
    app.router.add_get("/workers", standing.workers)
    app.router.add_get("/nodes", standing.nodes)
    app.router.add_get("/explain", standing.explain)
    app.router.add_get("/upstreams", standing.upstreams)
    app.router.add_get("/config", standing.config)
    app.router.add_post("/purge", purge_handler(node))
    app.router.add_post("/upstreams/{upstream}/origins/{origin:.+}", steer)
    app.router.add_post("/reload", reload)
    return app


@web.middleware
async def note_changes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log who changed something."""
    response = await handler(request)
    if request.method == "POST":
        _log.info("%s called POST %s", request.remote, request.path)
    return response
