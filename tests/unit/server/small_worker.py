"""A worker that serves nothing: speaks the control channel, and misbehaves as it is told.

Run as `small_worker.py FOLDER CONTROL_FD SUPERVISOR_PID`; what a file in FOLDER named after the
worker's index says is its manner, and lines of what it was told go to FOLDER/told-INDEX.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.control import Channel


async def main(folder: Path, control: int) -> None:
    index = -1
    drained = asyncio.Event()

    def manner() -> str:
        file = folder / str(index)
        return file.read_text() if file.exists() else ""

    def tell(*words: object) -> None:
        with (folder / f"told-{index}").open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    async def hello(message: dict) -> None:
        nonlocal index
        index = message["index"]
        match manner():
            case "refuses":
                raise EdgeProxyError("it is too cold")
            case "hangs":
                await asyncio.Event().wait()
            case "dies":
                os._exit(3)
            case "crashes":
                raise ZeroDivisionError

    async def drain(timeout: float, patience: float = 0.0) -> None:
        tell("drain", timeout)
        if manner() == "stubborn":
            await asyncio.Event().wait()
        if manner() != "lingers":
            drained.set()

    channel = await Channel.open(
        socket.socket(fileno=control),
        {
            "hello": hello,
            "drain": drain,
            "adopt": lambda owner: tell("adopt", owner),
            "release": lambda owner: tell("release", owner),
            "say": lambda words: tell("say", words),
            "index": lambda: index,
            "die": lambda: os._exit(5),
        },
    )
    waits = [asyncio.ensure_future(drained.wait()), channel.closed]
    while True:
        done, _ = await asyncio.wait(waits, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
        if done:
            break
        channel.notify("beat", 0.0)
    waits[0].cancel()
    channel.close()
    await channel.closed


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
