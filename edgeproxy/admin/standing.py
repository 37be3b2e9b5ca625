"""The calls that only look: healthz, readyz, metrics, workers, nodes, upstreams, config, explain.

Must not know how any of it is found out.
"""

import re

from aiohttp import web

from edgeproxy.admin.ports import Node
from edgeproxy.admin.problems import Problem
from edgeproxy.telemetry.collector import CONTENT_TYPE
from edgeproxy.wire.fields import RawField

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MAX_FIELDS = 100


class Standing:
    """Handlers of the GET calls."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while the process lives."""
        return web.json_response({"status": "alive", "node": self._node.name})

    async def readyz(self, request: web.Request) -> web.Response:
        """200 when the node should get traffic; `strict=1` counts upstreams without a healthy origin too."""
        reasons = self._node.not_ready()
        health = self._node.health()
        if request.query.get("strict") == "1":
            reasons += [
                f"upstream {name} has no healthy origin"
                for name, origins in health.items()
                if not any(origins.values())
            ]
        body = {
            "ready": not reasons,
            "reasons": reasons,
            "node": self._node.name,
            "upstreams": health,
            "purge_log": self._node.purge_log(),
        }
        return web.json_response(body, status=503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text."""
        return web.Response(body=self._node.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def workers(self, request: web.Request) -> web.Response:
        """One entry a worker."""
        return web.json_response(await self._node.workers())

    async def nodes(self, request: web.Request) -> web.Response:
        """The fleet's nodes, this one first."""
        return web.json_response(await self._node.nodes())

    async def upstreams(self, request: web.Request) -> web.Response:
        """Each upstream with its origins."""
        return web.json_response(await self._node.upstreams())

    async def config(self, request: web.Request) -> web.Response:
        """What is in force, secrets masked."""
        return web.json_response(self._node.config.masked())

    async def explain(self, request: web.Request) -> web.Response:
        """Why a URL is, or is not, answered from a store."""
        unknown = set(request.query) - {"url", "header"}
        if unknown:
            raise Problem(400, f"explain takes url and header, not {', '.join(sorted(unknown))}")
        urls = request.query.getall("url", [])
        if len(urls) != 1:
            raise Problem(400, "explain wants one url")
        headers = request.query.getall("header", [])
        if len(headers) > _MAX_FIELDS:
            raise Problem(400, f"explain takes at most {_MAX_FIELDS} header fields")
        return web.json_response(await self._node.explain(urls[0], [field_of(each) for each in headers]))


def field_of(text: str) -> RawField:
    """A field line from `Name: value`. Raises Problem 400."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        raise Problem(400, f"header {text!r} is no header field; write Name:value")
    return name.encode(), value.encode("latin-1")
