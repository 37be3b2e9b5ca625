"""Fresh hits in memory, answered inside `data_received`: no await, no task, one write.

Must not answer what `caching.decide` would not answer "use the stored response": a property test
holds the two together. Bytes of a head seen before lead straight to their answer; new ones are
recognised by `wire.fast_head`.
"""

import re
from collections.abc import Callable
from random import random

from edgeproxy.caching.age import corrected_initial_age
from edgeproxy.caching.cache_status import member
from edgeproxy.caching.compression import wanted
from edgeproxy.caching.decide import UseStored, on_request
from edgeproxy.caching.key import cache_key
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.preconditions import Precondition, evaluate, not_modified_fields
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.edge.esi.page import is_page
from edgeproxy.edge.heads import Heads
from edgeproxy.edge.hot import Heats, Hot, Wire, heats_of
from edgeproxy.edge.ledger import Ledger, Outcome
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.outgoing import forwarded_scheme
from edgeproxy.edge.routing import Route, Router
from edgeproxy.edge.straight import Straight, Told
from edgeproxy.errors import BadRequest
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.store.memory import Node
from edgeproxy.telemetry.counters import Counters
from edgeproxy.wire.fast_head import NOT_PLAIN, compile_plain
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head
from edgeproxy.wire.serialise import response_head_bytes
from edgeproxy.wire.target import Target

NO_FIELDS = Fields()
_IF_NONE_MATCH = re.compile(rb"\r\nif-none-match:", re.IGNORECASE)
_UNPLAIN = NOT_PLAIN - {b"host", b"if-none-match"}
HOT_OVERHEAD = 760
"""Bytes that a serialised answer costs beyond its head; its body is the stored one."""
MOST_HEAD = 4096
"""Bytes of the longest head that is remembered."""
MOST_TOUCHED = 4096
"""Responses hit before their hits are counted elsewhere: more would hold the loop up."""
WIRES_SHARE = 4
"""One part in so many of the heads' budget comes on top of it, for answers ready to be sent."""
HEAD_OVERHEAD = 150
"""Bytes that a remembered head costs beyond its own."""


class FastPath:
    """The fast path of one scheme, and of peers that are or are not `trusted` to name another.

    `now` is the coarse wall clock, moved by its owner; `budget` in bytes is what remembered heads may
    take, and a quarter more what answers ready to be sent may. `missed` is, after an `answer` of None, what
    was asked: a plain GET for which nothing is stored, its bytes, its head (without its fields: none matters
    to a cache), route and key. `early` starts a revalidation of what answers a head, `popular` hears how
    often each route's keys were hit.
    """

    __slots__ = (
        "_budget",
        "_generation",
        "_heads",
        "_ints",
        "_ledger",
        "_limits",
        "_lookup",
        "_match",
        "_memory",
        "_names",
        "_old",
        "_purges",
        "_remembered",
        "_reserved",
        "_router",
        "_scheme",
        "_seq",
        "_straight",
        "_touched",
        "_trusted",
        "_warm",
        "_warmth",
        "early",
        "last",
        "missed",
        "now",
        "popular",
        "told",
    )

    def __init__(
        self,
        *,
        scheme: bytes,
        trusted: bool,
        lookup: Lookup,
        purges: PurgeTable,
        counters: Counters,
        ledger: Ledger,
        budget: int,
        now: float,
    ) -> None:
        # shared
        self._scheme = scheme
        self._trusted = trusted
        self._lookup = lookup
        self._memory = lookup.memory
        self._purges = purges
        self._seq = purges.seq
        self._ints = counters.ints
        self._ledger = ledger
        self._touched: list[Hot] = []
        self._warm: dict[Hot, None] = {}  # those that have bytes to send
        self._warmth = 0
        self.early: Callable[[RequestHead], object] | None = None
        self.popular: Callable[[str, bytes, int], object] | None = None
        self._straight = Straight(lookup, purges, counters, ledger)
        self.last: Hot | Told | None = None
        self.told: Told | None = None  # what was just answered from the node's tier
        self.missed: tuple[bytes, RequestHead, Route, bytes] | None = None
        # rules
        self._router: Router | None = None
        self._names: Heads | None = None
        self._limits = HeadLimits()
        self._match = compile_plain(self._limits)
        self._generation = 0
        # memo: two generations of remembered heads
        self._heads: dict[bytes, Hot] = {}
        self._old: dict[bytes, Hot] = {}
        self._remembered = 0
        self._reserved = False
        self._budget = budget
        self.now = now

    def __repr__(self) -> str:
        return f"<FastPath {self._scheme!r} heads={len(self._heads)}+{len(self._old)}>"

    def follow(self, router: Router, names: Heads, limits: HeadLimits, generation: int) -> None:
        """Answer by these rules from now on; what was serialised by others is not used again."""
        self._router = router
        self._names = names
        self._limits = limits
        self._match = compile_plain(limits)
        self._generation = generation
        self._straight.follow(names)
        self._heads.clear()
        self._old.clear()
        self._remembered = 0

    def answer(self, data: bytes) -> Wire | None:
        """The whole answer to the head `data`, or None: then it is to be served the slow way."""
        hot = self._heads.get(data)
        if hot is None:
            hot = self._learn(data)
            if hot is None:
                told, self.told = self.told, None
                if told is None:
                    return None
                self.last = told
                wire, told.wire = told.wire, b""  # the log keeps what it was told
                return wire
        if self.now >= hot.valid_until or self._seq[0] != hot.purge_seq:
            if not hot.renew(self.now, self._purges):
                self._heads.pop(data, None)
                self.missed = None
                # What died may have been replaced, or be in the node's tier still.
                return self.answer(data) if hot.node is None else None
            if hot.early_chance:
                self._draw(hot, data)
            self._warm[hot] = None
            self._warmth += len(hot.wire)
            if self._warmth > self._budget // WIRES_SHARE:
                self._cool(hot)
        if not hot.node.visited:  # type: ignore[union-attr]  # a renewed one has its node
            hot.node.visited = True  # type: ignore[union-attr]
        self._ints[hot.requests_slot] += 1
        hits = hot.hits
        if not hits:
            if len(self._touched) >= MOST_TOUCHED:
                self._fold_hits()
            self._touched.append(hot)
        hot.hits = hits + 1
        self.last = hot
        return hot.wire

    def fold(self) -> None:
        """Add what hits since the last time mean for the other metrics; to be called now and then."""
        self._fold_hits()
        self._straight.fold()
        self._cool()

    def _fold_hits(self) -> None:
        touched, self._touched = self._touched, []
        routes: dict[str, tuple[int, int, float]] = {}
        for hot in touched:
            hits, size, saved = routes.get(hot.route, (0, 0, 0.0))
            now, hot.hits = hot.hits, 0
            hot.drawn += now
            if self.popular is not None and hot.node is not None:
                self.popular(hot.route, hot.node.stored.key, now)
            routes[hot.route] = hits + now, size + now * hot.sent, saved + now * hot.saved
        for route, counts in routes.items():
            self._ledger.hits(route, *counts)

    def _draw(self, hot: Hot, data: bytes) -> None:
        """Have it revalidated while it is fresh, where one of the requests until its next bytes would."""
        chance, hot.early_chance = hot.early_chance, 0.0
        if self.early is not None and random() < chance:
            self.early(parse_request_head(data, self._scheme_of(data), self._limits))

    def _cool(self, wanted: Hot | None = None) -> None:
        """Let the bytes go that have had their second, or all but the one `wanted` where that is too little.

        They are copies of what is stored: kept, they would double it.
        """
        now = self.now
        kept = {hot: None for hot in self._warm if now < hot.valid_until}
        for hot in self._warm:
            if hot not in kept:
                hot.cool()
        warmth = sum(len(hot.wire) for hot in kept)
        if warmth > self._budget // WIRES_SHARE // 2:
            for hot in kept:
                if hot is not wanted:
                    hot.cool()
            kept, warmth = {}, 0
        self._warm, self._warmth = kept, warmth

    # --- learning

    def _learn(self, data: bytes) -> Hot | None:
        """What answers these bytes, if anything does; remembered for the next time."""
        self.missed = None
        hot = self._old.get(data)
        if hot is None or hot.node is None:
            hot = self._recognise(data)
            if hot is None:
                return None
        size = len(data) + HEAD_OVERHEAD
        if size <= MOST_HEAD and (self._reserved or self._reserve()):
            self._heads[data] = hot
            self._remembered += size
            if self._remembered > self._budget // 2:
                self._old, self._heads, self._remembered = self._heads, {}, 0
        return hot

    def _reserve(self) -> bool:
        """Count the room for remembered heads once there is one: most paths of a worker see none."""
        self._reserved = self._memory.reserve(self._budget + self._budget // WIRES_SHARE)
        return self._reserved

    def _recognise(self, data: bytes) -> Hot | None:
        match = self._match(data)
        if match is None:
            return self._conditional(data) if _IF_NONE_MATCH.search(data) else None
        method, written, host = match
        path, mark, query = written.partition(b"?")
        scheme = forwarded_scheme(data, self._scheme) if self._trusted else self._scheme
        return self._hot(Target(scheme, host, path, query if mark else None), method, data, None)

    def _conditional(self, data: bytes) -> Hot | None:
        """A request plain but for If-None-Match, which a 304 or the whole answers."""
        if data.find(b"\r\n\r\n") != len(data) - 4:
            return None
        try:
            head = parse_request_head(data, self._scheme_of(data), self._limits)
        except BadRequest:
            return None
        if head.method != b"GET" or head.minor != 1 or not _UNPLAIN.isdisjoint(head.fields.index):
            return None
        if (head.fields.get(b"connection") or b"keep-alive").lower() != b"keep-alive":
            return None
        return self._hot(head.target, head.method, b"", head)

    def _scheme_of(self, data: bytes) -> bytes:
        return forwarded_scheme(data, self._scheme) if self._trusted else self._scheme

    def _hot(self, target: Target, method: bytes, data: bytes, parsed: RequestHead | None) -> Hot | None:
        """The serialised answer to a request, made if need be; `data` is its head where not `parsed` yet.

        None, and `told`, where it comes from the node's tier and stays there.
        """
        router = self._router
        route = router.match(target, method) if router is not None else None
        if router is None or route is None or route.redirect_to is not None:
            return None
        policy, plain_get = route.policy, parsed is None and method == b"GET"
        key = cache_key(target, policy.key) if method == b"GET" else router.key_of(target)
        primary, brought = None, False
        if policy.enabled:
            primary = self._memory.get(key)
            if primary is None:
                if plain_get:
                    self.told = self._straight.take(key, route, self.now)
                    if self.told is not None:
                        return None
                primary = self._lookup.bring(key, policy)
                brought = plain_get
        if primary is None:
            if plain_get:
                self.missed = (data, RequestHead(method, target, 1, NO_FIELDS), route, key)
            return None
        head = parsed
        if head is None and not primary.name_sets[0] and len(primary) == 1:
            hot = self._known(primary.find(b""), method)
            if hot is not None:
                return hot
            head = RequestHead(method, target, 1, NO_FIELDS)
        elif head is None:
            head = parse_request_head(data, target.scheme, self._limits)
        return self._judged(head, key, route, brought)

    def _judged(self, head: RequestHead, key: bytes, route: Route, brought: bool) -> Hot | None:
        """The answer of what memory holds, as `decide` has it; `brought` there by a plain GET just now."""
        policy = route.policy
        seq = self._seq[0]  # before the verdict on purges: the supervisor moves it meanwhile
        found = self._lookup.peek(key, head, policy)
        if found.node is None or found.stored is None:
            return None
        if policy.compress and wanted(head, found.stored, policy):
            return None  # the slow way has its coded copy made
        if policy.esi and is_page(found.stored.status, found.stored.fields):
            return None  # what is stored is not what is answered
        decision = on_request(head, found.stored, policy, self.now, soft_purged=found.soft_purged)
        if not isinstance(decision, UseStored) or decision.reason is not Reason.FRESH:
            return None
        hot = self._answer_of(head, found.node, found.stored, route, decision.lifetime.seconds, seq)
        if brought and hot is not None:
            self._straight.keep(key, route, hot, found.stored)
        return hot

    def _known(self, node: Node | None, method: bytes) -> Hot | None:
        """The answer that is serialised already; whether it still holds is for `Hot.renew` to say."""
        heats = node.hot if node is not None else None
        if not isinstance(heats, Heats) or heats.generation != self._generation:
            return None
        return heats.get if method == b"GET" else heats.head

    def _answer_of(
        self, head: RequestHead, node: Node, stored: StoredResponse, route: Route, lifetime: float, seq: int
    ) -> Hot | None:
        heats = heats_of(self._memory, node, self._generation)
        precondition = evaluate(head, stored)
        if precondition is Precondition.FAILED:
            return None
        not_modified = precondition is Precondition.NOT_MODIFIED
        kind = "not_modified" if not_modified else "head" if head.method == b"HEAD" else "get"
        hot: Hot | None = getattr(heats, kind)
        if hot is None:
            hot = self._serialise(heats, node, stored, route, lifetime, kind)
            if hot is not None:
                hot.purge_seq = seq
            setattr(heats, kind, hot)
        return hot

    def _serialise(
        self, heats: Heats, node: Node, stored: StoredResponse, route: Route, lifetime: float, kind: str
    ) -> Hot | None:
        assert self._names is not None
        fields = self._names.stored(stored, route)
        status, reason = stored.status, stored.reason
        if kind == "not_modified":
            status, reason, fields = 304, b"Not Modified", not_modified_fields(fields)
        lines = response_head_bytes(status, reason, fields.raw)[:-2]
        heats.size += len(lines) + HOT_OVERHEAD
        self._memory.heat(node, heats, len(lines) + HOT_OVERHEAD)
        if not node.live:
            return None
        return Hot(
            node=node,
            lines=lines,
            body=stored.body if kind == "get" and status != 204 else (),
            cache_status=_around_ttl(self._names.name, route.policy, stored.key),
            came=stored.response_time,
            initial_age=corrected_initial_age(stored.fields, stored.request_time, stored.response_time),
            lifetime=lifetime,
            route=route.name,
            status=status,
            requests_slot=self._ledger.request_slot(route.name, Outcome.HIT, status),
            saved=stored.origin_seconds,
            early=route.early * stored.origin_seconds,
        )


def _around_ttl(name: bytes, policy: CachePolicy, key: bytes) -> tuple[bytes, bytes]:
    """This cache's member of Cache-Status for a fresh hit: what stands before and after the ttl."""
    bare = member(name, hit=True)
    whole = member(
        name,
        hit=True,
        key=key if policy.show_key else None,
        detail=Reason.FRESH.encode() if policy.show_detail else None,
    )
    return bare + b"; ttl=", whole[len(bare) :]
