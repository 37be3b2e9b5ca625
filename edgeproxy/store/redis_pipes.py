"""Knows which pipe a Redis URL asks for: one connection, the sentinels' master, or a cluster's nodes.

Must not know commands.
"""

from edgeproxy.config.redis_url import RedisForm, parse_redis_url
from edgeproxy.store.cluster_map import Node
from edgeproxy.store.cluster_pipe import ClusterPipe
from edgeproxy.store.command_pipe import CommandPipe, Observe, Pipe
from edgeproxy.store.redis_connect import connector, node_connector


def pipe_for(url: str, silence: float, patience: float, observe: Observe | None = None) -> Pipe:
    """A pipe to whatever the URL names; raises ValueError on a bad one.

    A connection on which nothing is heard for `silence` seconds after a command is closed; opening one
    may take `patience` seconds.
    """
    address = parse_redis_url(url)
    if address.form is not RedisForm.CLUSTER:
        return CommandPipe(connector(url, silence, patience), silence, patience=patience, observe=observe)
    connect_to = node_connector(url, silence, patience)

    def pipe_to(node: Node) -> CommandPipe:
        return CommandPipe(connect_to(*node), silence, patience=patience, observe=observe)

    return ClusterPipe(address.hosts, pipe_to, timeout=patience)
