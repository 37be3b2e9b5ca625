"""Answers straight from the node's tier and `decide` never disagree: the bytes of the slow way, or none."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from edgeproxy.caching.decide import UseStored
from edgeproxy.caching.reasons import Reason
from edgeproxy.edge.straight import Seen, Told
from tests.unit.edge.node_rig import NodeRig
from tests.unit.edge.rig import asks, says
from tests.unit.edge.test_fastpath_agrees import LOADED, STEPS, Ask, Purge, Reload, Store, Wait


def check(rig: NodeRig, data: bytes) -> None:
    """What the property says of one request, asked twice while memory has nothing."""
    for _ in range(2):
        rig.forget()
        rig.fast.last, rig.fast._straight._seen = None, Seen()
        fast = rig.answer(data)
        straight = isinstance(rig.fast.last, Told)
        if fast is None:
            return
        event("straight" if straight else "by way of memory")
        assert fast == rig.slow(data)  # which has taken it into memory now
        decision = rig.decision(data)
        assert isinstance(decision, UseStored), decision
        assert decision.reason is Reason.FRESH
        assert fast == rig.answer(data)


FIRST = st.builds(
    lambda lines, delay: Store(asks("/"), says("Cache-Control: max-age=60", *lines), b"hello", delay),
    st.lists(
        st.sampled_from(["Age: 2", "Surrogate-Key: a b", 'ETag: "v1"', "Server: o"]), max_size=2, unique=True
    ),
    st.sampled_from([0.0, 0.25, 1.3]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(LOADED) - 1), FIRST, STEPS)
def test_the_nodes_tier_answers_what_the_slow_way_would_or_nothing(
    config: int, first: Store, steps: list[object]
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        NodeRig(Path(folder), patch) as rig,
    ):
        rig.follow(LOADED[config])
        asked: list[bytes] = [asks("/")]
        for step in (first, *steps):
            match step:
                case Store(request, head, body, delay):
                    rig.store(request, head, b"" if head.status == 204 else body, delay)
                    asked.append(request)
                case Ask(data):
                    asked.append(data)
                case Wait(seconds):
                    rig.advance(seconds)
                case Purge(rule):
                    rig.purges.apply(rule)
                case Reload(number):
                    rig.follow(LOADED[number])
            for data in dict.fromkeys((asked[0], *asked[-3:])):
                check(rig, data)
