"""Runs scenarios on a bench, one by one or at random, and tells what clients saw.

Must not know what a fault is made of, or how results are shown.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.bench import Bench, tracebacks
from tests.chaos.load import Mix
from tests.chaos.scenarios import SCENARIOS, Scenario

PATIENCE = 60.0  # seconds in which it must recover


@dataclass(frozen=True, slots=True)
class Form:
    """How long each fault lasts, and what counts as recovered: seconds and requests without a failure."""

    hold: float = 2.0
    requests: int = 60
    quiet: float = 1.0


LONG = Form()
SHORT = Form(hold=0.0, requests=25, quiet=0.2)


@dataclass(slots=True)
class Result:
    """What came of it. `recovery`: seconds from the fault's end to the last failure, None: never."""

    name: str
    title: str
    may_fail: str = ""
    skipped: str = ""
    sent: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    relayed: int = 0
    stale: int = 0
    wrong: list[str] = field(default_factory=list)
    ages: list[str] = field(default_factory=list)
    slowest: float = 0.0
    lasted: float = 0.0
    recovery: float | None = None
    trouble: str = ""
    unmet: str = ""
    random: bool = False

    @property
    def failures(self) -> int:
        return sum(self.failed.values())

    def faults(self) -> Iterator[str]:
        """What is not as it must be."""
        if self.skipped:
            return
        if self.wrong:
            yield f"wrong bytes: {self.wrong[:3]}"
        if self.ages:
            yield f"ages: {len(self.ages)}, as {self.ages[:3]}"
        if self.failed and not self.may_fail:
            yield f"failed: {self.failed}"
        if self.recovery is None:
            yield f"it did not recover: {self.failed}"
        if self.unmet and not self.random:
            yield self.unmet  # two at once may keep each other from being felt
        if self.trouble:
            yield f"in its log: {self.trouble}"


async def run(bench: Bench, scenarios: Sequence[Scenario], draw: random.Random, form: Form = LONG) -> Result:
    """Break what these break, all at once; mend it; wait until no client fails any more."""
    result = Result(
        " + ".join(each.name for each in scenarios),
        " + ".join(each.title for each in scenarios),
        "; ".join(dict.fromkeys(each.may_fail for each in scenarios if each.may_fail)),
        next((why for each in scenarios if (why := each.lacks(bench))), ""),
    )
    if result.skipped:
        return result
    load, node = bench.load, bench.node
    load.mix = Mix(draw.randrange(1 << 30), scenarios[0].kinds)
    if "n" in load.mix.kinds:
        await load.visit()
    count, began, bench.mended = load.fresh_count(), time.monotonic(), 0.0
    logged = len(node.log)
    async with contextlib.AsyncExitStack() as stack:
        for met in [await stack.enter_async_context(each.fault(bench, draw)) for each in scenarios]:
            try:
                await met()
            except AssertionError as error:
                result.unmet = str(error)
        await load.requests(form.requests)
        await asyncio.sleep(form.hold)
        broken_until = time.monotonic()
    mended = bench.mended or broken_until
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(load.quiet(form.quiet, form.requests), PATIENCE)
        result.recovery = max(count.last_failure - mended, 0.0)
    result.lasted = broken_until - began
    result.sent, result.failed = count.sent, dict(count.failed)
    result.relayed, result.stale, result.slowest = count.relayed, count.stale, count.slowest
    result.wrong, result.ages = count.wrong, count.ages
    if not any(each.may_log for each in scenarios):
        result.trouble = tracebacks(node.log[logged:])
    return result


def one_by_one(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names, all where none is named. Raises ValueError."""
    known = {each.name: each for each in SCENARIOS}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no scenario {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(SCENARIOS)


def drawn(draw: random.Random) -> list[Scenario]:
    """One scenario, or two that break different parts; what breaks all of it comes alone."""
    chosen = [draw.choice(SCENARIOS)]
    if draw.random() < 0.5 and chosen[0].part != "all":
        chosen.append(draw.choice([each for each in SCENARIOS if each.part not in (chosen[0].part, "all")]))
    return chosen
