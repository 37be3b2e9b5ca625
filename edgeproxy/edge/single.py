"""Requests that go to an origin for one client: as they are, body and all, or to become a tunnel.

Must not know stored responses, but for those that an unsafe request makes outdated.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from edgeproxy.caching.invalidation import SAFE_METHODS, invalidated_tags, invalidated_targets
from edgeproxy.caching.reasons import Fwd
from edgeproxy.caching.vary import normalised_fields
from edgeproxy.edge.answers import Answers
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.ledger import Outcome
from edgeproxy.edge.outgoing import request_id
from edgeproxy.edge.request import Request
from edgeproxy.edge.tunnel import Tunnels
from edgeproxy.wire.heads import ResponseHead


def cancel_this_task() -> Callable[[], None]:
    """For a fetch that nobody but this client wants."""
    task = asyncio.current_task()

    def cancel() -> None:
        if task is not None:
            task.cancel()

    return cancel


class Single:
    """Carries requests of one client."""

    def __init__(self, fetcher: Fetcher, answers: Answers, tunnels: Tunnels) -> None:
        self._fetcher = fetcher
        self._answers = answers
        self._tunnels = tunnels

    def __repr__(self) -> str:
        return f"<Single {self._fetcher!r} {self._tunnels!r}>"

    async def forward(self, request: Request, *, store: bool = False) -> None:
        """Forward a request as it is, body and all; with `store` its answer may be of use to others."""
        out, head, route = request.out, request.head, request.route
        bypasses = request.fwd in (Fwd.BYPASS, Fwd.METHOD)
        request.note.outcome = Outcome.BYPASS if bypasses else Outcome.MISS
        fill = self._fetcher.begin(
            request.key,
            head,
            route,
            store=store,
            why=request.why,
            conditionals_forwarded=True,
            leader=out,
        )
        # What others may get must be what the origin answers to the fields that they share.
        asked = replace(head, fields=normalised_fields(head, route.policy)) if store else head
        outgoing = request.plan.outgoing.request(asked, out.client, route, body=out.body)
        request.note.request_id = request_id(outgoing)
        safe = head.method in SAFE_METHODS
        if safe:  # else the answer tells what to invalidate, whoever is left to read it
            out.on_gone = cancel_this_task()
        await self._fetcher.run(fill, request.upstream, outgoing)
        assert fill.head is not None
        request.note.origin = fill.origin_key
        try:
            if not safe:
                await self._invalidate(request, fill, fill.head)
            self._answers.grow(request, fill, collapsed=False)
        finally:
            fill.settle()

    async def _invalidate(self, request: Request, fill: Fill, head: ResponseHead) -> None:
        """Let go what an unsafe request made outdated."""
        router = request.plan.router
        named = (router.key_of(target) for target in invalidated_targets(request.head, head))
        keys, tags = list(dict.fromkeys(named)), list(invalidated_tags(request.head, head))
        await self._fetcher.invalidated(keys, tags, fill)

    async def upgrade(self, request: Request, protocol: bytes) -> None:
        """Let the origin switch protocols, and become a tunnel if it does (RFC 9110 §7.8)."""
        out, head, route = request.out, request.head, request.route
        request.note.outcome = Outcome.BYPASS
        request.fwd = Fwd.BYPASS
        fill = self._fetcher.begin(request.key, head, route, store=False, why=request.why, leader=out)
        outgoing = request.plan.outgoing.request(head, out.client, route, upgrade=protocol)
        request.note.request_id = request_id(outgoing)
        out.on_gone = cancel_this_task()
        await self._fetcher.run(fill, request.upstream, outgoing)
        assert fill.head is not None
        request.note.origin = fill.origin_key
        if fill.head.status == 101 and fill.exchange is not None:
            out.switch(fill.head)
            self._tunnels.join(
                out.take_over(), fill.exchange.take_over(), request.upstream.settings.timeouts.idle
            )
            fill.on_end(None)  # what flows from now on is nobody's response
        else:
            self._answers.grow(request, fill, collapsed=False)
            fill.settle()
