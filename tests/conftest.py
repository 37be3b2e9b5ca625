"""Fixtures that more than one folder of tests uses; keep it small."""

from collections.abc import Iterator

import pytest
import redis
from hypothesis import settings

from tests.redis_server import RedisServer

# A busy machine must fail no property: none is timed in milliseconds. The same examples each time, so that
# a change is judged by what it changed; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("edgeproxy", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("edgeproxy")


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One real redis-server for the whole run; do not stop or pause it."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """The shared redis-server, emptied. Tests that kill or pause one make their own."""
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis
