"""What spares the origins: refetches held to a rate (`admission`), dead ones left alone (`backoff`).

Must not know clients, nor what they get meanwhile (`instead`).
"""

import asyncio
from collections.abc import Callable, Mapping

from msgspec import structs

from edgeproxy.caching.decide import SERVER_ERRORS, Again
from edgeproxy.caching.reasons import Reason
from edgeproxy.clock import Clock
from edgeproxy.edge.admission import Admissions, Gate, NotAdmitted
from edgeproxy.edge.backoff import Backoff, Held
from edgeproxy.edge.fill import Fill
from edgeproxy.edge.request import Plan
from edgeproxy.errors import BadResponse, EdgeProxyError, NoHealthyOrigin, UpstreamError
from edgeproxy.upstream.upstream import Upstream

Popular = Callable[[str, bytes, int], None]
"""Hears of a route, a key, and how often it was hit."""
PASSING = frozenset({Reason.DISABLED, Reason.METHOD, Reason.REQUEST_BODY})
"""Why something is forwarded that was never to be answered from a store: it is no refetch."""


class Shield:
    """Stands before the upstreams of a worker."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self.admissions = Admissions(loop)
        self.backoff = Backoff()
        self._clock = clock
        self._upstreams: Mapping[str, Upstream] = {}

    def __repr__(self) -> str:
        return f"<Shield {self.admissions!r} {self.backoff!r}>"

    async def admit(self, fill: Fill, upstream: Upstream) -> Upstream:
        """Wait until a fetch may begin, and from where: a reload may have replaced the upstream.

        Raises NotAdmitted.
        """
        job = fill.job
        gate = self.admissions.of(upstream)
        if gate is None or job.why in PASSING:
            return upstream
        if fill.collapse_key is None:
            gate.asked(job.key)
        if gate.busy:
            await gate.admit(job.key, background=job.leader is None)
            # The stamp stays: a purge while it waited counts as one while it was fetched.
            clock = self._clock
            fill.job = structs.replace(job, started=clock.monotonic(), request_time=clock.wall())
            return self._upstreams.get(upstream.name, upstream)
        await gate.admit(job.key, background=False)
        return upstream

    def failed(self, fill: Fill, error: EdgeProxyError) -> None:
        """No head came that could be judged."""
        job = fill.job
        # Of those without any origin nobody waits, and who does not ask does not hear of the first one.
        local = isinstance(error, NotAdmitted | NoHealthyOrigin) or not isinstance(error, UpstreamError)
        if job.validated is not None and not local and not isinstance(fill.decision, Again):
            now = self._clock.monotonic()
            self.backoff.failed(job.key, job.route.backoff, now, bad=isinstance(error, BadResponse))

    def answered(self, fill: Fill) -> None:
        """A head came and was judged."""
        job = fill.job
        if fill.answered not in SERVER_ERRORS:
            self.backoff.succeeded(job.key)
        elif job.validated is not None:
            now = self._clock.monotonic()
            self.backoff.failed(job.key, job.route.backoff, now, status=fill.answered)

    def held(self, key: bytes) -> Held | None:
        """What is known of a key whose last validation failed."""
        return self.backoff.of(key)

    def may_try(self, key: bytes) -> bool:
        """Whether a fetch in the background for that key is due, which is then counted as the one."""
        held = self.backoff.of(key)
        return held is None or self.backoff.probes(held, self._clock.monotonic())

    def follow(self, plan: Plan) -> Popular | None:
        """Who wants to hear how often each route's keys are hit; None where no upstream is held to a rate."""
        self._upstreams = plan.upstreams
        gates: dict[str, Gate] = {}
        for route in plan.router.routes:
            upstream = plan.upstreams.get(route.upstream or "")
            gate = self.admissions.of(upstream) if upstream is not None else None
            if gate is not None and route.policy.enabled:
                gates[route.name] = gate
        paced = {name for name, upstream in plan.upstreams.items() if upstream.settings.admission is not None}
        self.admissions.keep(paced)

        def popular(route: str, key: bytes, hits: int) -> None:
            gate = gates.get(route)
            if gate is not None:
                gate.asked(key, hits)

        return popular if gates else None

    def close(self) -> None:
        """Let nobody wait any more."""
        self.admissions.close()
