"""What a route's configuration offers to let more be stored."""

import pytest

from edgeproxy.caching.operators import duration, settings
from edgeproxy.caching.policy import CachePolicy

from .values import PLAIN, get


@pytest.mark.parametrize(
    ("seconds", "written"), [(60, "1m"), (600, "10m"), (3600, "1h"), (7 * 86400, "7d"), (90, "90s")]
)
def test_durations_are_written_as_in_the_configuration(seconds: int, written: str) -> None:
    assert duration(seconds) == written


def lines(policy: CachePolicy, *asked: str, status: int = 200) -> list[str]:
    return [each.line for each in settings(policy, 60, get(*asked), status)]


def test_only_what_would_change_something_is_offered() -> None:
    assert "cache.enabled: true" in lines(CachePolicy(enabled=False))
    assert "cache.enabled: true" not in lines(PLAIN)
    assert "cache.negative_ttl: 1m" in lines(PLAIN, status=404)
    assert "cache.negative_ttl: 1m" not in lines(PLAIN)
    assert "cache.allow_set_cookie: true" not in lines(CachePolicy(allow_set_cookie=True))
    assert "cache.heuristic: true" in lines(CachePolicy(heuristic=False))


def test_directives_of_the_request_can_be_made_not_to_count() -> None:
    told = "cache.request_directives: [max-age, max-stale, min-fresh, no-store, only-if-cached]"
    assert told in lines(PLAIN, "Cache-Control: no-cache")
    assert not any("request_directives" in line for line in lines(PLAIN, "Cache-Control: x"))
