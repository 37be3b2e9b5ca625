"""Requests that go on towards an origin: alone, together with others, in the background.

Must not know when a stored response would do instead.
"""

from dataclasses import replace

from edgeproxy.caching.decide import Again
from edgeproxy.caching.parts import completable
from edgeproxy.caching.reasons import Fwd
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.caching.validation import conditional_fields
from edgeproxy.caching.vary import normalised_fields
from edgeproxy.clock import Clock
from edgeproxy.edge.aid import FUTILE, NO_AID, Aid
from edgeproxy.edge.answers import Answers
from edgeproxy.edge.fetch import Fetcher
from edgeproxy.edge.fill import CollapseKey, Fill
from edgeproxy.edge.follow import Follower, InVain, Regroup, Served
from edgeproxy.edge.instead import Instead
from edgeproxy.edge.lease_turns import Told
from edgeproxy.edge.outgoing import CONDITIONALS, request_id
from edgeproxy.edge.request import Request
from edgeproxy.edge.revalidations import Revalidations
from edgeproxy.edge.single import Single, cancel_this_task
from edgeproxy.edge.tunnel import Tunnels
from edgeproxy.edge.vain import Vain
from edgeproxy.errors import UpstreamError
from edgeproxy.upstream.exchange import OriginExchange
from edgeproxy.upstream.ports import OriginRequest

REGROUPS = 3
"""So often a follower may turn out to want another variant before it fetches for itself."""


class Forwarder:
    """Carries requests to upstreams and their responses back."""

    def __init__(
        self, fetcher: Fetcher, revalidations: Revalidations, tunnels: Tunnels, clock: Clock
    ) -> None:
        self.fetcher = fetcher
        self.revalidations = revalidations
        self._answers = Answers(fetcher, clock)
        self.instead = Instead(fetcher, revalidations, clock)
        self._follower = Follower(self._answers, self.instead, clock)
        self._single = Single(fetcher, self._answers, tunnels)
        self._clock = clock
        self._unaided = Vain()  # keys whose origin makes nothing of what is stored already

    def __repr__(self) -> str:
        return f"<Forwarder {self.fetcher!r} {self.revalidations!r} {self._single!r}>"

    def vain(self, key: bytes) -> bool:
        """Whether this key's responses could not be shared lately."""
        return self.fetcher.collapse.vain.holds(key, self._clock.monotonic())

    async def forget(self, key: bytes) -> list[bytes]:
        """Remove what is stored under this key, in all tiers; its variants."""
        return await self.fetcher.keeper.forget(key)

    async def alone(self, request: Request, *, store: bool = False) -> None:
        """Forward a request as it is, body and all; with `store` its answer may be of use to others."""
        await self._single.forward(request, store=store)

    async def upgrade(self, request: Request, protocol: bytes) -> None:
        """Let the origin switch protocols, and become a tunnel if it does (RFC 9110 §7.8)."""
        await self._single.upgrade(request, protocol)

    # --- together

    async def together(self, request: Request, validated: StoredResponse | None) -> bool:
        """Wait for a fetch under way, or lead one (RFC 9111 §4, collapsed requests).

        False where another worker or node fetched meanwhile: what it stored is to be looked for.
        """
        if self.instead.at_once(request, validated, self.revalidate):
            return True
        head = request.head
        variant = request.found.variant
        collapses = (
            request.route.collapse
            and head.method == b"GET"
            and request.out.body is None
            and b"authorization" not in head.fields
            and not self.vain(request.key)
        )
        leases, leased = self.fetcher.collapse.leases, True
        for _ in range(REGROUPS if leases is None else 2 * REGROUPS):
            fill = self.fetcher.joinable((request.key, variant)) if collapses else None
            if fill is None:
                if leases is None or not (collapses and leased):
                    break
                told = await leases.told((request.key, variant), request, looks=validated is None)
                if told is Told.LEAD:
                    break
                if told is Told.LOOK:
                    request.looks += 1
                    return False
                leased = told is Told.FOLLOW
                collapses = told is not Told.REFUSED
                continue
            match await self._follower.follow(request, fill):
                case Served():
                    return True
                case Regroup(wanted):
                    variant = wanted
                case InVain():
                    collapses = False
        else:
            collapses = False
        await self._lead(request, validated, variant, collapses)
        return True

    async def _lead(
        self, request: Request, validated: StoredResponse | None, variant: bytes | None, collapses: bool
    ) -> None:
        aid = self._aid(request, validated)
        patience = None if validated is None else self.instead.patience(request)
        if patience is not None and self.revalidations.skips() and self.instead.skipped(request):
            if collapses and self.fetcher.collapse.leases is not None:
                self.fetcher.collapse.leases.release((request.key, variant), failed=True)
            return
        collapse = (request.key, variant) if collapses else None
        fill = self._begin(request, validated, aid, collapse, leads=patience is None)
        outgoing = self._shared_request(request, validated, aid=aid)
        request.note.request_id = request_id(outgoing)
        await self._carry(request, fill, outgoing, patience=patience)

    async def resume(self, request: Request, fill: Fill, begun: OriginExchange) -> None:
        """Go on with a plain request whose fetch is under way in `begun`, for `fill`."""
        if request.route.policy.enabled:
            await self._carry(request, fill, self._shared_request(request, None), begun)
            return
        outgoing = request.plan.outgoing.request(request.head, request.out.client, request.route)
        request.out.on_gone = cancel_this_task()
        await self.fetcher.run(fill, request.upstream, outgoing, begun)
        request.note.origin = fill.origin_key
        try:
            self._answers.grow(request, fill, collapsed=False)
        finally:
            fill.settle()

    async def _carry(
        self,
        request: Request,
        fill: Fill,
        outgoing: OriginRequest,
        begun: OriginExchange | None = None,
        patience: float | None = None,
    ) -> None:
        try:
            if patience is None:
                await self.fetcher.run(fill, request.upstream, outgoing, begun)
            elif await self.instead.led(request, fill, outgoing, patience):
                return
        except UpstreamError as error:
            if not isinstance(fill.decision, Again):
                self._answers.failed(request, error, collapsed=False)
                return
            # What was hoped for did not help: now, and for a while, as if nothing were stored.
            if fill.decision.reason in FUTILE:
                self._unaided.remember(request.key, self._clock.monotonic())
            fill = self._begin(request, None, NO_AID, None)
            await self.fetcher.run(fill, request.upstream, self._shared_request(request, None))
        try:
            self._answers.answer(request, fill, collapsed=False)
        finally:
            fill.settle()

    def _aid(self, request: Request, validated: StoredResponse | None) -> Aid:
        """What is stored that could spare the origin a part of its answer, or all of it."""
        stored, policy = request.found.stored, request.route.policy
        if validated is not None or request.head.method != b"GET" or request.sliced:
            return NO_AID
        if self._unaided.holds(request.key, self._clock.monotonic()):
            return NO_AID
        if stored is not None:
            return Aid(completes=stored) if completable(stored) else NO_AID
        if request.fwd is Fwd.VARY_MISS:
            return Aid(others=tuple(self.fetcher.lookup.others(request.key, request.head, policy)))
        return NO_AID

    def _begin(
        self,
        request: Request,
        validated: StoredResponse | None,
        aid: Aid,
        collapse: CollapseKey | None,
        *,
        leads: bool = True,
    ) -> Fill:
        return self.fetcher.begin(
            request.key,
            request.head,
            request.route,
            store=True,
            why=request.why,
            validated=validated,
            others=aid.others,
            completes=aid.completes,
            soft_purged=request.found.soft_purged,
            leader=request.out if leads else None,  # else it may have its answer before an interim comes
            collapse=collapse,
        )

    def revalidate(self, request: Request, stored: StoredResponse) -> bool:
        """Validate a stored response that was just served; False where that is under way, or not due."""
        collapse = (request.key, stored.variant)
        if self.fetcher.joinable(collapse) is not None or self.revalidations.skips():
            return False
        if not self.fetcher.shield.may_try(request.key):
            return False
        head = request.head
        if head.method != b"GET":
            head = replace(head, method=b"GET")

        def begin() -> Fill:
            return self.fetcher.begin(
                request.key,
                head,
                request.route,
                store=True,
                why=request.why,
                validated=stored,
                soft_purged=request.found.soft_purged,
                collapse=collapse,
            )

        outgoing = self._shared_request(request, stored, method=b"GET")
        self.revalidations.start(self.fetcher, collapse, begin, request.upstream, outgoing)
        return True

    def _shared_request(
        self,
        request: Request,
        validated: StoredResponse | None,
        method: bytes | None = None,
        aid: Aid = NO_AID,
    ) -> OriginRequest:
        """A request whose answer is for all: the client's own conditions are answered here."""
        head = request.head
        fields = normalised_fields(head, request.route.policy)
        if fields is not head.fields:
            head = replace(head, fields=fields)
        add = aid.fields if validated is None else conditional_fields(validated)
        if request.sliced:
            add = (*add, (b"Range", request.head.fields.get(b"range") or b""))
        return request.plan.outgoing.request(
            head, request.out.client, request.route, drop=CONDITIONALS, add=add, method=method
        )
