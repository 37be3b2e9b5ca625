"""Active health checks: asks each origin, now and then, and tells what it found.

Must not know workers or connections in use. Runs once a node, in the supervisor.
"""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from edgeproxy.errors import DnsFailure
from edgeproxy.upstream.dns import DnsResolver, Resolver
from edgeproxy.upstream.location import Location, parse_location
from edgeproxy.upstream.settings import HealthCheck, UpstreamSettings
from edgeproxy.upstream.tls import make_context

log = logging.getLogger(__name__)

MOST_BODY = 64 * 1024
"""Bytes of an answer's body in which the text that makes it good is looked for."""

Report = Callable[[str, str, bool], None]
"""(upstream, origin's key, healthy)."""


@dataclass(slots=True)
class Tally:
    """What the checks of one origin came to; `healthy` is None until the thresholds decide.

    `seen` takes one result and says what to report: a change, or each good result of a healthy
    origin (that is how a passed check ends an ejection); None: nothing.
    """

    unhealthy_after: int
    healthy_after: int
    healthy: bool | None = None
    good: int = 0
    bad: int = 0

    def seen(self, passed: bool) -> bool | None:
        if passed:
            self.good += 1
            self.bad = 0
            if self.healthy is False and self.good < self.healthy_after:
                return None
            self.healthy = True
            return True
        self.good = 0
        self.bad += 1
        if self.healthy is False or self.bad < self.unhealthy_after:
            return None
        self.healthy = False
        return False


class HealthChecker:
    """Checks the origins of all upstreams that ask for it; `start`, then `close`.

    `report` is called in the event loop: on each change, and on each check a healthy origin passes.
    """

    def __init__(self, upstreams: Iterable[UpstreamSettings], report: Report) -> None:
        self._upstreams = [upstream for upstream in upstreams if upstream.health_check is not None]
        self._report = report
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: list[aiohttp.ClientSession] = []

    def __repr__(self) -> str:
        return f"<HealthChecker {len(self._tasks)} origins>"

    async def start(self) -> None:
        """Begin to check. Raises ValueError where a TLS file is unusable."""
        for settings in self._upstreams:
            check = settings.health_check
            assert check is not None
            resolver = DnsResolver(settings.resolver) if settings.resolver else None
            locations = [parse_location(origin.url) for origin in settings.origins]
            context = make_context(settings.tls) if any(place.tls for place in locations) else None
            for location in dict.fromkeys(locations):
                session = _session(location, check, resolver)
                self._sessions.append(session)
                probe = _Probe(settings, location, check, context, session, self._report)
                name = f"health {settings.name} {location.key}"
                self._tasks.append(asyncio.create_task(probe.run(), name=name))

    async def close(self) -> None:
        """Check no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for session in self._sessions:
            await session.close()
        self._sessions.clear()


class _Probe:
    """The checks of one origin."""

    def __init__(
        self,
        settings: UpstreamSettings,
        location: Location,
        check: HealthCheck,
        context: ssl.SSLContext | None,
        session: aiohttp.ClientSession,
        report: Report,
    ) -> None:
        self._upstream = settings.name
        self._key = location.key
        self._check = check
        self._body = None if check.body is None else check.body.encode()
        self._session = session
        self._report = report
        self._tally = Tally(check.unhealthy_after, check.healthy_after)
        host = location.authority.decode("ascii")
        path = location.prefix.decode("ascii") + check.path
        self._url = URL(f"{location.scheme}://{host}{path}", encoded=True)
        own = settings.host_header in ("preserve", "origin")
        self._headers = {"Host": host if own else settings.host_header}
        self._context = context if location.tls else None
        self._server_name = settings.tls.server_name if location.tls else None

    async def run(self) -> None:
        while True:
            reason = await self._ask()
            verdict = self._tally.seen(reason is None)
            if verdict is not None:
                self._tell(verdict, reason)
            # Spread, so that nodes do not ask in step.
            spread = self._check.jitter * random.uniform(-1, 1)
            await asyncio.sleep(self._check.interval * (1 + spread))

    async def _ask(self) -> str | None:
        """Why the check failed, None if it passed."""
        try:
            async with self._session.get(
                self._url,
                headers=self._headers,
                allow_redirects=False,
                ssl=self._context if self._context is not None else True,
                server_hostname=self._server_name,
            ) as answer:
                if not any(low <= answer.status <= high for low, high in self._check.status):
                    return f"status {answer.status}"
                if self._body is None or self._body in await _beginning(answer):
                    return None
                return f"its body has no {self._check.body!r}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or type(error).__name__

    def _tell(self, healthy: bool, reason: str | None) -> None:
        if not healthy:
            log.warning(
                "origin %s of %s fails its health check (%s): it gets no requests until it passes again",
                self._key,
                self._upstream,
                reason,
            )
        elif self._tally.good == self._tally.healthy_after:
            log.info("origin %s of %s passes its health check", self._key, self._upstream)
        self._report(self._upstream, self._key, healthy)


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body; the check's own timeout bounds the wait."""
    found = b""
    while len(found) < MOST_BODY:
        piece = await answer.content.read(MOST_BODY - len(found))
        if not piece:
            break
        found += piece
    return found


def _session(location: Location, check: HealthCheck, resolver: Resolver | None) -> aiohttp.ClientSession:
    connector: aiohttp.BaseConnector
    if location.path is not None:
        connector = aiohttp.UnixConnector(location.path, force_close=True)
    else:
        # Each check connects anew and resolves anew, so that it asks where requests would go.
        own = _OurResolver(resolver) if resolver is not None else aiohttp.ThreadedResolver()
        kept = _KeptAddresses(own, check.timeout / 2)
        connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False, resolver=kept)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=check.timeout),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "edgeproxy-health"},
    )


class _KeptAddresses(AbstractResolver):
    """What a resolver says of an origin, or else what it said last, as requests keep their addresses too.

    A DNS server that is down must not take every origin out of use. `patience` is in seconds.
    """

    def __init__(self, resolver: AbstractResolver, patience: float) -> None:
        self._resolver = resolver
        self._patience = patience
        self._last: list[ResolveResult] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._patience if self._last else None):
                self._last = await self._resolver.resolve(host, port, family)
        except OSError:  # a TimeoutError is one
            if not self._last:
                raise
        return self._last

    async def close(self) -> None:
        await self._resolver.close()


class _OurResolver(AbstractResolver):
    """Lets aiohttp ask the DNS server of the upstream."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            answer = await self._resolver.resolve(host, port)
        except DnsFailure as error:
            raise OSError(str(error)) from error
        return [
            ResolveResult(
                hostname=host,
                host=str(address.sockaddr[0]),
                port=port,
                family=address.family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer.addresses
        ]

    async def close(self) -> None:
        return
