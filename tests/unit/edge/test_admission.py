"""The gate before an upstream: a rate, the popular first, the background last, bounded in number and time."""

import asyncio
import itertools

import pytest

from edgeproxy.edge.admission import Gate, NotAdmitted
from edgeproxy.upstream.settings import AdmissionSettings


def gate_of(**settings: float) -> Gate:
    base = {"rate": 200.0, "burst": 1.0, "queue": 100, "wait": 20.0} | settings
    return Gate(AdmissionSettings(**base), asyncio.get_running_loop())  # type: ignore[arg-type]


async def line_up(gate: Gate, keys: list[tuple[bytes, bool]], order: list[bytes]) -> list[asyncio.Task[None]]:
    async def wait(key: bytes, background: bool) -> None:
        await gate.admit(key, background=background)
        order.append(key)

    tasks = [asyncio.create_task(wait(key, background)) for key, background in keys]
    await asyncio.sleep(0)
    return tasks


async def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    gate = gate_of(rate=100.0, burst=3.0)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(gate.admit(b"%d" % n, background=False) for n in range(8)))
    assert asyncio.get_running_loop().time() - began > 0.045  # five at a hundred a second
    assert (gate.admitted, gate.waited, gate.turned_away, len(gate)) == (3, 5, 0, 0)


async def test_the_popular_come_first_and_the_background_last() -> None:
    gate, order = gate_of(), []
    await gate.admit(b"-", background=False)
    gate.asked(b"hot", 9)
    gate.asked(b"warm", 3)
    keys = [(b"cold", False), (b"hot", True), (b"warm", False), (b"hotter", False)]
    tasks = await line_up(gate, keys, order)
    gate.asked(b"hotter", 50)  # those who join it count too
    await asyncio.gather(*tasks)
    assert order == [b"hotter", b"warm", b"cold", b"hot"]


async def test_a_client_that_waits_for_a_fetch_in_the_background_makes_it_one_in_front() -> None:
    gate, order = gate_of(), []
    await gate.admit(b"-", background=False)
    gate.asked(b"joined", 5)
    tasks = await line_up(gate, [(b"joined", True), (b"cold", False)], order)
    gate.joined(b"joined")
    gate.joined(b"nobody")
    await asyncio.gather(*tasks)
    assert order == [b"joined", b"cold"]


async def test_a_full_queue_turns_the_least_popular_away() -> None:
    gate, order = gate_of(rate=0.5, queue=2), []
    await gate.admit(b"-", background=False)
    gate.asked(b"hot", 9)
    gate.asked(b"warm", 3)
    tasks = await line_up(gate, [(b"warm", False), (b"cold", False), (b"colder", False)], order)
    with pytest.raises(NotAdmitted):
        await tasks[2]
    hot = await line_up(gate, [(b"hot", False)], order)
    with pytest.raises(NotAdmitted):
        await tasks[1]
    for _ in range(2):  # by what is remembered of the last look, and by another one
        with pytest.raises(NotAdmitted):
            await gate.admit(b"cold", background=False)
    assert (len(gate), gate.turned_away) == (2, 4)
    gate.close()
    left = await asyncio.gather(*tasks[:1], *hot, return_exceptions=True)
    assert all(isinstance(each, NotAdmitted) for each in left)
    assert len(gate) == 0


async def test_a_wait_is_bounded_and_a_client_that_leaves_gives_its_place_up() -> None:
    gate, order = gate_of(rate=0.01, wait=0.05), []
    await gate.admit(b"-", background=False)
    tasks = await line_up(gate, [(b"a", False), (b"b", False)], order)
    tasks[1].cancel()
    with pytest.raises(NotAdmitted):
        await tasks[0]
    assert len(gate) == 0
    assert (NotAdmitted.status, gate.turned_away) == (503, 1)
    gate.close()


async def test_without_a_queue_nobody_waits() -> None:
    gate = gate_of(rate=0.01, queue=0)
    await gate.admit(b"a", background=False)
    with pytest.raises(NotAdmitted):
        await gate.admit(b"a", background=False)


async def test_other_settings_hold_for_those_who_wait_and_none_lets_them_pass() -> None:
    gate, order = gate_of(rate=0.01), []
    await gate.admit(b"-", background=False)
    tasks = await line_up(gate, [(b"a", False)], order)
    gate.follow(AdmissionSettings(rate=0.02, burst=2.0))
    assert gate.busy
    gate.open()
    await asyncio.gather(*tasks)
    assert order == [b"a"]


async def test_the_heap_stays_small_however_often_places_change() -> None:
    gate, order = gate_of(rate=0.01), []
    await gate.admit(b"-", background=False)
    tasks = await line_up(gate, [(b"a", False), (b"b", False)], order)
    for n in itertools.islice(itertools.count(), 90):
        gate.asked(b"ab"[n % 2 : n % 2 + 1], 2.0 ** (n // 2))
    assert len(gate._heap) <= 4 * 2 + 64 + 1
    gate.close()
    await asyncio.gather(*tasks, return_exceptions=True)
