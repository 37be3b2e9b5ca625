"""Stale instead of waiting: within a window, never against what forbids it, nor a client's own wish."""

import pytest

from edgeproxy.caching.on_delay import on_delay
from edgeproxy.caching.outcomes import Fail, UseStale
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason

from .values import PLAIN, T0, get, stored

OPERATOR = CachePolicy(stale_while_revalidate=300.0, stale_if_error=600.0)


@pytest.mark.parametrize(
    ("value", "age", "policy", "used"),
    [
        pytest.param("max-age=60", 100, PLAIN, True, id="s4.2.4-an-hour-by-default"),
        pytest.param("max-age=60", 3660, PLAIN, False, id="and-no-longer"),
        pytest.param("max-age=60", 659, OPERATOR, True, id="the-longer-window"),
        pytest.param("max-age=60", 660, OPERATOR, False, id="window-over"),
        pytest.param("max-age=60, stale-if-error=9", 68, OPERATOR, True, id="origin-s-own"),
        pytest.param("max-age=60, stale-if-error=0, stale-while-revalidate=9", 68, PLAIN, True, id="either"),
        pytest.param("max-age=60, stale-if-error=0", 61, PLAIN, False, id="origin-forbids"),
        pytest.param("max-age=60, must-revalidate", 61, OPERATOR, False, id="must-revalidate"),
        pytest.param("max-age=60, proxy-revalidate", 61, OPERATOR, False, id="proxy-revalidate"),
        pytest.param("s-maxage=60", 61, OPERATOR, False, id="s-maxage"),
        pytest.param("s-maxage=60, stale-while-revalidate=9", 61, PLAIN, True, id="explicit-beside-s-maxage"),
        pytest.param("max-age=60, no-cache", 61, OPERATOR, False, id="no-cache"),
    ],
)
def test_what_may_be_used(value: str, age: int, policy: CachePolicy, used: bool) -> None:
    decision = on_delay(get(), stored(value), policy, T0 + age, why=Reason.STALE_IF_SLOW)
    assert isinstance(decision, UseStale) is used
    if isinstance(decision, UseStale):
        assert (decision.reason, decision.age, decision.ttl < 0) == (Reason.STALE_IF_SLOW, age, True)


@pytest.mark.parametrize("directive", [b"no-cache", b"max-age=0", b"min-fresh=1"])
def test_a_client_that_speaks_of_freshness_waits(directive: bytes) -> None:
    asked = get((b"Cache-Control", directive))
    decision = on_delay(asked, stored("max-age=60"), OPERATOR, T0 + 61, why=Reason.ADMISSION)
    assert decision == Fail(Reason.NOT_ALLOWED)


def test_nothing_stored_and_soft_purged() -> None:
    assert on_delay(get(), None, OPERATOR, T0, why=Reason.ADMISSION) == Fail(Reason.NOT_STORED)
    decision = on_delay(
        get(), stored("max-age=60"), OPERATOR, T0 + 10, why=Reason.ADMISSION, soft_purged=True
    )
    assert isinstance(decision, UseStale)
    assert decision.ttl < 0
