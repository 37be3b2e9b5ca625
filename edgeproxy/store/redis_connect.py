"""Knows how to make connections to Redis from its URL, and how to name it in a log without its password.

Must not know commands.
"""

from collections.abc import Callable

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connector(url: str, timeout: float, connect_timeout: float) -> Callable[[], AbstractConnection]:
    """Makes connections whose every reply is bounded by `timeout` seconds; raises ValueError on a bad URL.

    redis:// and rediss:// with user and password, unix://path. No retries of redis-py's own: the breaker
    decides when to try again.
    """
    settings: dict[str, object] = {
        "protocol": 2,  # what Redis 6.2 speaks; also spares the handshake of RESP3
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    if not url.startswith("unix:"):
        settings["socket_keepalive"] = True
    pool = ConnectionPool.from_url(url, **settings)
    try:
        # Connects nothing: an unknown option in the URL shows here instead of at run time.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError as error:
        raise ValueError(f"{place(url)}: {error}") from error
    return pool.make_connection


def place(url: str) -> str:
    """Where that URL points, without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
