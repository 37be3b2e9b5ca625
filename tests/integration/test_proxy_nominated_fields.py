"""What a client nominates away with Connection is gone for the cache too; nobody speaks for another."""

import pytest

from tests.integration.raw_origins import origin
from tests.integration.shop_origin import Shop, caching, field
from tests.plane import plane

VARY = caching()


@pytest.mark.parametrize("name", ["RSC", "Accept-Language", "Accept-Encoding"])
async def test_a_varied_field_nominated_away_does_not_poison_its_variant(name: str) -> None:
    shop = Shop("Cache-Control: max-age=60", f"Vary: {name}", body=b"without")
    async with origin(shop) as raw, plane(VARY, o=raw.url) as proxy:
        await proxy.get("/a", {name: "1", "Connection": f"keep-alive, {name}"})
        assert field(shop.last, name.lower().encode()) is None
        shop.body = b"with"
        victim = await proxy.get("/a", {name: "1"})
        assert victim.body == b"with"
        absent = await proxy.get("/a")
        assert (absent.body, len(shop.heads)) == (b"without", 2)


async def test_fields_that_speak_for_another_are_not_passed_on_from_anyone() -> None:
    shop = Shop("Cache-Control: max-age=60")
    told = {
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Port": "1",
        "X_Forwarded_For": "6.6.6.6",
        "Content_Length": "99",
        "X-Real-IP": "6.6.6.6",
        "True-Client-IP": "6.6.6.6",
    }
    async with origin(shop) as raw, plane(VARY, o=raw.url) as proxy:
        await proxy.get("/a", told)
        head = shop.last.lower()
        for name in told:
            assert name.lower().encode() + b":" not in head


async def test_a_failing_origin_is_not_named_to_clients() -> None:
    async with plane(VARY, o="http://127.0.0.1:1") as proxy:
        answer = await proxy.get("/a")
        assert (answer.status, answer.body) == (502, b"502 Bad Gateway: connection refused\n")
