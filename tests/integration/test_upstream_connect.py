"""Ways to an origin: TLS, unix sockets, IPv6, names; and active checks."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from edgeproxy.errors import (
    ConnectRefused,
    ConnectTimeout,
    DnsFailure,
    NoHealthyOrigin,
    TlsFailure,
    UpstreamError,
)
from edgeproxy.upstream.build import make_upstream
from edgeproxy.upstream.connect import open_connection
from edgeproxy.upstream.dns import SystemResolver
from edgeproxy.upstream.health import HealthChecker
from edgeproxy.upstream.origin import Address
from edgeproxy.upstream.settings import (
    Ejection,
    HealthCheck,
    OriginSettings,
    Timeouts,
    TlsSettings,
    UpstreamSettings,
)
from tests.integration.dns_server import DnsServer, dns_server
from tests.integration.raw_origins import RawOrigin, Records, Talk, origin, until, upstream
from tests.integration.test_upstream_exchange import HELLO, Fetched, always, fetch
from tests.loops import both_loops
from tests.unit.upstream.helpers import get


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


# --- TLS


@both_loops
async def test_an_https_origin_is_verified_and_told_the_name(authority: trustme.CA, ca_file: str) -> None:
    names: list[str | None] = []
    context = server_context(authority, "localhost", "127.0.0.1")
    context.sni_callback = lambda _, name, __: names.append(name)  # type: ignore[assignment]
    tls = TlsSettings(ca=ca_file)
    async with origin(always(HELLO), tls=context) as served:
        async with upstream(f"https://localhost:{served.port}", tls=tls) as proxy:
            assert (await fetch(proxy)).body == b"hello"
            assert (await fetch(proxy)).body == b"hello"
            assert served.connections == 1
        async with upstream(f"https://127.0.0.1:{served.port}", tls=tls) as proxy:
            assert (await fetch(proxy)).body == b"hello"
    assert names[0] == "localhost"


@both_loops
async def test_the_name_to_verify_can_be_set(authority: trustme.CA, ca_file: str) -> None:
    context = server_context(authority, "inner.test")
    async with origin(always(HELLO), tls=context) as served:
        url = f"https://127.0.0.1:{served.port}"
        async with upstream(url, tls=TlsSettings(ca=ca_file, server_name="inner.test")) as proxy:
            assert (await fetch(proxy)).body == b"hello"
        async with upstream(url, tls=TlsSettings(ca=ca_file)) as proxy:
            with pytest.raises(TlsFailure) as caught:
                await proxy.exchange(get(), Fetched())
            assert caught.value.proxy_error == "tls_certificate_error"


@both_loops
async def test_an_unknown_authority_is_refused_unless_verification_is_off(authority: trustme.CA) -> None:
    context = server_context(authority, "localhost")
    async with origin(always(HELLO), tls=context) as served:
        url = f"https://localhost:{served.port}"
        async with upstream(url) as proxy:
            with pytest.raises(TlsFailure):
                await proxy.exchange(get(), Fetched())
        async with upstream(url, tls=TlsSettings(verify=False)) as proxy:
            assert (await fetch(proxy)).body == b"hello"


@both_loops
async def test_a_client_certificate_is_shown(authority: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    context = server_context(authority, "localhost")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate = tmp_path / "client.pem"
    authority.issue_cert("edge@client.test").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    async with origin(always(HELLO), tls=context) as served:
        url = f"https://localhost:{served.port}"
        shown = TlsSettings(ca=ca_file, certificate=str(certificate))
        async with upstream(url, tls=shown) as proxy:
            assert (await fetch(proxy)).body == b"hello"
        async with upstream(url, tls=TlsSettings(ca=ca_file)) as proxy:
            with pytest.raises(UpstreamError):
                await proxy.exchange(get(), Fetched())


@both_loops
async def test_a_large_body_passes_through_tls_with_pauses(authority: trustme.CA, ca_file: str) -> None:
    size = 8 * 1024 * 1024

    async def script(talk: Talk) -> None:
        while True:
            await talk.head()
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // 65536):
                await talk.send(b"x" * 65536)

    async with (
        origin(script, tls=server_context(authority, "localhost")) as served,
        upstream(f"https://localhost:{served.port}", tls=TlsSettings(ca=ca_file)) as proxy,
    ):
        for _ in range(2):
            sink = Fetched()
            exchange = await proxy.exchange(get(), sink)
            while not sink.over:
                exchange.pause()
                await asyncio.sleep(0.002)
                exchange.resume()
                await asyncio.sleep(0.002)
            assert sink.body == b"x" * size
        assert served.connections == 1


@both_loops
async def test_an_origin_that_speaks_no_tls_is_a_tls_failure(ca_file: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1)
        await talk.send(HELLO)
        await talk.ended()

    async with origin(script) as served:
        url = f"https://localhost:{served.port}"
        async with upstream(url, tls=TlsSettings(ca=ca_file)) as proxy:
            with pytest.raises(TlsFailure):
                await proxy.exchange(get(), Fetched())


@both_loops
async def test_a_silent_handshake_is_a_connect_timeout(ca_file: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    settings: dict[str, Any] = {"tls": TlsSettings(ca=ca_file), "timeouts": Timeouts(connect=0.2)}
    async with (
        origin(script) as served,
        upstream(f"https://localhost:{served.port}", **settings) as proxy,
    ):
        with pytest.raises(ConnectTimeout):
            await proxy.exchange(get(), Fetched())
        await until(lambda: served.open == 0)


@both_loops
async def test_a_cancelled_handshake_leaves_no_connection(ca_file: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    async with (
        origin(script) as served,
        upstream(f"https://localhost:{served.port}", tls=TlsSettings(ca=ca_file)) as proxy,
    ):
        asking = asyncio.create_task(proxy.exchange(get(), Fetched()))
        await until(lambda: served.open == 1)
        asking.cancel()
        await asyncio.wait([asking])
        await until(lambda: served.open == 0)
        assert proxy.snapshot()[0]["connections"] == 0


@both_loops
async def test_an_upstream_that_closes_while_connecting_opens_nothing() -> None:
    async with origin(always(HELLO)) as served:
        proxy = make_upstream(UpstreamSettings("test", (OriginSettings(served.url),)))
        await proxy.start()
        asking = asyncio.create_task(proxy.exchange(get(), Fetched()))
        # a place is claimed, the socket not connected yet
        while not proxy.snapshot()[0]["connections"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await proxy.close()
        with pytest.raises(NoHealthyOrigin, match="closing"):
            await asking
        assert proxy.snapshot()[0]["connections"] == 0
        with pytest.raises(NoHealthyOrigin, match="closing"):
            await proxy.exchange(get(), Fetched())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(TlsSettings(ca="/nowhere/ca.pem"), id="ca"),
        pytest.param(TlsSettings(certificate="/nowhere/client.pem"), id="certificate"),
    ],
)
async def test_an_unusable_tls_file_is_named(settings: TlsSettings) -> None:
    with pytest.raises(ValueError, match="/nowhere/"):
        async with upstream("https://localhost:1", tls=settings):
            pass


# --- sockets


@both_loops
async def test_an_origin_on_a_unix_socket(tmp_path: Path) -> None:
    served = RawOrigin(always(HELLO))
    path = tmp_path / "app.sock"
    await served.start_unix(path)
    records = Records()
    async with upstream(f"unix:{path}", records=records, host_header="origin") as proxy:
        assert (await fetch(proxy)).body == b"hello"
    await served.stop()
    assert records.tries == [(f"unix:{path}", 200)]


@both_loops
async def test_a_missing_unix_socket_is_refused(tmp_path: Path) -> None:
    async with upstream(f"unix:{tmp_path}/none.sock") as proxy:
        with pytest.raises(ConnectRefused):
            await proxy.exchange(get(), Fetched())


@both_loops
async def test_an_origin_on_ipv6() -> None:
    served = RawOrigin(always(HELLO))
    try:
        await served.start("::1")
    except OSError as error:
        pytest.skip(f"NO IPv6 ON THIS MACHINE: {error}")
    async with upstream(served.url) as proxy:
        assert (await fetch(proxy)).body == b"hello"
        assert proxy.snapshot()[0]["origin"] == f"[::1]:{served.port}"
    await served.stop()


@both_loops
async def test_a_full_backlog_is_a_connect_timeout() -> None:
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = Address(socket.AF_INET, listening.getsockname())
        for _ in range(4):  # fill the queue that nobody accepts from
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address.sockaddr)
        with pytest.raises(ConnectTimeout):
            await open_connection(address, asyncio.Protocol, 0.2)


# --- names


@contextlib.asynccontextmanager
async def named(**settings: Any) -> AsyncIterator[tuple[DnsServer, Callable[..., Any]]]:
    """A DNS server and a way to make an upstream that asks it."""
    async with dns_server() as server:
        yield server, lambda *urls, **more: upstream(*urls, resolver=server.address, **settings, **more)


@both_loops
async def test_every_address_of_a_name_gets_requests() -> None:
    async with named() as (server, make), origin(always(HELLO)) as first:
        second = RawOrigin(always(HELLO))
        await second.start("127.0.0.2", first.port)
        server.table["shop.test", "A"] = ["127.0.0.1", "127.0.0.2"]
        async with make(f"http://shop.test:{first.port}") as proxy:
            for _ in range(4):
                await asyncio.gather(fetch(proxy), fetch(proxy))
        await second.stop()
        assert (first.connections, second.connections) == (1, 1)


@both_loops
async def test_an_address_that_takes_no_connection_is_passed_over_without_a_retry() -> None:
    """As `localhost` with ::1 and 127.0.0.1, and a server on one of them."""
    async with named() as (server, make), origin(always(HELLO)) as served:
        server.table["shop.test", "A"] = ["127.0.0.3", "127.0.0.1"]
        async with make(f"http://shop.test:{served.port}", keepalive=0.0) as proxy:
            for _ in range(8):
                assert (await fetch(proxy)).body == b"hello"
            assert proxy.available()


@both_loops
async def test_a_name_that_moves_is_followed_and_its_old_address_left() -> None:
    async with named(dns_interval=0.1) as (server, make), origin(always(HELLO)) as first:
        second = RawOrigin(always(HELLO))
        await second.start("127.0.0.2", first.port)
        server.table["shop.test", "A"] = ["127.0.0.1"]
        async with make(f"http://shop.test:{first.port}") as proxy:
            await fetch(proxy)
            server.table["shop.test", "A"] = ["127.0.0.2"]
            await until(lambda: first.open == 0)  # the idle connection there goes too
            await fetch(proxy)
        await second.stop()
        assert (first.connections, second.connections) == (1, 1)


@both_loops
async def test_a_connection_in_use_as_its_name_moves_finishes_and_goes() -> None:
    release = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        await release.wait()
        await talk.send(HELLO)
        await talk.ended()

    async with named(dns_interval=0.1) as (server, make), origin(script) as served:
        server.table["shop.test", "A"] = ["127.0.0.1"]
        async with make(f"http://shop.test:{served.port}") as proxy:
            asking = asyncio.create_task(fetch(proxy))
            await until(lambda: served.open == 1)
            server.table["shop.test", "A"] = ["127.0.0.9"]
            await until(lambda: proxy.snapshot()[0]["addresses"][0]["address"].startswith("127.0.0.9"))
            release.set()
            assert (await asking).body == b"hello"
            assert proxy.connections == 0


@both_loops
@pytest.mark.parametrize("fault", ["broken", "silent", "gone"])
async def test_while_dns_fails_the_known_addresses_serve(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with named(dns_interval=0.05) as (server, make), origin(always(HELLO)) as served:
        server.table["shop.test", "A"] = ["127.0.0.1"]
        async with make(f"http://shop.test:{served.port}") as proxy:
            await fetch(proxy)
            if fault == "gone":
                server.table.clear()
            else:
                setattr(server, fault, True)
            asked = len(server.questions)
            await until(lambda: len(server.questions) > asked + 3)
            assert (await fetch(proxy)).body == b"hello"
    if fault != "silent":
        assert "1 known addresses stay in use" in caplog.text


@both_loops
async def test_a_name_unknown_from_the_start_is_a_dns_failure_until_it_resolves() -> None:
    async with (
        named(dns_interval=0.1) as (server, make),
        origin(always(HELLO)) as served,
        make(f"http://shop.test:{served.port}") as proxy,
    ):
        with pytest.raises(DnsFailure):
            await proxy.exchange(get(), Fetched())
        assert proxy.snapshot()[0]["state"] == "unresolved"
        server.table["shop.test", "A"] = ["127.0.0.1"]
        await until(proxy.available)
        assert (await fetch(proxy)).body == b"hello"


@both_loops
async def test_the_ttl_says_when_to_ask_again() -> None:
    async with named() as (server, make):
        server.table["shop.test", "A"] = ["127.0.0.1"]
        server.ttl = 1
        async with make("http://shop.test:1"):
            await until(lambda: len(server.questions) >= 4)  # A and AAAA, twice


@both_loops
async def test_the_system_resolver_knows_localhost_and_not_nonsense() -> None:
    answer = await SystemResolver().resolve("localhost", 80)
    assert Address(socket.AF_INET, ("127.0.0.1", 80)) in answer.addresses
    with pytest.raises(DnsFailure):
        await SystemResolver().resolve("no such name.invalid", 80)


# --- active checks


class Reports:
    """What a checker told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []

    def __call__(self, upstream_name: str, key: str, healthy: bool) -> None:
        self.told.append((upstream_name, key, healthy))

    @property
    def last(self) -> bool | None:
        return self.told[-1][2] if self.told else None


CHECK = HealthCheck("/healthz?deep=%2F", interval=0.05, timeout=0.2, unhealthy_after=2, healthy_after=2)


@contextlib.asynccontextmanager
async def checker(reports: Reports, *urls: str, **settings: Any) -> AsyncIterator[HealthChecker]:
    origins = tuple(OriginSettings(url) for url in urls)
    running = HealthChecker([UpstreamSettings("shop", origins, health_check=CHECK, **settings)], reports)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


@both_loops
async def test_checks_find_an_origin_unhealthy_and_healthy_again() -> None:
    answers = {"status": b"200 OK"}
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        heads.append(await talk.head())
        await talk.send(b"HTTP/1.1 " + answers["status"] + b"\r\nContent-Length: 0\r\n\r\n")

    reports = Reports()
    async with origin(script) as served, checker(reports, served.url + "/base"):
        await until(lambda: reports.last is True)
        answers["status"] = b"500 Oops"
        await until(lambda: reports.last is False)
        count = len(reports.told)
        seen = len(heads)
        await until(lambda: len(heads) > seen + 3)
        assert len(reports.told) == count  # an unhealthy origin is told once
        answers["status"] = b"302 Found"
        await until(lambda: reports.last is True)
        assert heads[0].startswith(b"GET /base/healthz?deep=%2F HTTP/1.1\r\nHost: 127.0.0.1:")
        assert {(name, key) for name, key, _ in reports.told} == {("shop", served.address)}


@both_loops
async def test_a_check_that_hangs_or_is_refused_fails() -> None:
    async def script(talk: Talk) -> None:
        await talk.ended()

    reports = Reports()
    async with origin(script) as hanging, origin(always(HELLO)) as stopped:
        await stopped.stop()
        async with checker(reports, hanging.url, stopped.url):
            await until(lambda: {key for _, key, _ in reports.told} == {hanging.address, stopped.address})
        assert not any(healthy for _, _, healthy in reports.told)


@both_loops
async def test_checks_go_by_tls_unix_socket_and_resolver(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    reports = Reports()
    on_unix = RawOrigin(always(HELLO))
    await on_unix.start_unix(tmp_path / "a.sock")
    context = server_context(authority, "shop.test")
    async with dns_server() as server, origin(always(HELLO), tls=context) as served:
        server.table["shop.test", "A"] = ["127.0.0.1"]
        urls = [f"https://shop.test:{served.port}", f"unix:{tmp_path}/a.sock", "https://unknown.test:1"]
        settings: dict[str, Any] = {"tls": TlsSettings(ca=ca_file), "resolver": server.address}
        async with checker(reports, *urls, **settings):
            await until(lambda: len({key for _, key, _ in reports.told}) == 3)
    await on_unix.stop()
    found = {key: healthy for _, key, healthy in reports.told}
    assert found == {
        f"shop.test:{served.port}": True,
        f"unix:{tmp_path}/a.sock": True,
        "unknown.test:1": False,
    }


@both_loops
async def test_all_origins_down_is_said_at_once() -> None:
    async with origin(always(HELLO)) as served:
        await served.stop()
        async with upstream(served.url, ejection=Ejection(1, 30)) as proxy:
            with pytest.raises(ConnectRefused):
                await proxy.exchange(get(), Fetched())
            with pytest.raises(NoHealthyOrigin):
                await proxy.exchange(get(), Fetched())


@both_loops
@pytest.mark.parametrize("outage", ["silent", "broken", "unknown"])
async def test_a_dead_dns_server_takes_no_origin_out_of_use(outage: str) -> None:
    reports, heads = Reports(), 0

    async def script(talk: Talk) -> None:
        nonlocal heads
        await talk.head()
        heads += 1
        await talk.send(HELLO)

    async with dns_server() as server, origin(script) as served:
        server.table["shop.test", "A"] = ["127.0.0.1"]
        async with checker(reports, f"http://shop.test:{served.port}", resolver=server.address):
            await until(lambda: reports.last is True)
            if outage == "unknown":
                server.table.clear()
            else:
                setattr(server, outage, True)
            seen = heads
            await until(lambda: heads > seen + CHECK.unhealthy_after + 1)
            assert {healthy for _, _, healthy in reports.told} == {True}
