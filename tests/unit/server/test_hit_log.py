"""Log lines of hits: the same as a record's, of parts formatted once; what one costs and what is bounded."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.server import hit_log as module
from edgeproxy.server.hit_log import HitLog, end_of
from edgeproxy.telemetry import access_log
from edgeproxy.telemetry.access_log import AccessLog, Record, rest_part
from tests.integration.raw_origins import origin
from tests.plane import Seen, plane, request
from tests.unit.edge.rig import Rig, StillClock, asks, says

FRESH = says("Cache-Control: max-age=60")


def calls(work: Callable[[], object]) -> list[str]:
    """The names of the Python functions that this calls, itself left out."""
    called: list[str] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called[1:]


@pytest.mark.parametrize(("logged", "notes"), [(False, []), (True, ["note", "monotonic"])])
async def test_a_hit_costs_two_calls_and_its_line_one_more(
    tmp_path: Path, logged: bool, notes: list[str]
) -> None:
    """The clock of the house is no Python function; that of the test is."""
    log = AccessLog(str(tmp_path / "access.log")) if logged else None
    seen, clock = Seen(fields=("Cache-Control: max-age=100",)), StillClock()
    async with (
        origin(seen) as raw,
        plane(access_log=log, clock=clock, o=raw.url) as proxy,
        proxy.client() as client,
    ):
        for _ in range(2):
            await client.ask(request("/a"))
        (connection,) = proxy.plane._listenings[b"http"].connections
        asked = request("/a")
        found = calls(lambda: connection.data_received(asked))
        found = [name for name in found if name != "write"]  # asyncio's; uvloop's is compiled
        assert found == ["data_received", "answer", *notes]
    if log is not None:
        log.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AccessLog]:
    """A log that writes only when it is closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_log, "_INTERVAL", 60.0)
        made = AccessLog(str(tmp_path / "access.log"))
        yield made  # `written` closes it


def written(log: AccessLog, folder: Path) -> list[dict[str, object]]:
    log.close()
    return [msgspec.json.decode(line) for line in (folder / "access.log").read_bytes().splitlines()]


def hit_log(log: AccessLog, rig: Rig, budget: int = 100_000, room: bool = True) -> HitLog:
    return HitLog(log, rig.clock, budget=budget, reserve=lambda size: room)


def test_lines_of_hits_and_records_keep_their_order(tmp_path: Path, log: AccessLog) -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        note = hit_log(log, rig).of(b"192.0.2.1", rig.fast)
        for data in (asks(), asks("/", "HEAD"), asks()):
            assert rig.answer(data) is not None
            note(data)
            rig.advance(1.25)
        log.add(Record(1.0, b"192.0.2.2", b"GET", b"", b"/slow", 200, 1, 0.5))
        rig.answer(asks())
        note(asks())
    lines = written(log, tmp_path)
    assert [(line["method"], line["bytes"]) for line in lines] == [
        ("GET", 5),
        ("HEAD", 0),
        ("GET", 5),
        ("GET", 1),
        ("GET", 5),
    ]
    assert [line["client"] for line in lines] == ["192.0.2.1"] * 3 + ["192.0.2.2", "192.0.2.1"]
    assert [str(line["time"])[-7:-1] for line in lines[:3]] == ["20.000", "21.250", "22.500"]


def test_what_is_answered_anew_is_logged_anew(tmp_path: Path, log: AccessLog) -> None:
    """The same head, another stored response: its size is that of the new one."""
    with Rig() as rig:
        note = hit_log(log, rig).of(b"192.0.2.1", rig.fast)
        for body in (b"hello", b"hello again"):
            rig.store(asks(), says("Cache-Control: max-age=60"), body)
            rig.answer(asks())  # None where the remembered answer has died
            assert (rig.answer(asks()) or b"").endswith(body)
            note(asks())
    assert [line["bytes"] for line in written(log, tmp_path)] == [5, 11]


@pytest.mark.parametrize(("budget", "room"), [(3_000, True), (100_000, False)])
def test_what_is_remembered_is_bounded(tmp_path: Path, log: AccessLog, budget: int, room: bool) -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        hits = hit_log(log, rig, budget, room)
        note = hits.of(b"192.0.2.1", rig.fast)
        for number in (*range(20), 19, 18, 0):
            data = asks("/", "GET", f"User-Agent: {number}")
            rig.answer(data)
            note(data)
            assert len(hits._known) + len(hits._old) <= (6 if room else 0), hits
    agents = [line["user_agent"] for line in written(log, tmp_path)]
    assert agents == [str(number) for number in (*range(20), 19, 18, 0)]


def test_a_full_queue_drops_lines_of_hits_counted(
    tmp_path: Path, log: AccessLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUE", 2 * access_log.PARTS)
    with Rig() as rig:
        rig.store(asks(), FRESH)
        note = hit_log(log, rig).of(b"192.0.2.1", rig.fast)
        note(asks())  # nothing was answered yet
        rig.answer(asks())
        for _ in range(5):
            note(asks())
    assert log.dropped == 3
    assert len(written(log, tmp_path)) == 2


VALUES = st.one_of(st.just(b""), st.from_regex(rb"[ -~]{1,30}", fullmatch=True), st.binary(max_size=40)).map(
    lambda value: value.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t")
)


@given(VALUES, VALUES, VALUES, st.sampled_from([0, 2000]))
def test_the_quick_way_to_a_line_is_that_of_its_record(
    agent: bytes, referer: bytes, request_id: bytes, padding: int
) -> None:
    agent += b"x" * padding
    named = ((b"USER-Agent:\t", agent), (b"Referer: ", referer), (b"X-Request-ID:", request_id))
    fields = b"".join(b"\r\n" + name + value for name, value in named if value)
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        hot = rig.fast.last
    assert hot is not None
    line = end_of(b"GET /a?b=1 HTTP/1.1\r\nHost: Shop.test " + fields + b"\r\n\r\n", hot)
    assert line == rest_part(
        Record(
            time=0.0,
            client=b"",
            method=b"GET",
            host=b"shop.test",
            path=b"/a?b=1",
            status=200,
            bytes=5,
            duration=0.0,
            route="all",
            outcome="hit",
            request_id=request_id,
            referer=referer,
            user_agent=agent,
            reason="fresh",
        )
    )
