"""Knows how to run several redis-servers as a Redis Cluster, or as a master with a replica and a sentinel.

Must not know edgeproxy. Built on `tests.redis_server`; everything is put together by hand, by commands.
"""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import redis

from tests.redis_server import RedisServer, free_port

SLOTS = 16384
MASTER = "shop"


def until(condition: Callable[[], Any], timeout: float = 30.0) -> None:
    """Wait until that holds; faults of a server that is not ready count as no."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise TimeoutError("a Redis did not come to the state that was waited for")


def bus_port() -> int:
    """A port whose neighbour 10,000 above, the cluster's bus, is free too."""
    for _ in range(1000):
        port = free_port()
        if port + 10_000 < 65_536:
            try:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port
    raise RuntimeError("no port with a neighbour")


class _Fleet:
    def __init__(self) -> None:
        self._stack = ExitStack()

    def started(self, server: RedisServer) -> RedisServer:
        return self._stack.enter_context(server)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def direct(server: RedisServer, **settings: Any) -> redis.Redis:
    """A client of that one server, which waits for nothing long."""
    return redis.Redis(port=server.port, socket_timeout=2, retry=None, **settings)


class RedisNodes(_Fleet):
    """A cluster of three masters; `replicas` of them for the first. `announce` gives ports to clients."""

    def __init__(self, replicas: int = 0, announce: dict[int, int] | None = None, **options: str) -> None:
        super().__init__()
        self.masters: list[RedisServer] = []
        self.replicas: list[RedisServer] = []
        self._replicas = replicas
        self.ports = [bus_port() for _ in range(3 + replicas)]
        self._options = options
        self.announce: dict[int, int] = announce or {}

    def __enter__(self) -> "RedisNodes":
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.masters)

    def _build(self) -> None:
        for port in self.ports:
            options = {
                "cluster_enabled": "yes",
                "cluster_node_timeout": "500",
                "cluster_require_full_coverage": "no",
                **self._options,
            }
            if port in self.announce:
                options |= {
                    "cluster_announce_ip": "127.0.0.1",
                    "cluster_announce_port": str(self.announce[port]),
                    "cluster_announce_bus_port": str(port + 10_000),
                }
            server = self.started(RedisServer(port, **options))
            (self.masters if len(self.masters) < 3 else self.replicas).append(server)
        every = [*self.masters, *self.replicas]
        for number, server in enumerate(self.masters):
            first, end = SLOTS * number // 3, SLOTS * (number + 1) // 3
            with direct(server) as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first, end))
        with direct(self.masters[0]) as client:
            for server in every[1:]:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        until(lambda: all(self._knows(server, len(every)) for server in every))
        for server in self.replicas:
            with direct(self.masters[0]) as client:
                name = client.execute_command("CLUSTER", "MYID")
            with direct(server) as client:
                client.execute_command("CLUSTER", "REPLICATE", name)
            until(lambda server=server: self.info(server)["master_link_status"] == "up")
        until(lambda: all(self._settled(server) for server in every))

    @staticmethod
    def info(server: RedisServer) -> dict[str, Any]:
        with direct(server) as client:
            return client.info("replication")

    @staticmethod
    def _knows(server: RedisServer, count: int) -> bool:
        with direct(server) as client:
            nodes = client.execute_command("CLUSTER", "NODES")
        return nodes.count(b"\n") == count and b"handshake" not in nodes

    def _settled(self, server: RedisServer) -> bool:
        with direct(server) as client:
            state = client.execute_command("CLUSTER", "INFO")
            slots = client.execute_command("CLUSTER", "SLOTS")
        return (
            b"cluster_state:ok" in state
            and len(slots) == 3
            and sum(len(found) - 3 for found in slots) == self._replicas
        )

    def promoted(self) -> None:
        """Wait until the replica has taken its master's place, to everybody else's knowledge too."""
        until(lambda: self.info(self.replicas[0])["role"] == "master")
        port = self.replicas[0].port

        def known(server: RedisServer) -> bool:
            with direct(server) as client:
                slots = client.execute_command("CLUSTER", "SLOTS")
            return any(found[2][1] == self.announce.get(port, port) for found in slots)

        until(lambda: all(known(server) for server in self.masters[1:]))


class Sentinel(RedisServer):
    """A sentinel process that watches one master."""

    def __init__(self, port: int, password: str = "", down_after: int = 300) -> None:
        super().__init__()
        config = self.directory / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {MASTER} 127.0.0.1 {port} 1",
            f"sentinel down-after-milliseconds {MASTER} {down_after}",
            f"sentinel failover-timeout {MASTER} 2000",
        ]
        if password:
            lines += [f"sentinel auth-pass {MASTER} {password}"]
        config.write_text("\n".join(lines) + "\n")
        self._config = config

    def arguments(self) -> list[str]:
        return [str(self._config), "--sentinel"]


class WatchedRedis(_Fleet):
    """A master and a replica, watched by a sentinel that lets the replica take over."""

    def __init__(self, password: str = "", master: RedisServer | None = None, through: int = 0) -> None:
        super().__init__()
        self._password = password
        self.master = master or RedisServer(**self._login)
        self._through = through  # a port by which the master is known

    @property
    def _login(self) -> dict[str, str]:
        return {"requirepass": self._password, "masterauth": self._password} if self._password else {}

    def __enter__(self) -> "WatchedRedis":
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _build(self) -> None:
        self.started(self.master)
        self.replica = self.started(RedisServer(replicaof=f"127.0.0.1 {self.master.port}", **self._login))
        until(lambda: self.info(self.replica)["master_link_status"] == "up")
        self.sentinel = self.started(Sentinel(self._through or self.master.port, self._password))
        until(lambda: self.watched()["num-slaves"] == 1)

    def info(self, server: RedisServer) -> dict[str, Any]:
        with direct(server, password=self._password or None) as client:
            return client.info("replication")

    def watched(self) -> dict[str, Any]:
        with direct(self.sentinel) as client:
            return client.sentinel_master(MASTER)

    @property
    def url(self) -> str:
        user = f":{self._password}@" if self._password else ""
        return f"redis+sentinel://{user}127.0.0.1:{self.sentinel.port}/{MASTER}/0"

    def promoted(self) -> None:
        """Wait until the replica has taken the master's place, to the sentinel's knowledge too."""
        until(lambda: self.info(self.replica)["role"] == "master")
        until(lambda: self.watched()["port"] == self.replica.port)
