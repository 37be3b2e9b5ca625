"""The fixture itself: a real server starts, hangs, dies and comes back empty on the same port."""

import pytest
import redis

from tests.redis_server import RedisServer


def test_starts_answers_and_ends() -> None:
    with RedisServer(maxmemory="3mb") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory")["maxmemory"] == str(3 * 1024 * 1024)
        directory = server.directory
    assert not directory.exists()
    assert server.process is None


def test_comes_back_empty_on_the_same_port() -> None:
    with RedisServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("k", "v")
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("k") is None


def test_paused_it_does_not_answer_and_resumed_it_does() -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url, socket_timeout=0.1, retry=None) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.get("k")
        server.resume()
    with pytest.raises(AssertionError):
        _ = server.pid


def test_says_why_it_did_not_start() -> None:
    server = RedisServer(no_such_option="1")
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    server.close()


def test_shared_one_is_empty_for_each_test(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.dbsize() == 0
