"""Knows one worker as the supervisor sees it: a process executed, a control channel, a heartbeat.

Must not know why it is started or replaced (`crew`).
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.affinity import cpus_of
from edgeproxy.server.control import Channel, ControlError, Handler
from edgeproxy.server.hello import Hello

START_TIMEOUT = 30.0  # seconds for a worker to import, build its data plane and listen
_REAP_TIMEOUT = 2.0

_log = logging.getLogger("edgeproxy.supervisor")


class StartFailed(EdgeProxyError):
    """A worker that did not come to serve; the message says why."""


class WorkerProcess:
    """A process that serves, or did."""

    def __init__(self, popen: "subprocess.Popen[bytes]", channel: Channel) -> None:
        self.pid = popen.pid
        self.channel = channel
        self.started = time.monotonic()
        self.last_beat = self.started
        self.lag = 0.0
        self.exit_code: int | None = None
        self._popen = popen

    def __repr__(self) -> str:
        state = f"exit={self.exit_code}" if self.exit_code is not None else "running"
        return f"<WorkerProcess pid={self.pid} {state}>"

    @classmethod
    async def start(
        cls, hello: Hello, fds: Sequence[int], handlers: Mapping[str, Handler], command: Sequence[str]
    ) -> "WorkerProcess":
        """Execute a worker and wait until it serves. Raises StartFailed; nothing is left behind then."""
        process = await cls._execute(fds, handlers, command)
        try:
            await process.channel.call("hello", msgspec.to_builtins(hello), timeout=START_TIMEOUT)
        except ControlError as error:
            await process.kill()
            raise StartFailed(str(error)) from error
        except BaseException:
            await process.kill()
            raise
        process.last_beat = time.monotonic()
        return process

    @classmethod
    async def _execute(
        cls, fds: Sequence[int], handlers: Mapping[str, Handler], command: Sequence[str]
    ) -> "WorkerProcess":
        ours, theirs = socket.socketpair()
        beats: dict[str, Handler] = {}
        try:
            # by the main thread: the parent-death signal follows the thread that forked
            popen = subprocess.Popen(  # noqa: ASYNC220 - returns once exec was done, some ms
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(), *fds),
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            raise StartFailed(f"cannot execute {command[0]}: {error.strerror}") from error
        finally:
            theirs.close()
        process = cls(popen, await Channel.open(ours, beats))
        beats.update(handlers)
        beats["beat"] = process._beat
        return process

    def _beat(self, lag: float) -> None:
        self.last_beat = time.monotonic()
        self.lag = lag

    @property
    def silent_for(self) -> float:
        """Seconds since the last heartbeat."""
        return time.monotonic() - self.last_beat

    async def ended(self) -> int:
        """Wait until the worker is gone; its exit code, negative for a signal."""
        await asyncio.shield(self.channel.closed)
        await self._reap()
        assert self.exit_code is not None
        return self.exit_code

    async def kill(self) -> None:
        """End the process now, and wait for that."""
        with suppress(ProcessLookupError):
            self._popen.kill()
        self.channel.close()
        await self._reap()

    async def _reap(self) -> None:
        deadline = time.monotonic() + _REAP_TIMEOUT
        while (code := self._popen.poll()) is None:
            if time.monotonic() > deadline:
                _log.warning("worker process %d hung up and did not end: killed", self.pid)
                self._popen.kill()
                deadline += _REAP_TIMEOUT
            await asyncio.sleep(0.01)
        self.exit_code = code


WORKER = (sys.executable, "-m", "edgeproxy.server.worker")
"""How a worker is executed; the control descriptor and our process id follow."""


def how_it_ended(exit_code: int) -> str:
    """An exit code in words."""
    if exit_code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with code {exit_code}"


def describe(process: WorkerProcess) -> dict[str, Any]:
    """What the admin API shows of the process."""
    return {
        "pid": process.pid,
        "uptime": round(time.monotonic() - process.started, 3),
        "heartbeat_age": round(process.silent_for, 3),
        "event_loop_lag": round(process.lag, 4),
        "cpus": cpus_of(process.pid),
    }
