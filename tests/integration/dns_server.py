"""A tiny DNS server over UDP: A and AAAA answers from a table that a test changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """`table` maps (name, type) to addresses; `silent` answers nothing; `broken` answers SERVFAIL."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], list[str]] = {}
        self.ttl = 1
        self.silent = False
        self.broken = False
        self.questions: list[tuple[str, str]] = []
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind))
        if self.silent:
            return
        answer = dns.message.make_response(query)
        known = {held for held, _ in self.table}
        if self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in known:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif addresses := self.table.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *addresses))
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), address)


@contextlib.asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    """A running server on a port of its own."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(DnsServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
