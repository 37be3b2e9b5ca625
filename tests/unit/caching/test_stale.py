"""How long past its freshness a response may be served (RFC 9111 §4.2.4, RFC 5861)."""

import pytest

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.reasons import Reason
from edgeproxy.caching.stale import (
    Occasion,
    always_validates,
    client_may_take_stale,
    stale_allowance,
)

from .values import PLAIN, cc, stored

SWR, SIE, GONE = Occasion.REVALIDATING, Occasion.ANSWERED_ERROR, Occasion.DISCONNECTED
OPERATOR = CachePolicy(stale_while_revalidate=30.0, stale_if_error=600.0)
R = Reason


@pytest.mark.parametrize(
    ("value", "policy", "occasion", "seconds", "reason"),
    [
        # the defaults
        pytest.param("max-age=1", PLAIN, SWR, 0, R.NOT_ALLOWED, id="swr-needs-a-word"),
        pytest.param("max-age=1", PLAIN, SIE, 0, R.NOT_ALLOWED, id="answered-5xx-needs-a-word"),
        pytest.param("max-age=1", PLAIN, GONE, 3600, R.DISCONNECTED, id="s4.2.4-disconnected-by-default"),
        # the origin's own windows
        pytest.param("stale-while-revalidate=9", PLAIN, SWR, 9, R.STALE_WHILE_REVALIDATE, id="rfc5861-s3"),
        pytest.param("stale-if-error=9", PLAIN, SIE, 9, R.STALE_IF_ERROR, id="rfc5861-s4"),
        pytest.param("stale-if-error=9", PLAIN, GONE, 9, R.STALE_IF_ERROR, id="rfc5861-s4-disconnected"),
        pytest.param("stale-if-error=0", PLAIN, GONE, 0, R.STALE_IF_ERROR, id="rfc5861-s4-none-at-all"),
        pytest.param("stale-if-error=x", PLAIN, GONE, 0, R.STALE_IF_ERROR, id="rfc5861-s4-invalid-is-none"),
        pytest.param(
            "stale-while-revalidate=9", OPERATOR, SWR, 9, R.STALE_WHILE_REVALIDATE, id="origin-first"
        ),
        pytest.param("stale-if-error=9", OPERATOR, SIE, 9, R.STALE_IF_ERROR, id="origin-first-on-error"),
        # the operator's, where the origin is silent
        pytest.param("max-age=1", OPERATOR, SWR, 30, R.STALE_WHILE_REVALIDATE, id="operator-swr"),
        pytest.param("max-age=1", OPERATOR, SIE, 600, R.STALE_IF_ERROR, id="operator-on-error"),
        pytest.param("max-age=1", OPERATOR, GONE, 600, R.STALE_IF_ERROR, id="operator-disconnected"),
        # what forbids
        pytest.param("must-revalidate", OPERATOR, SWR, 0, R.MUST_REVALIDATE, id="s5.2.2.2-swr"),
        pytest.param("must-revalidate", OPERATOR, SIE, 0, R.MUST_REVALIDATE, id="s5.2.2.2-error"),
        pytest.param("must-revalidate", OPERATOR, GONE, 0, R.MUST_REVALIDATE, id="s5.2.2.2-disconnected"),
        pytest.param("proxy-revalidate", OPERATOR, GONE, 0, R.PROXY_REVALIDATE, id="s5.2.2.8"),
        pytest.param("no-cache", OPERATOR, SWR, 0, R.NO_CACHE, id="s5.2.2.4"),
        pytest.param('no-cache="x"', OPERATOR, SWR, 30, R.STALE_WHILE_REVALIDATE, id="s5.2.2.4-qualified"),
        pytest.param("s-maxage=2", OPERATOR, SWR, 0, R.S_MAXAGE, id="s5.2.2.10-swr"),
        pytest.param("s-maxage=2", OPERATOR, SIE, 0, R.S_MAXAGE, id="s5.2.2.10-error"),
        pytest.param("s-maxage=2", PLAIN, GONE, 0, R.S_MAXAGE, id="s5.2.2.10-disconnected"),
        # an origin's own window is its permission, but not against its own prohibition
        pytest.param(
            "s-maxage=2, stale-while-revalidate=9",
            PLAIN,
            SWR,
            9,
            R.STALE_WHILE_REVALIDATE,
            id="s-maxage-with-swr",
        ),
        pytest.param(
            "s-maxage=2, stale-if-error=9", PLAIN, GONE, 9, R.STALE_IF_ERROR, id="s-maxage-with-sie"
        ),
        pytest.param(
            "s-maxage=2, stale-while-revalidate=9",
            OPERATOR,
            SIE,
            0,
            R.S_MAXAGE,
            id="s-maxage-with-the-other-window",
        ),
        pytest.param(
            "must-revalidate, stale-if-error=9",
            PLAIN,
            SIE,
            0,
            R.MUST_REVALIDATE,
            id="must-revalidate-with-sie",
        ),
        pytest.param(
            "proxy-revalidate, stale-while-revalidate=9",
            PLAIN,
            SWR,
            0,
            R.PROXY_REVALIDATE,
            id="proxy-revalidate-with-swr",
        ),
    ],
)
def test_allowance(
    value: str, policy: CachePolicy, occasion: Occasion, seconds: float, reason: Reason
) -> None:
    allowance = stale_allowance(stored(value), policy, occasion)
    assert (allowance.seconds, allowance.reason) == (seconds, reason)


@pytest.mark.parametrize("occasion", Occasion)
@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_stored_5xx_is_never_stale_on_any_occasion(status: int, occasion: Occasion) -> None:
    response = stored(cc("max-age=1, stale-if-error=60, stale-while-revalidate=60", status=status))
    allowance = stale_allowance(response, OPERATOR, occasion)
    assert (allowance.seconds, allowance.reason) == (0, Reason.STORED_ERROR)


def test_a_targeted_field_decides_over_stale_use_too() -> None:
    response = stored(cc("must-revalidate", "CDN-Cache-Control: max-age=1"))
    assert stale_allowance(response, PLAIN, GONE).seconds == 3600


@pytest.mark.parametrize(
    ("value", "always"),
    [("no-cache", True), ("max-age=60, no-cache", True), ('no-cache="a"', False), ("", False)],
)
def test_s5_2_2_4_always_validates(value: str, always: bool) -> None:
    assert always_validates(stored(value), PLAIN) is always


@pytest.mark.parametrize(
    ("value", "may"),
    [
        ("max-age=1", True),
        ("s-maxage=1", False),
        ("must-revalidate", False),
        ("proxy-revalidate", False),
        ("no-cache", False),
    ],
)
def test_s5_2_1_2_when_max_stale_has_effect(value: str, may: bool) -> None:
    assert client_may_take_stale(stored(value), PLAIN) is may
