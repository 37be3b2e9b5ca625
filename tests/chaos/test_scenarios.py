"""The short form of `make chaos`: each fault once, under load, as long as it takes to be felt."""

import random
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.bench import Bench, bench
from tests.chaos.run import SHORT, run
from tests.chaos.scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("chaos")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One bench for all: what one scenario leaves behind, the next one has to bear."""
    # Nobody is killed who only waits for a busy machine.
    async with bench(tmp_path_factory.mktemp("chaos"), seed=1, hung=60.0) as made:
        yield made


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.short], ids=lambda each: each.name)
async def test_clients_see_no_more_than_they_must(broken: Bench, scenario: Scenario) -> None:
    result = await run(broken, [scenario], random.Random(zlib.crc32(scenario.name.encode())), SHORT)
    if result.skipped:
        pytest.skip(result.skipped)
    assert not list(result.faults())
    assert result.sent > 0
