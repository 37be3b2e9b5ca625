"""Names of origins into addresses, again and again; the old ones are kept while DNS fails.

Must not know connections or health.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import dns.asyncresolver
import dns.exception
import dns.resolver

from edgeproxy.errors import DnsFailure
from edgeproxy.upstream.origin import Address

log = logging.getLogger(__name__)

SHORTEST_TTL = 1.0
LONGEST_TTL = 300.0
FIRST_BACKOFF = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses of a name; `ttl` in seconds, None where the source does not say."""

    addresses: tuple[Address, ...]
    ttl: float | None = None


class Resolver(Protocol):
    """Resolves a name. Raises DnsFailure."""

    async def resolve(self, host: str, port: int) -> Answer: ...


def literal(host: str, port: int) -> Address | None:
    """The address that an IP literal is, None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return _address(host, port, version)


def _address(host: str, port: int, version: int) -> Address:
    if version == 6:
        return Address(socket.AF_INET6, (host, port, 0, 0))
    return Address(socket.AF_INET, (host, port))


class SystemResolver:
    """What the machine's own resolver says (hosts file, search domains and all); no TTL."""

    def __init__(self, timeout: float = 5.0) -> None:
        self._timeout = timeout

    async def resolve(self, host: str, port: int) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DnsFailure(f"{host}: {error or 'no answer in time'}") from error
        addresses = [
            Address(family, cast("tuple[str, int] | tuple[str, int, int, int]", sockaddr))
            for family, _, _, _, sockaddr in found
            if family in (socket.AF_INET, socket.AF_INET6)
        ]
        return Answer(tuple(dict.fromkeys(addresses)))


class DnsResolver:
    """Asks one DNS server, `HOST` or `HOST:PORT`, and tells the TTL."""

    def __init__(self, server: str, timeout: float = 5.0) -> None:
        host, port = split_server(server)
        self._timeout = timeout
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [host]
        self._resolver.port = port
        self._resolver.lifetime = timeout

    async def resolve(self, host: str, port: int) -> Answer:
        both = await asyncio.gather(
            self._ask(host, port, "A", 4), self._ask(host, port, "AAAA", 6), return_exceptions=True
        )
        answers = [answer for answer in both if isinstance(answer, Answer)]
        addresses = tuple(address for answer in answers for address in answer.addresses)
        if addresses:
            return Answer(addresses, min(a.ttl for a in answers if a.ttl is not None and a.addresses))
        for problem in both:
            if isinstance(problem, BaseException):
                raise problem
        raise DnsFailure(f"{host}: no address")

    async def _ask(self, host: str, port: int, kind: str, version: int) -> Answer:
        try:
            # bounded here too: dnspython's own timeout does not cover every wait
            async with asyncio.timeout(self._timeout):
                found = await self._resolver.resolve(host, kind, search=False, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError) as error:
            raise DnsFailure(f"{host}: {error or 'no answer in time'}") from error
        if found.rrset is None:
            return Answer((), LONGEST_TTL)
        ttl = float(found.chaining_result.minimum_ttl)
        return Answer(tuple(_address(str(record.address), port, version) for record in found), ttl)


def split_server(server: str) -> tuple[str, int]:
    """Host and port of a DNS server's address; port 53 where none is named."""
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        return host, int(rest.removeprefix(":") or 53)
    if server.count(":") == 1:
        host, _, port = server.partition(":")
        return host, int(port)
    return server, 53


class Watch:
    """Keeps one name's addresses current.

    `report` gets each new set of addresses. It is resolved again when its TTL says so (1 s to 5 min),
    after `interval` seconds where no TTL is known; sooner after a failure, backing off up to `interval`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        resolver: Resolver,
        interval: float,
        report: Callable[[Sequence[Address]], None],
    ) -> None:
        self._host = host
        self._port = port
        self._resolver = resolver
        self._interval = interval
        self._report = report
        self._tried = asyncio.Event()
        self._known: frozenset[Address] = frozenset()
        self._failures = 0
        self.last_error: DnsFailure | None = None

    def __repr__(self) -> str:
        state = f"failing({self._failures})" if self._failures else "current"
        return f"<Watch {self._host} {len(self._known)} addresses, {state}>"

    async def first(self, timeout: float) -> None:
        """Wait for the first attempt to be over, however it ended; at most `timeout` seconds."""
        if not self._tried.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._tried.wait()
            except TimeoutError:
                return

    async def run(self) -> None:
        """Resolve for ever; ends by cancellation."""
        while True:
            wait = await self.refresh()
            self._tried.set()
            await asyncio.sleep(wait)

    async def refresh(self) -> float:
        """Resolve once; the seconds until the next time come back."""
        try:
            answer = await self._resolver.resolve(self._host, self._port)
        except DnsFailure as error:
            return self._failed(error)
        if not answer.addresses:
            return self._failed(DnsFailure(f"{self._host}: no address"))
        if self._failures:
            log.info("%s resolves again", self._host)
        self._failures = 0
        self.last_error = None
        found = frozenset(answer.addresses)
        if found != self._known:
            self._known = found
            self._report(answer.addresses)
        return self._wait(answer.ttl)

    def _wait(self, ttl: float | None) -> float:
        if ttl is None:
            return self._interval
        return min(max(ttl, SHORTEST_TTL), LONGEST_TTL)

    def _failed(self, error: DnsFailure) -> float:
        self.last_error = error
        if self._failures == 0:
            keep = (
                f"its {len(self._known)} known addresses stay in use"
                if self._known
                else "no address is known"
            )
            log.warning(
                "%s does not resolve (%s); %s: check the name and the DNS server", self._host, error, keep
            )
        self._failures += 1
        return float(min(FIRST_BACKOFF * 2 ** min(self._failures - 1, 10), self._interval))
