"""Knows how to make connections to Redis from its URL, and how to name it in a log without its password.

Must not know commands. Single servers, Sentinel and Cluster, each with TLS or without; redis-py does the
greetings, asks the sentinels, and is the whole client where no pipelining is needed.
"""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection, ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from edgeproxy.config.redis_url import RedisAddress, RedisForm, parse_redis_url

Connect = Callable[[], AbstractConnection]


def connector(url: str, timeout: float, connect_timeout: float) -> Connect:
    """Makes connections to a single server, or to the master that sentinels name at that moment.

    Greetings are bounded by `connect_timeout` seconds each, replies of redis-py by `timeout`. Raises
    ValueError on a bad URL. No retries of redis-py's own: the breaker decides when to try again.
    """
    address = parse_redis_url(url)
    settings = _settings(timeout, connect_timeout, keepalive=bool(address.hosts))
    if address.form is RedisForm.SENTINEL:
        pool: ConnectionPool = _sentinel_pool(address, settings)
    else:
        pool = ConnectionPool.from_url(url, **settings)
    return _tried(pool, url)


def node_connector(url: str, timeout: float, connect_timeout: float) -> Callable[[str, int], Connect]:
    """For a cluster's URL: given host and port, makes connections to that node."""
    address = parse_redis_url(url)
    settings = _settings(timeout, connect_timeout)

    def connect_to(host: str, port: int) -> Connect:
        return _tried(ConnectionPool.from_url(address.node_url(host, port), **settings), url)

    connect_to(*address.hosts[0])  # a URL that does not do shows here
    return connect_to


def client(url: str, timeout: float, connect_timeout: float) -> "Redis | RedisCluster":
    """redis-py's own client for that URL, for what needs no pipelining; times in seconds.

    Raises ValueError on a bad URL. One with several servers looks once more for the right one after a
    fault.
    """
    address = parse_redis_url(url)
    settings = _settings(timeout, connect_timeout, keepalive=bool(address.hosts))
    match address.form:
        case RedisForm.SENTINEL:
            return Redis.from_pool(_sentinel_pool(address, settings))
        case RedisForm.CLUSTER:
            return _cluster(address, {**settings, "retry": Retry(NoBackoff(), 1)})
        case _:
            return Redis.from_url(url, **settings)


class _Watchers(Sentinel):
    """Sentinels that are asked rarely: no connection to them is kept."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        try:
            found: tuple[str, int] = await super().discover_master(service_name)
            return found
        finally:
            for sentinel in self.sentinels:
                await sentinel.connection_pool.disconnect(inuse_connections=False)


def place(url: str) -> str:
    """Where that URL points, without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _settings(timeout: float, connect_timeout: float, *, keepalive: bool = True) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "protocol": 2,  # what Redis 6.2 speaks; also spares the handshake of RESP3
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    if keepalive:
        settings["socket_keepalive"] = True
    return settings


def _tried(pool: ConnectionPool, url: str) -> Connect:
    """The pool's way to make connections, which is all that is wanted of it."""
    try:
        # Connects nothing: an unknown option in the URL shows here instead of at run time.
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        if (context := getattr(connection, "ssl_context", None)) is not None:
            context.get()  # reads the files that the URL names
    except (ValueError, RedisError, OSError) as error:
        raise ValueError(f"{place(url)}: one of its ssl_ options does not do: {error}") from error
    except TypeError as error:
        raise ValueError(f"{place(url)}: {error}") from error
    return pool.make_connection


def _options(address: RedisAddress) -> dict[str, Any]:
    """The URL's own settings, as redis-py reads them."""
    options: dict[str, Any] = dict(parse_url(address.node_url(*address.hosts[0])))
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    return options


def _sentinel_pool(address: RedisAddress, settings: dict[str, Any]) -> SentinelConnectionPool:
    options = _options(address)
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if address.tls:
        tls["ssl"] = True
        options["ssl"] = True
    watchers: Any = _Watchers(address.hosts, sentinel_kwargs={**settings, **tls, **address.sentinel_login()})  # type: ignore[no-untyped-call]
    made: SentinelConnectionPool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.master, watchers, **{**settings, **options}
    )
    return made


def _cluster(address: RedisAddress, settings: dict[str, Any]) -> RedisCluster:
    options = _options(address)
    options.pop("db", None)
    if address.tls:
        options["ssl"] = True
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    try:
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **{**settings, **options})
    except RedisClusterException as error:
        raise ValueError(f"redis cluster: {error}") from error
