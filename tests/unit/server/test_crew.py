import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.server.control import ControlError
from edgeproxy.server.crew import Crew, Timing
from edgeproxy.server.hello import Hello
from edgeproxy.server.process import StartFailed, how_it_ended
from edgeproxy.telemetry.counters import Counters

SMALL = (sys.executable, str(Path(__file__).with_name("small_worker.py")))
QUICK = Timing(late=5.0, hung=10.0, watch=0.02, restart_least=0.02, restart_most=0.1, grace=0.5)


@asynccontextmanager
async def crew_of(workers: int, folder: Path, timing: Timing = QUICK, command: tuple[str, ...] = ()):
    counters = [Counters.create() for _ in range(workers)]

    def hello(index: int) -> Hello:
        return Hello(index, workers, "n", {}, [], counters[index].fd, 0)

    crew = Crew(counters, hello, lambda index: [], timing=timing, command=command or (*SMALL, str(folder)))
    try:
        yield crew
    finally:
        await crew.kill()
        for each in counters:
            each.close()


async def eventually(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def start(crew: Crew, folder: Path) -> None:
    """Start; what the first to come up were told of those still starting is left out."""
    await crew.start()
    crew.tell("say", "all here")
    await eventually(lambda: all("say all here" in _lines(folder, seat.index) for seat in crew.seats))


def _lines(folder: Path, index: int) -> list[str]:
    file = folder / f"told-{index}"
    return file.read_text().splitlines() if file.exists() else []


def told(folder: Path, index: int) -> list[str]:
    """What a worker was told after the start."""
    lines = _lines(folder, index)
    return lines[lines.index("say all here") + 1 :]


async def test_all_workers_are_asked_and_told(tmp_path):
    async with crew_of(3, tmp_path) as crew:
        await start(crew, tmp_path)
        assert await crew.ask("index", timeout=5) == {0: 0, 1: 1, 2: 2}
        crew.tell("say", "hello")
        await eventually(lambda: all(told(tmp_path, n) == ["say hello"] for n in range(3)))
        assert repr(crew) == "<Crew serving=[0, 1, 2] of 3>"


async def test_a_worker_that_dies_while_it_is_asked_answers_with_an_error(tmp_path):
    async with crew_of(2, tmp_path) as crew:
        await crew.start()
        answers = await crew.ask("die", timeout=5)
        assert all(isinstance(answer, ControlError) for answer in answers.values())


async def test_nobody_is_asked_before_the_start(tmp_path):
    async with crew_of(1, tmp_path) as crew:
        assert await crew.ask("index", timeout=5) == {}
        assert crew.describe() == [
            {"worker": 0, "pid": None, "state": "starting", "restarts": 0, "answered": 0}
        ]
        assert await crew.drain(1.0)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        pytest.param("refuses", "it is too cold", id="refuses"),
        pytest.param("dies", "the other process is gone", id="dies"),
        pytest.param("crashes", "ZeroDivisionError", id="crashes"),
    ],
)
async def test_a_worker_that_cannot_start_at_first_fails_the_start_and_leaves_none(tmp_path, manner, reason):
    (tmp_path / "1").write_text(manner)
    async with crew_of(2, tmp_path) as crew:
        with pytest.raises(StartFailed, match=f"worker 1 could not start: {reason}"):
            await crew.start()
        assert not crew.serving


async def test_a_worker_that_cannot_be_executed_fails_the_start(tmp_path):
    async with crew_of(1, tmp_path, command=(str(tmp_path / "none"),)) as crew:
        with pytest.raises(StartFailed, match="cannot execute"):
            await crew.start()


async def test_a_worker_that_cannot_start_again_is_tried_with_growing_pauses(tmp_path, caplog):
    async with crew_of(2, tmp_path) as crew:
        await crew.start()
        (tmp_path / "0").write_text("refuses")
        os.kill(crew.seats[0].process.pid, signal.SIGKILL)
        await eventually(lambda: "next try in 0.1 s" in caplog.text)
        (tmp_path / "0").unlink()
        await eventually(lambda: crew.seats[0].serving)
        assert "worker 0 serves again" in caplog.text or crew.seats[0].restarts == 1


async def test_a_siblings_sockets_go_to_whoever_has_least_to_do_and_back(tmp_path):
    async with crew_of(3, tmp_path) as crew:
        await start(crew, tmp_path)
        for index in (0, 1):
            (tmp_path / str(index)).write_text("refuses")
        os.kill(crew.seats[0].process.pid, signal.SIGKILL)
        await eventually(lambda: told(tmp_path, 1) == ["adopt 0"])
        os.kill(crew.seats[1].process.pid, signal.SIGKILL)
        await eventually(lambda: told(tmp_path, 2) == ["adopt 0", "adopt 1"])
        (tmp_path / "1").unlink()
        await eventually(lambda: told(tmp_path, 2)[2:] == ["release 1"])
        (tmp_path / "0").unlink()
        await eventually(lambda: told(tmp_path, 2)[3:] == ["release 0"])
        assert len(crew.serving) == 3


async def test_gauges_of_a_dead_worker_are_zero_and_its_counts_stay(tmp_path):
    async with crew_of(2, tmp_path) as crew:
        await crew.start()
        counters = crew.seats[0].counters
        gauge = counters.gauge("edgeproxy_connections", "downstream")
        count = counters.counter("edgeproxy_purges_total", "url")
        counters.floats[gauge] = 5.0
        counters.ints[count] += 5
        os.kill(crew.seats[0].process.pid, signal.SIGKILL)
        await eventually(lambda: counters.floats[gauge] == 0.0)
        assert counters.ints[count] == 5


async def test_a_silent_worker_is_late_then_back(tmp_path, caplog):
    caplog.set_level("INFO")
    timing = Timing(late=0.4, hung=60.0, watch=0.02)
    async with crew_of(1, tmp_path, timing) as crew:
        await crew.start()
        os.kill(crew.seats[0].process.pid, signal.SIGSTOP)
        await eventually(lambda: crew.seats[0].late)
        assert "its connections wait, there is no other worker" in caplog.text
        assert crew.describe()[0]["state"] == "late"
        os.kill(crew.seats[0].process.pid, signal.SIGCONT)
        await eventually(lambda: crew.seats[0].serving)
        assert "is back" in caplog.text


async def test_a_supervisor_that_was_held_up_itself_blames_no_worker(tmp_path):
    timing = Timing(late=0.4, hung=0.5, watch=0.05)
    async with crew_of(2, tmp_path, timing) as crew:
        await crew.start()
        pids = [seat.process.pid for seat in crew.seats]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        blocker = asyncio.Event()
        asyncio.get_running_loop().call_soon(_hold_up, 1.0, pids, blocker)
        await blocker.wait()
        await asyncio.sleep(0)
        assert [seat.process.pid for seat in crew.seats] == pids
        assert len(crew.serving) == 2


def _hold_up(seconds: float, pids: list[int], done: asyncio.Event) -> None:
    import time

    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    done.set()


async def test_a_drain_lets_every_worker_end_by_itself(tmp_path):
    async with crew_of(2, tmp_path) as crew:
        await start(crew, tmp_path)
        assert await crew.drain(3.0) is True
        assert [told(tmp_path, n) for n in range(2)] == [["drain 3.0"]] * 2
        assert not crew.serving


async def test_a_start_that_is_broken_off_leaves_those_that_serve_to_the_drain(tmp_path):
    (tmp_path / "1").write_text("hangs")
    async with crew_of(2, tmp_path) as crew:
        starting = asyncio.create_task(crew.start())
        await eventually(lambda: crew.seats[0].process is not None)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        process = crew.seats[0].process
        assert process is not None
        assert await crew.drain(5.0)
        assert process.exit_code == 0, "it may have had requests in flight"


@pytest.mark.parametrize("manner", ["stubborn", "lingers"])
async def test_a_worker_that_does_not_end_in_time_is_killed(tmp_path, manner, caplog):
    (tmp_path / "1").write_text(manner)
    async with crew_of(2, tmp_path) as crew:
        await crew.start()
        assert await crew.drain(0.1) is False
        assert "worker 1 did not finish in time" in caplog.text
        assert "worker 0 did not" not in caplog.text


async def test_no_worker_is_replaced_once_the_drain_began(tmp_path):
    async with crew_of(2, tmp_path) as crew:
        await start(crew, tmp_path)
        pid = crew.seats[0].process.pid
        (tmp_path / "1").write_text("stubborn")
        draining = asyncio.ensure_future(crew.drain(1.0))
        await eventually(lambda: told(tmp_path, 0) == ["drain 1.0"])
        await draining
        assert crew.seats[0].restarts == 0
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "was ended by SIGKILL"), (3, "ended with code 3"), (-250, "ended with code -250")],
)
def test_how_it_ended(code, words):
    assert how_it_ended(code) == words
