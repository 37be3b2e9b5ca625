"""Who fetches, who waits, and where waiting is in vain."""

import asyncio

import pytest

from edgeproxy.edge.collapse import Collapse
from edgeproxy.edge.fill import Fill
from tests.unit.edge.doubles import Owner, fill


@pytest.fixture
async def two() -> tuple[Fill, Fill]:
    loop = asyncio.get_running_loop()
    return fill(Owner(), loop)[0], fill(Owner(), loop)[0]


async def test_a_fill_is_found_until_it_is_released(two: tuple[Fill, Fill]) -> None:
    one, other = two
    collapse = Collapse()
    collapse.lead((b"k", None), one)
    assert collapse.find((b"k", None)) is one
    assert collapse.find((b"k", b"v")) is None
    collapse.release(other)
    assert len(collapse) == 1
    collapse.release(one)
    collapse.release(one)
    assert (len(collapse), collapse.find((b"k", None))) == (0, None)


async def test_a_fill_that_was_replaced_releases_only_itself(two: tuple[Fill, Fill]) -> None:
    one, other = two
    collapse = Collapse()
    collapse.lead((b"k", None), one)
    collapse.lead((b"k", None), other)
    collapse.release(one)
    assert collapse.find((b"k", None)) is other


def test_a_key_in_vain_is_remembered_for_its_time() -> None:
    collapse = Collapse(remember_for=60)
    assert not collapse.vain(b"k", 0)
    collapse.remember(b"k", 0)
    assert collapse.vain(b"k", 59)
    assert not collapse.vain(b"other", 59)
    assert not collapse.vain(b"k", 60)
    assert not collapse.vain(b"k", 0)


def test_a_key_that_could_be_shared_after_all_is_forgotten() -> None:
    collapse = Collapse()
    collapse.remember(b"k", 0)
    collapse.forget(b"k")
    collapse.forget(b"k")
    assert not collapse.vain(b"k", 0)


def test_only_so_many_are_remembered_the_latest() -> None:
    collapse = Collapse(remembered=2)
    for key in (b"a", b"b", b"a", b"c"):
        collapse.remember(key, 0)
    assert [collapse.vain(key, 1) for key in (b"a", b"b", b"c")] == [True, False, True]
    assert repr(collapse) == "<Collapse fills=0 remembered=2>"
