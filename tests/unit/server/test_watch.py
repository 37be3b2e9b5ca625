"""A file is read again once it stands still, a URL when its freshness is over; each mistake is said once."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgeproxy.config.remote import Unreachable
from edgeproxy.errors import EdgeProxyError
from edgeproxy.server.sources import FileSource
from edgeproxy.server.watch import pause, poll_url, watch_file


class Reloads:
    def __init__(self) -> None:
        self.count = 0
        self.error: EdgeProxyError | None = None

    async def reload(self) -> object:
        self.count += 1
        if self.error is not None:
            raise self.error
        return None


class Looked(FileSource):
    """Tells how often it was looked at."""

    looks = 0

    def mark(self) -> tuple[int, int, int] | None:
        self.looks += 1
        return super().mark()

    async def looked(self, times: int = 4) -> None:
        until = self.looks + times
        async with asyncio.timeout(20):
            while self.looks < until:  # noqa: ASYNC110 - what is tested is a poll
                await asyncio.sleep(0.005)


class Setting:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "edge.yaml"
        self.file.write_text("one")
        self.source = Looked(str(self.file))
        self.reloads = Reloads()
        self.wanted = True


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path)
    task = asyncio.create_task(watch_file(setting.source, setting.reloads, lambda: setting.wanted, look=0.01))
    await setting.source.looked(2)
    yield setting
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_file_that_changes_is_read_again_once(watched: Setting) -> None:
    watched.file.write_text("two")
    await watched.source.looked()
    assert watched.reloads.count == 1


async def test_a_file_that_an_editor_renames_into_place_is_seen(watched: Setting) -> None:
    other = watched.file.with_name("edge.yaml.new")
    other.write_text("two")
    other.rename(watched.file)
    await watched.source.looked()
    assert watched.reloads.count == 1


async def test_a_file_still_being_written_is_let_be(watched: Setting) -> None:
    with watched.file.open("a") as stream:
        for piece in range(8):
            stream.write(f"# piece {piece}\n")
            stream.flush()
            os.utime(watched.file, ns=(piece, piece))
            await watched.source.looked(1)
    await watched.source.looked()
    assert watched.reloads.count <= 2


async def test_a_refused_file_is_not_refused_again_until_its_bytes_change(watched: Setting) -> None:
    watched.reloads.error = EdgeProxyError("refused")
    watched.file.write_text("bad")
    await watched.source.looked()
    watched.file.write_text("bad")  # touched, as by an editor that saves once more
    os.utime(watched.file, ns=(1, 1))
    await watched.source.looked()
    assert watched.reloads.count == 1
    watched.file.write_text("good again")
    await watched.source.looked()
    assert watched.reloads.count == 2


async def test_a_file_that_is_gone_is_said_once_and_seen_when_it_is_back(
    watched: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    watched.file.unlink()
    await watched.source.looked(6)
    assert caplog.text.count("is gone: the configuration in force stays") == 1
    watched.file.write_text("two")
    await watched.source.looked()
    assert watched.reloads.count == 1


async def test_it_is_let_be_while_that_is_not_wanted(watched: Setting) -> None:
    watched.wanted = False
    watched.file.write_text("two")
    await watched.source.looked()
    assert watched.reloads.count == 0
    watched.wanted = True
    await watched.source.looked()
    assert watched.reloads.count == 1


class Remote:
    """A source that answers what it is told, in turn."""

    name = "https://control/edge.yaml"
    lifetime = 0.0

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.over = asyncio.Event()

    async def look(self) -> bool:
        if not self.answers:
            self.over.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def polling(
    remote: Remote, reloads: Reloads, polled: Callable[[str], None]
) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    task = asyncio.create_task(poll_url(remote, reloads, polled, floor=0.001))  # type: ignore[arg-type]
    yield lambda: asyncio.wait_for(remote.over.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_polls_reload_what_changed_and_say_a_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    down = Unreachable("answers 503")
    remote = Remote(False, True, down, down, False, True)
    reloads, polled = Reloads(), list[str]()
    async with polling(remote, reloads, polled.append) as done:
        await done()
    assert polled == ["unchanged", "changed", "failed", "failed", "unchanged", "changed"]
    assert reloads.count == 2
    assert caplog.text.count("answers 503: the configuration in force stays") == 1
    assert caplog.text.count("answers again") == 1


def test_the_pause_is_the_lifetime_within_bounds_and_a_little_later() -> None:
    assert 30 <= pause(None) <= 33
    assert 5 <= pause(0.0) <= 5.5
    assert 60 <= pause(60.0) <= 66
    assert 3600 <= pause(1e9) <= 3960
    assert pause(60.0) != pause(60.0)
