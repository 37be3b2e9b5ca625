"""Who fetches, and who waits for whom."""

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
