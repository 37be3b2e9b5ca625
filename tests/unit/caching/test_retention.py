"""How long a stored response is of use to a tier that drops what has expired."""

import pytest

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.retention import KEEP, retention
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, T0, at, cc, stored

QUIET = CachePolicy(stale_if_disconnected=0.0)


@pytest.mark.parametrize(
    ("head", "policy", "after", "seconds"),
    [
        pytest.param(cc("max-age=60"), QUIET, 0, 60, id="freshness-alone"),
        pytest.param(cc("max-age=60"), QUIET, 20, 40, id="what-is-left-of-it"),
        pytest.param(cc("max-age=60"), QUIET, 61, 0, id="never-negative"),
        pytest.param(cc("max-age=60, stale-if-error=30"), QUIET, 0, 90, id="window-for-errors"),
        pytest.param(cc("max-age=60, stale-while-revalidate=30"), QUIET, 0, 90, id="window-while-validated"),
        pytest.param(cc("max-age=60"), CachePolicy(), 0, 3660, id="window-when-disconnected"),
        pytest.param(cc("max-age=60, must-revalidate"), CachePolicy(), 0, 60, id="no-window"),
        pytest.param(cc("max-age=60", ETAG), QUIET, 0, 60 + KEEP, id="kept-to-be-validated"),
        pytest.param(
            cc("max-age=60", (b"Last-Modified", at(-9))),
            QUIET,
            0,
            60 + KEEP,
            id="kept-to-be-validated-by-date",
        ),
    ],
)
def test_retention(head: ResponseHead, policy: CachePolicy, after: float, seconds: float) -> None:
    assert retention(stored(head), policy, T0 + after) == seconds
