"""The shop answers as a good origin does: validators, lifetimes, tags, gzip, and counted queries."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from edgeproxy.demo import catalog, shop

PRODUCTS = 120


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    catalog.create(path, PRODUCTS)
    return path


@pytest.fixture
async def client(database: Path) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(shop.build(database)), auto_decompress=False) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "control", "tag"),
    [
        ("/", "public, max-age=60, stale-while-revalidate=30", "home"),
        ("/category/tea", "public, max-age=60", "category-tea"),
        ("/product/17", "public, max-age=300", "product-17"),
        ("/search?q=amber", "public, max-age=10", "search"),
        ("/api/products", "public, max-age=30", "products"),
        ("/api/products/17", "public, max-age=30", "product-17"),
        ("/api/search?q=amber", "public, max-age=10", "search"),
        ("/static/app.css", "public, max-age=86400", "static"),
        ("/static/img/17.svg", "public, max-age=86400", "product-17"),
    ],
)
async def test_public_answers_carry_lifetime_tags_and_etag(
    client: TestClient, path: str, control: str, tag: str
) -> None:
    answer = await client.get(path)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == control
    assert tag in answer.headers["Surrogate-Key"].split()
    again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    assert again.headers["Content-Type"] == answer.headers["Content-Type"]
    assert await again.read() == b""


async def test_not_modified_since_its_last_change(client: TestClient) -> None:
    changed = (await client.get("/product/17")).headers["Last-Modified"]
    assert (await client.get("/product/17", headers={"If-Modified-Since": changed})).status == 304
    old = {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}
    assert (await client.get("/product/17", headers=old)).status == 200
    assert (await client.get("/product/17", headers={"If-Modified-Since": "yesterday"})).status == 200


async def test_text_is_gzipped_for_those_who_accept_it(client: TestClient) -> None:
    plain = await client.get("/product/17", headers={"Accept-Encoding": "identity"})
    zipped = await client.get("/product/17", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    refused = await client.get("/product/17", headers={"Accept-Encoding": "gzip;q=0"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert plain.headers["Vary"] == zipped.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != zipped.headers["ETag"]
    assert gzip.decompress(await zipped.read()) == await plain.read()


@pytest.mark.parametrize(
    "path", ["/category/nothing", "/category/tea?page=99", "/product/0", "/static/img/0.svg"]
)
async def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "public, max-age=5"


async def test_search_takes_wildcards_literally(client: TestClient) -> None:
    assert await (await client.get("/api/search?q=%25")).json() == []
    identity = {"Accept-Encoding": "identity"}
    found = await (await client.get("/api/search?q=amber", headers=identity)).json()
    assert found
    assert all("amber" in (each["name"] + each["text"]).lower() for each in found)


async def test_a_new_price_is_written_and_seen(client: TestClient) -> None:
    before = await client.get("/api/products/20")
    answer = await client.post("/api/products/20/price", json={"price": 12.34})
    assert answer.status == 200
    assert answer.headers["Content-Location"] == "/api/products/20"
    after = await client.get("/api/products/20")
    assert (await after.json())["price"] == 12.34
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.headers["Last-Modified"] != before.headers["Last-Modified"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"price": -1}', b'{"price": "much"}', b'{"price": NaN}']
)
async def test_a_bad_price_is_refused(client: TestClient, body: bytes) -> None:
    json_type = {"Content-Type": "application/json"}
    answer = await client.post("/api/products/21/price", data=body, headers=json_type)
    assert answer.status == 400
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_account_is_private_and_remembers_its_session(client: TestClient) -> None:
    answer = await client.get("/account")
    assert answer.headers["Cache-Control"].startswith("private")
    assert "session" in answer.cookies
    signed_in = await client.post("/account/login", data={"name": "Ada <b>"}, allow_redirects=False)
    assert signed_in.status == 303
    session = signed_in.cookies["session"].value
    added = await client.post("/api/cart", json={"product": 3, "quantity": 2}, cookies={"session": session})
    assert added.status == 201
    cart = await client.get("/api/cart", cookies={"session": session})
    assert [(line["product"], line["quantity"]) for line in await cart.json()] == [(3, 2)]
    page = await client.get("/account", cookies={"session": session}, headers={"Accept-Encoding": "identity"})
    assert "Hello, Adab" in await page.text()


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"product": "x"}, 400), ({"product": 1, "quantity": 0}, 400), ({"product": 10**8}, 404)],
)
async def test_a_cart_takes_only_products_that_exist(
    client: TestClient, body: dict[str, object], status: int
) -> None:
    assert (await client.post("/api/cart", json=body)).status == status


async def test_a_form_puts_into_the_cart_and_leads_to_the_account(client: TestClient) -> None:
    answer = await client.post("/api/cart", data={"product": "5"}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/account")


async def test_stats_count_requests_and_queries_but_not_themselves(client: TestClient) -> None:
    before = await (await client.get("/stats")).json()
    await client.get("/healthz")
    await client.get("/product/17")
    stats = await client.get("/stats")
    after = await stats.json()
    assert stats.headers["Cache-Control"] == "no-store"
    assert after["requests"] - before["requests"] == 1
    assert after["queries"] - before["queries"] == 3


async def test_events_beat_and_announce_prices(client: TestClient) -> None:
    async with client.get("/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        await client.post("/api/products/22/price", json={"price": 5})
        while not (line := await stream.content.readline()).startswith(b"event: price"):
            assert line
        assert json.loads((await stream.content.readline()).removeprefix(b"data: "))["price"] == 5
    async with client.get("/events?count=1") as stream:
        assert await stream.text() == "event: beat\ndata: 1\n\n"


async def test_websocket_echoes(client: TestClient) -> None:
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("hello")
        await socket.send_bytes(b"\x00\x01")
        assert (await socket.receive_str(), await socket.receive_bytes()) == ("hello", b"\x00\x01")


async def test_closing_ends_streams_and_sockets(database: Path) -> None:
    server = TestServer(shop.build(database))
    async with TestClient(server) as client:
        stream = await client.get("/events")
        socket = await client.ws_connect("/ws")
        await server.close()
        await stream.text()
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_two_shops_share_one_database(database: Path) -> None:
    async with (
        TestClient(TestServer(shop.build(database))) as one,
        TestClient(TestServer(shop.build(database))) as other,
    ):
        await asyncio.gather(
            *(one.post(f"/api/products/{n}/price", json={"price": n}) for n in range(30, 40)),
            *(other.post(f"/api/products/{n}/price", json={"price": n}) for n in range(40, 50)),
        )
        for number in range(30, 50):
            assert (await (await other.get(f"/api/products/{number}")).json())["price"] == number


def test_the_catalogue_is_the_same_on_every_machine() -> None:
    first = catalog.make_products(3)[0]
    assert (first.id, first.category) == (1, "bags")
    assert catalog.make_products(3) == catalog.make_products(50)[:3]
