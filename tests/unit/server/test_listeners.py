import os
import socket
from contextlib import closing

import pytest

from edgeproxy.server.listeners import ListenError, ListenerSockets, open_all


def test_each_worker_has_a_socket_of_its_own_on_the_same_port():
    with closing(ListenerSockets("127.0.0.1", 0, 3)) as listener:
        addresses = {sock.getsockname() for sock in listener.sockets}
        assert len(listener.sockets) == 3
        assert len(addresses) == 1
        assert listener.address == f"127.0.0.1:{addresses.pop()[1]}"
        assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in listener.sockets)
        assert "sockets=3" in repr(listener)


def test_connections_wait_in_the_queue_before_anybody_accepts():
    with closing(ListenerSockets("127.0.0.1", 0, 1)) as listener:
        client = socket.create_connection(listener.sockets[0].getsockname(), timeout=5)
        client.close()


@pytest.mark.parametrize("shared", [False, True], ids=["plain", "reuseport-as-another-edgeproxy-does"])
def test_an_address_in_use_is_refused_even_if_its_holder_would_share(shared):
    with closing(ListenerSockets("127.0.0.1", 0, 2)) as first:
        port = first.sockets[0].getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: another process does; stop it"):
            ListenerSockets("127.0.0.1", port, 2 if shared else 1)


def test_an_address_just_given_up_can_be_taken_again():
    first = ListenerSockets("127.0.0.1", 0, 2)
    port = first.sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        first.close()
    ListenerSockets("127.0.0.1", port, 2).close()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        pytest.param("192.0.2.1", "this machine has no such address", id="not-ours"),
        pytest.param("no.such.name.invalid", "does not resolve", id="no-such-name"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(host, message):
    with pytest.raises(ListenError, match=message):
        ListenerSockets(host, 8080, 1)


def privileged_ports_are_free() -> bool:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        return int(file.read()) <= 80


@pytest.mark.skipif(os.geteuid() == 0 or privileged_ports_are_free(), reason="every port may be taken here")
def test_a_privileged_port_needs_permission():
    with pytest.raises(ListenError, match="no permission"):
        ListenerSockets("127.0.0.1", 80, 1)


def test_at_the_end_nothing_new_begins_and_what_waits_is_still_served():
    with closing(ListenerSockets("127.0.0.1", 0, 1)) as listener:
        address = listener.sockets[0].getsockname()
        waiting = [socket.create_connection(address, timeout=5) for _ in range(3)]
        assert listener.waiting == 3
        listener.refuse_new()
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        for client in waiting:
            client.sendall(b"x")
            accepted, _ = listener.sockets[0].accept()
            assert accepted.recv(1) == b"x"
            accepted.close()
            client.close()
        assert listener.waiting == 0


def test_ipv6():
    try:
        listener = ListenerSockets("::1", 0, 2)
    except ListenError:
        pytest.skip("no IPv6 on this machine")
    with closing(listener):
        assert listener.address.startswith("[::1]:")


def test_all_are_opened_or_none():
    with closing(ListenerSockets("127.0.0.1", 0, 1)) as taken:
        probe = ListenerSockets("127.0.0.1", 0, 1)
        free = probe.sockets[0].getsockname()[1]
        probe.close()
        with pytest.raises(ListenError):
            open_all([("127.0.0.1", free), ("127.0.0.1", taken.sockets[0].getsockname()[1])], 2)
        for listener in open_all([("127.0.0.1", free)], 2):
            listener.close()
