"""Which origin a client's requests reach: hashed, sticky, canary, by priority; over real sockets."""

import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.integration.raw_origins import RawOrigin, origin, until
from tests.plane import Answer, Proxy, plane, respond

SECRET = "a secret that is long enough"


@contextlib.asynccontextmanager
async def shops(*names: str) -> AsyncIterator[dict[str, RawOrigin]]:
    """Origins that answer with their name."""
    async with contextlib.AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(origin(respond(body=name.encode()))) for name in names}


def config(balance: str = "", route: str = "cache: {enabled: false}", origins: str = "${a} ${b} ${c}") -> str:
    urls = ", ".join(f'"{url}"' for url in origins.split())
    return f"""
server: {{listen: "127.0.0.1:0", trusted_proxies: [127.0.0.1]}}
upstreams:
  shop: {{origins: [{urls}], {balance}}}
routes: [{{name: all, upstream: shop, {route}}}]
"""


async def asked(proxy: Proxy, *fields: dict[str, str], target: str = "/") -> list[str]:
    return [(await proxy.get(target, each)).body.decode() for each in fields]


# --- consistent hashing


@pytest.mark.parametrize(
    ("by", "field"), [("{header: X-Tenant}", "X-Tenant: {}"), ("{cookie: user}", "Cookie: a=b; user={}")]
)
async def test_requests_with_the_same_value_reach_the_same_origin(by: str, field: str) -> None:
    name, _, value = field.partition(": ")
    users = [{name: value.format(user)} for user in range(30)]
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(config(f"balance: consistent_hash, hash: {by}"), **urls) as proxy:
            first = await asked(proxy, *users)
            assert await asked(proxy, *users, target="/another") == first
            assert set(first) == {"a", "b", "c"}
            await up["b"].stop()
            after = await asked(proxy, *users)
            moved = [(old, new) for old, new in zip(first, after, strict=True) if old != new]
            assert {old for old, _ in moved} == {"b"}
            assert len(moved) == first.count("b")


async def test_without_the_value_and_by_default_the_url_decides() -> None:
    targets = [f"/{number}" for number in range(30)]
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        for by in ("", "hash: {header: X-Tenant}"):
            async with plane(config(f"balance: consistent_hash, {by}"), **urls) as proxy:
                first = [(await proxy.get(target)).body for target in targets]
                assert [(await proxy.get(target)).body for target in targets] == first
                assert set(first) == {b"a", b"b", b"c"}


# --- sticky


STICKY = f'cache: {{enabled: false}}, sticky: {{secret: "{SECRET}"}}'


def given(answer: Answer) -> str | None:
    line = answer.get("set-cookie")
    return None if line is None else line.decode()


def cookie_of(line: str | None) -> dict[str, str]:
    assert line is not None
    return {"Cookie": line.partition(";")[0]}


async def test_a_client_stays_with_its_origin_by_a_cookie_that_tells_nothing() -> None:
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(config(route=STICKY), **urls) as proxy:
            first = await proxy.get("/")
            line = given(first)
            assert line is not None
            assert re.fullmatch(r"edgeproxy_origin=[\w-]{24}; Path=/; HttpOnly; SameSite=Lax", line)
            answers = [await proxy.get("/", cookie_of(line)) for _ in range(9)]
            assert {answer.body for answer in answers} == {first.body}
            assert [given(answer) for answer in answers] == [None] * 9
            others = [await proxy.get("/") for _ in range(3)]
            assert {answer.body for answer in others} == {b"a", b"b", b"c"}
            assert len({given(answer) for answer in others}) == 3
        text = config(route=STICKY.replace("long", "other"))
        async with plane(text, **urls) as proxy:  # another secret, another cookie
            assert given(await proxy.get("/", cookie_of(line))) is not None


async def test_the_client_of_an_origin_that_is_away_gets_another_and_stays_there() -> None:
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(config(route=STICKY), **urls) as proxy:
            first = await proxy.get("/")
            await up[first.body.decode()].stop()
            cookie = cookie_of(given(first))
            second = await proxy.get("/", cookie)
            assert second.status == 200
            assert second.body != first.body
            moved = cookie_of(given(second))
            answers = [await proxy.get("/", moved) for _ in range(6)]
            assert {answer.body for answer in answers} == {second.body}


async def test_a_drained_origin_loses_its_clients() -> None:
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(config(route=STICKY), **urls) as proxy:
            first = await proxy.get("/")
            proxy.plane.steer("shop", up[first.body.decode()].address, "drain")
            second = await proxy.get("/", cookie_of(given(first)))
            assert second.body != first.body
            assert given(second) is not None


@pytest.mark.parametrize("value", ["", "x", "a" * 24, "a" * 4000, "\xe4\xf6", "127.0.0.1:80"])
async def test_a_cookie_that_is_not_ours_is_as_good_as_none(value: str) -> None:
    async with shops("a", "b", "c") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(config(route=STICKY), **urls) as proxy:
            answer = await proxy.get("/", {"Cookie": f"edgeproxy_origin={value}"})
            assert answer.status == 200
            assert given(answer) is not None


async def test_no_cookie_where_caches_on_the_way_would_hand_it_to_others_and_secure_over_tls() -> None:
    public = respond(fields=["Cache-Control: public, max-age=60"])
    async with origin(public) as o, plane(config(route=STICKY, origins="${o}"), o=o.url) as proxy:
        assert given(await proxy.get("/")) is None
    async with origin(respond()) as o, plane(config(route=STICKY, origins="${o}"), o=o.url) as proxy:
        line = given(await proxy.get("/", {"X-Forwarded-Proto": "https"}))
        assert line is not None
        assert line.endswith("; SameSite=Lax; Secure")


# --- canary


def canary(weight: str, more: str = "") -> str:
    route = f"cache: {{enabled: false}}, canary: {{upstream: next, weight: {weight}{more}}}"
    text = config(route=route, origins="${a}")
    return text.replace("upstreams:\n", 'upstreams:\n  next: {origins: ["${n}"]}\n')


def from_client(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"10.1.{number // 250}.{number % 250}, 10.0.0.1"}


async def test_a_share_of_the_clients_gets_the_canary_and_always_the_same_ones() -> None:
    clients = [from_client(number) for number in range(200)]
    async with shops("a", "n") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(canary("25%"), **urls) as proxy:
            first = await asked(proxy, *clients)
            assert await asked(proxy, *clients, target="/more") == first
            assert 25 < first.count("n") < 75
        async with plane(canary("50%"), **urls) as proxy:
            wider = await asked(proxy, *clients)
            assert all(new == "n" for old, new in zip(first, wider, strict=True) if old == "n")
            assert 70 < wider.count("n") < 130


@pytest.mark.parametrize(("weight", "expected"), [("0%", {"a"}), ("100%", {"n"}), ("50%", {"a", "n"})])
async def test_at_random_any_request_may_be_one_for_the_canary(weight: str, expected: set[str]) -> None:
    async with shops("a", "n") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(canary(weight, ", by: random"), **urls) as proxy:
            assert set(await asked(proxy, *[{}] * 60)) == expected


async def test_a_client_with_a_cookie_stays_on_its_side_of_a_random_canary() -> None:
    text = canary("50%", ", by: random").replace("canary:", f'sticky: {{secret: "{SECRET}"}}, canary:')
    async with shops("a", "n") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(text, **urls) as proxy:
            seen: dict[bytes, str | None] = {}
            while len(seen) < 2:
                answer = await proxy.get("/")
                seen[answer.body] = given(answer)
            for body, line in seen.items():
                answers = [await proxy.get("/", cookie_of(line)) for _ in range(20)]
                assert {answer.body for answer in answers} == {body}


async def test_a_canary_that_is_down_gets_nobody() -> None:
    async with shops("a", "n") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(canary("100%"), **urls) as proxy:
            assert await asked(proxy, {}) == ["n"]
            proxy.plane.set_health("next", up["n"].address, False)
            assert await asked(proxy, {}) == ["a"]


# --- priorities


async def test_a_backup_serves_while_the_first_is_away_and_no_longer() -> None:
    text = config(balance="ejection: {consecutive_failures: 1, for: 10m}", origins="${a}").replace(
        '["${a}"]', '[{url: "${b}", priority: 1}, "${a}"]'
    )
    async with shops("a", "b") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(text, **urls) as proxy:
            assert await asked(proxy, *[{}] * 4) == ["a"] * 4
            port = up["a"].port
            await up["a"].stop()
            assert await asked(proxy, *[{}] * 4) == ["b"] * 4
            await up["a"].start(port=port)
            proxy.plane.set_health("shop", up["a"].address, True)  # a check found it
            assert await asked(proxy, *[{}] * 4) == ["a"] * 4


async def test_weights_hold_over_sockets() -> None:
    text = config(origins="${a}").replace('["${a}"]', '[{url: "${a}", weight: 3}, {url: "${b}"}]')
    async with shops("a", "b") as up:
        urls = {key: each.url for key, each in up.items()}
        async with plane(text, **urls) as proxy:
            assert Counter(await asked(proxy, *[{}] * 40)) == {"a": 30, "b": 10}
            assert [each["weight"] for each in proxy.plane.snapshot()["upstreams"]["shop"]] == [3, 1]
            await until(lambda: proxy.busy_origins == 0)
