"""Who waits for the writer is called when it is done, or late, or gone: once in any case."""

import asyncio
import socket

from edgeproxy.store import node_echo
from edgeproxy.store.node_echo import Echoes
from edgeproxy.store.node_records import ECHO
from edgeproxy.store.node_sender import NodeSender


async def test_all_that_wait_are_called_when_the_echo_comes_and_not_at_another_s() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    echoes, done = Echoes(ours, asyncio.get_running_loop(), 7), asyncio.Event()
    called: list[int] = []
    echoes.calls += [lambda: called.append(1), done.set]
    echoes.ask()
    echoes.calls.append(lambda: called.append(2))
    echoes.ask()
    theirs.send(ECHO.pack(8, 5))  # what another process in this seat asked for
    theirs.send(ECHO.pack(7, 1))
    await done.wait()
    assert called == [1]
    echoes.close()
    assert called == [1, 2]
    ours.close()
    theirs.close()


async def test_nobody_waits_for_a_writer_that_does_not_answer(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(node_echo, "OVERDUE", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender, called = NodeSender(ours), asyncio.Event()
    sender.after(called.set)
    await called.wait()
    theirs.close()
    sender.close()
    again = asyncio.Event()
    sender.after(again.set)
    assert again.is_set()
