"""Which sources of a lifetime were looked at before the one that gave it (RFC 9111 §4.2.1)."""

import pytest

from edgeproxy.caching.freshness import freshness_lifetime
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.sources import looked_at
from edgeproxy.wire.heads import ResponseHead

from .values import PLAIN, T0, answer, at, cc

UNSET = ("route.cache.override_ttl", "not set")
UNTARGETED = ("response a targeted field", "absent")


@pytest.mark.parametrize(
    ("head", "policy", "last", "count"),
    [
        (cc("max-age=5"), CachePolicy(override_ttl=9.0), ("route.cache.override_ttl", "9.0"), 1),
        (
            cc("max-age=5", "CDN-Cache-Control: max-age=7"),
            PLAIN,
            ("response cdn-cache-control", "max-age=7"),
            2,
        ),
        (cc("s-maxage=3, max-age=5"), PLAIN, ("response s-maxage", "3"), 3),
        (cc("max-age"), PLAIN, ("response max-age", ""), 4),
        (answer((b"Expires", at(9))), PLAIN, ("response Expires", at(9).decode()), 5),
        (answer(status=404), CachePolicy(negative_ttl=4.0), ("route.cache.negative_ttl", "4.0"), 6),
        (answer(), CachePolicy(default_ttl=4.0), ("route.cache.default_ttl", "4.0"), 7),
        (answer(), CachePolicy(adaptive=(10.0, 90.0)), ("route.cache.adaptive", "10 s to 90 s"), 8),
    ],
)
def test_the_sources_end_with_the_one_that_gave_the_lifetime(
    head: ResponseHead, policy: CachePolicy, last: tuple[str, str], count: int
) -> None:
    told = looked_at(head, policy, freshness_lifetime(head, policy, T0).source)
    assert (told[-1], len(told)) == (last, count)


def test_where_nobody_says_a_lifetime_all_were_looked_at() -> None:
    told = looked_at(answer(), PLAIN, freshness_lifetime(answer(), PLAIN, T0).source)
    assert told[:2] == (UNSET, UNTARGETED)
    assert told[-1] == ("response Last-Modified", "absent")
    off = CachePolicy(heuristic=False)
    assert looked_at(answer(), off, freshness_lifetime(answer(), off, T0).source)[-1] == (
        "route.cache.heuristic",
        "false",
    )


def test_a_targeted_field_hides_the_others() -> None:
    head = cc("s-maxage=3", (b"Expires", at(9)), "CDN-Cache-Control: public")
    told = dict(looked_at(head, PLAIN, freshness_lifetime(head, PLAIN, T0).source))
    assert "response s-maxage" not in told
    assert "response Expires" not in told
