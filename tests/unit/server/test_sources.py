"""A configuration by URL starts from its last good copy when the control plane is down, and only then."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeproxy.config.mistakes import ConfigError
from edgeproxy.config.remote import Unreachable
from edgeproxy.server import sources
from edgeproxy.server.sources import FileSource, RemoteSource, copy_of
from tests.control_plane import ControlPlane

GOOD = """
server: {name: NAME}
upstreams: {shop: {origins: ["http://127.0.0.1:9001"]}}
routes: [{name: all, upstream: shop}]
"""
BAD = "upstreams: 1\n"


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    made = ControlPlane(GOOD.replace("NAME", "one"))
    yield made
    made.close()


@pytest.fixture
def source(plane: ControlPlane, tmp_path: Path) -> Iterator[RemoteSource]:
    made = RemoteSource(plane.url, tmp_path / "state" / "copy.yaml")
    yield made
    made.close()


def test_the_first_good_one_is_kept_for_its_owner_alone(plane: ControlPlane, source: RemoteSource) -> None:
    assert source.first().server.name == "one"
    assert source.copy.read_text() == plane.text
    assert stat.S_IMODE(source.copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(source.copy.parent.stat().st_mode) == 0o700
    assert [each.name for each in source.copy.parent.iterdir()] == ["copy.yaml"]


def test_with_the_control_plane_down_it_starts_from_the_copy(
    plane: ControlPlane, source: RemoteSource, caplog: pytest.LogCaptureFixture
) -> None:
    source.first()
    plane.close()
    again = RemoteSource(plane.url, source.copy)
    assert again.first().server.name == "one"
    assert f"{plane.url} cannot be reached" in caplog.text
    assert "started from the last good copy" in caplog.text


def test_a_bad_one_at_the_start_is_refused_for_the_copy(
    plane: ControlPlane, source: RemoteSource, caplog: pytest.LogCaptureFixture
) -> None:
    source.first()
    plane.text = BAD
    assert RemoteSource(plane.url, source.copy).first().server.name == "one"
    assert f"{plane.url}:1:" in caplog.text
    assert source.copy.read_text() == GOOD.replace("NAME", "one")


def test_without_a_copy_what_is_wrong_is_raised(plane: ControlPlane, source: RemoteSource) -> None:
    plane.text = BAD
    with pytest.raises(ConfigError):
        source.first()
    with pytest.raises(ConfigError):
        source.checked()
    plane.status = 500
    with pytest.raises(Unreachable, match=r"answers 500, and .*copy.yaml holds no copy"):
        source.first()
    with pytest.raises(Unreachable, match=r"edge.yaml answers 500"):
        source.checked()


def test_a_damaged_copy_is_no_copy(plane: ControlPlane, source: RemoteSource) -> None:
    source.first()
    source.copy.write_text(BAD)
    plane.status = 500
    with pytest.raises(Unreachable):
        RemoteSource(plane.url, source.copy).first()


def test_a_copy_that_cannot_be_written_is_said(
    plane: ControlPlane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert RemoteSource(plane.url, tmp_path / "file" / "copy").first().server.name == "one"
    assert "is not kept" in caplog.text


async def test_reading_asks_even_while_fresh_and_keeps_only_what_was_accepted(
    plane: ControlPlane, source: RemoteSource
) -> None:
    plane.cache_control = "max-age=600"
    await asyncio.to_thread(source.first)
    plane.text = GOOD.replace("NAME", "two")
    assert not await source.look()
    assert (await source.read()).server.name == "two"
    assert "one" in source.copy.read_text()
    await source.accepted()
    assert "two" in source.copy.read_text()


async def test_a_bad_one_is_refused_and_seen_once(plane: ControlPlane, source: RemoteSource) -> None:
    await asyncio.to_thread(source.first)
    plane.text = BAD
    assert await source.look()
    with pytest.raises(ConfigError):
        await source.read()
    assert not await source.look()


async def test_a_fetch_that_hangs_is_left_alone_until_it_ends(
    plane: ControlPlane, source: RemoteSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "GIVE_UP", 0.05)
    plane.hang.clear()
    with pytest.raises(Unreachable, match="hangs since"):
        await source.look()
    with pytest.raises(Unreachable, match="still hangs"):
        await source.look()
    with pytest.raises(Unreachable, match="hangs since"):
        await asyncio.to_thread(source.checked)
    monkeypatch.setattr(sources, "GIVE_UP", 20.0)
    plane.hang.set()
    async with asyncio.timeout(20):
        while source._busy:  # noqa: ASYNC110 - the fetch has no event
            await asyncio.sleep(0.01)
    assert await source.look() in (True, False)


def test_the_copy_lies_where_state_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edgeproxy:/other")
    assert copy_of("http://a/").parent == Path("/var/lib/edgeproxy")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert copy_of("http://a/").parent == Path("/state/edgeproxy")
    assert copy_of("http://a/") != copy_of("http://b/")


def test_a_file_that_cannot_be_read_has_no_mark(tmp_path: Path) -> None:
    source = FileSource(str(tmp_path / "absent"))
    assert source.mark() is None
    assert source.digest() == b""
