"""One worker's edge over memory alone: the fast path and the slow one, each asked for its bytes.

Must not know what is tested. Nothing here opens a socket; whatever would go to an origin is told apart.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

from edgeproxy.caching import decide
from edgeproxy.caching.build import make_stored
from edgeproxy.caching.compression import as_kept, coded, compressible
from edgeproxy.caching.decide import OnRequest
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.config.load import load_text
from edgeproxy.config.model import Config
from edgeproxy.edge.compress import Compression
from edgeproxy.edge.cycle import Cycle
from edgeproxy.edge.deliver import Deliver
from edgeproxy.edge.fastpath import FastPath
from edgeproxy.edge.forward import Forwarder
from edgeproxy.edge.heads import Heads
from edgeproxy.edge.hot import on_evict
from edgeproxy.edge.ledger import Ledger
from edgeproxy.edge.lookup import Lookup
from edgeproxy.edge.outgoing import Outgoing
from edgeproxy.edge.ports import Client
from edgeproxy.edge.request import Plan, Request
from edgeproxy.edge.routing import Router
from edgeproxy.errors import EdgeProxyError
from edgeproxy.fleet.purge_table import PurgeTable
from edgeproxy.server.exchange import Exchange
from edgeproxy.store.layers import Layers
from edgeproxy.store.memory import MemoryTier, Node
from edgeproxy.telemetry.counters import Counters
from edgeproxy.wire.content_coding import encoded
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.framing import keep_alive
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.limits import HeadLimits
from edgeproxy.wire.request_head import parse_request_head

T0 = 1_700_000_000.0
"""Wall seconds at which a rig begins."""

PLAIN = "upstreams: {o: {origins: ['http://127.0.0.1:1']}}\nroutes: [{name: all, upstream: o}]"


class StillClock:
    """Stands until it is moved."""

    def __init__(self, now: float = T0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - T0


class Wire:
    """Where an Exchange writes: what a client connection does, without the socket."""

    last_words = False
    linger = 0

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.flow = SimpleNamespace(paused=False)

    def write(self, data: bytes | memoryview) -> None:
        self.written += bytes(data)

    def write_many(self, pieces: Any) -> None:
        self.written += b"".join(pieces)

    def exchange_ended(self, exchange: Exchange) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


class WouldForward(EdgeProxyError):
    """The cycle wanted an origin."""


class Nowhere(Forwarder):
    """Stands where requests would leave for an origin."""

    def __init__(self) -> None:
        self.revalidated: list[StoredResponse] = []
        self.asked = 0

    def vain(self, key: bytes) -> bool:
        return False

    async def alone(self, request: Request, *, store: bool = False) -> None:
        self.asked += 1
        raise WouldForward(str(request.fwd))

    async def upgrade(self, request: Request, protocol: bytes) -> None:
        await self.alone(request)

    async def together(self, request: Request, validated: StoredResponse | None) -> None:
        await self.alone(request)

    def revalidate(self, request: Request, stored: StoredResponse) -> None:
        self.revalidated.append(stored)


class Rig:
    """The edge of one worker by a configuration; close it in the end."""

    def __init__(self, text: str = PLAIN, budget: int = 4 << 20, scheme: bytes = b"http") -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = StillClock()
        self.counters = Counters.create()
        self.purges = PurgeTable.create()
        self.memory = MemoryTier(budget, on_evict)
        self.ledger = Ledger(self.counters, None, self.clock)
        self.lookup = Lookup(self.memory, self.behind(), self.purges, self.ledger, self.clock)
        self.scheme = scheme
        self.generation = 0
        self.fast = FastPath(
            scheme=scheme,
            trusted=False,
            lookup=self.lookup,
            purges=self.purges,
            counters=self.counters,
            ledger=self.ledger,
            budget=budget // 8,
            now=T0,
        )
        self.forwarder = Nowhere()
        self.follow(load_text(text, {}))

    def close(self) -> None:
        self.loop.close()
        self.fast.fold()
        self.fast._seq = self.fast._ints = memoryview(b"")
        self.counters.close()
        self.purges.close()

    def behind(self) -> Layers | None:
        """The tiers behind memory."""
        return None

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow(self, config: Config) -> None:
        """As at start and reload."""
        heads = Heads(config.server.name)
        self.generation += 1
        self.router = Router(config)
        self.plan = Plan(
            self.router, _UPSTREAMS, Outgoing(config.server.name, "n1"),
            Deliver(heads, config.server.name), heads,
        )  # fmt: skip
        self.cycle = Cycle(
            self.plan,
            lookup=self.lookup,
            forwarder=self.forwarder,
            compression=Compression(self.lookup, self.purges, self.clock, self.ledger),
            ledger=self.ledger,
            clock=self.clock,
        )
        self.cycle.early._draw = lambda: 1.0  # what is not decided by chance
        self.fast.follow(self.router, heads, HeadLimits(), self.generation)

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        self.fast.now = self.clock.now

    # --- storing

    def store(
        self, request: bytes, head: ResponseHead, body: bytes = b"hello", delay: float = 0.0
    ) -> Node | None:
        """Store an answer as a fill would; None where it may not be."""
        asked = self.parse(request)
        route = self.router.match(asked.target, asked.method)
        if route is None or storable(asked, head, route.policy, self.clock.now) is not None:
            return None
        stored = make_stored(
            asked,
            head,
            body,
            self.clock.now - delay,
            self.clock.now,
            route.policy,
            self.purges.stamp(),
            self.router.key_of(asked.target),
            origin_seconds=0.25,
        )
        stored = as_kept(stored, asked, route.policy)
        self.lookup.keep(stored, route.policy)
        if compressible(stored, route.policy):  # the first coding is there, others are not
            coding = route.policy.compress[0]
            self.lookup.keep(coded(stored, coding, encoded(coding, stored.body)), route.policy)
        primary = self.memory.get(stored.key)
        return primary.find(stored.variant) if primary is not None else None

    # --- asking

    def parse(self, data: bytes) -> RequestHead:
        return parse_request_head(data, self.scheme, HeadLimits())

    def answer(self, data: bytes) -> bytes | None:
        """The fast path's answer, in one piece."""
        wire = self.fast.answer(data)
        return wire if wire is None or isinstance(wire, bytes) else b"".join(wire)

    def decision(self, data: bytes) -> OnRequest | None:
        """What `decide` says of a request now; None without a route."""
        head = self.parse(data)
        route = self.router.match(head.target, head.method)
        if route is None:
            return None
        found = self.lookup.peek(self.router.key_of(head.target), head, route.policy)
        return decide.on_request(
            head, found.stored, route.policy, self.clock.now, soft_purged=found.soft_purged
        )

    def slow(self, data: bytes) -> bytes | None:
        """The bytes that cycle and exchange answer; None where they would ask an origin."""
        head = self.parse(data)
        wire = Wire()
        done = self.loop.create_future()
        exchange = Exchange(
            wire,  # type: ignore[arg-type]
            head,
            Client(b"127.0.0.1", self.scheme),
            None,
            keep_alive(head),
            self.clock.monotonic(),
            done,
        )
        asked = self.forwarder.asked
        serving = self.cycle.serve(exchange, self.clock.monotonic())
        try:
            serving.send(None)
        except StopIteration:
            return wire.written if self.forwarder.asked == asked else None
        finally:
            serving.close()
        raise AssertionError("a hit in memory waits for nothing")

    def count(self, metric: str, *labels: str) -> int:
        return self.counters.ints[self.counters.counter(metric, *labels)]


class _Named:
    """An upstream as far as a request that never reaches it needs one."""

    def __init__(self, name: str) -> None:
        self.name = name


def asks(target: str = "/", method: str = "GET", *lines: str, host: str = "shop.test") -> bytes:
    """The bytes of a request's head."""
    fields = "".join(f"{line}\r\n" for line in lines)
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode("latin-1")


def says(*lines: str, status: int = 200) -> ResponseHead:
    """The head of an origin's answer."""
    pairs = (line.partition(": ") for line in lines)
    fields = Fields((name.encode("latin-1"), value.encode("latin-1")) for name, _, value in pairs)
    return ResponseHead(status, b"OK", 1, fields)


_UPSTREAMS: Any = {"o": _Named("o")}
