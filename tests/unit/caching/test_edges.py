"""Every edge of every window: a tick before it, at it, and a tick after (RFC 9111 §4.2, §5.2.1; RFC 5861)."""

from dataclasses import dataclass, field

import pytest

from edgeproxy.caching.decide import on_failure, on_request, on_response
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, at, cc, get, stored

TICK = 0.001
USED, LATE, VALIDATED = "UseStored", "UseStaleAndRevalidate", "Validate"
COVERED, FAILED = "UseStale", "Fail"
OPERATOR = CachePolicy(stale_while_revalidate=30.0, stale_if_error=600.0)


@dataclass(frozen=True)
class Edge:
    """`offset` seconds after the response came what a request gets changes from `before` to `after`."""

    head: ResponseHead
    offset: float
    before: str
    at: str
    after: str
    wish: str = ""
    policy: CachePolicy = field(default=PLAIN)
    delay: float = 0.0
    soft_purged: bool = False


def fresh(head: ResponseHead, offset: float, **others: object) -> Edge:
    """An edge of freshness: at it, the response is stale (§4.2)."""
    return Edge(head, offset, USED, VALIDATED, VALIDATED, **others)  # type: ignore[arg-type]


def dated(offset: float, *fields: RawField | str) -> ResponseHead:
    return answer((b"Date", at(offset)), *fields)


EDGES = {
    # the lifetime's sources
    "s4.2.1-max-age": fresh(cc("max-age=60"), 60),
    "s4.2.1-one-second": fresh(cc("max-age=1"), 1),
    "s4.2.1-max-age-first-of-two": fresh(cc("max-age=60, max-age=90"), 60),
    "s4.2.1-s-maxage": fresh(cc("max-age=60, s-maxage=90"), 90),
    "s4.2.1-s-maxage-shorter": fresh(cc("max-age=60, s-maxage=30"), 30),
    "s4.2.1-expires": fresh(answer((b"Expires", at(60))), 60),
    "s5.3-expires-and-an-earlier-date": fresh(dated(-10, (b"Expires", at(50))), 50),
    "s5.3-expires-and-a-later-date": fresh(dated(10, (b"Expires", at(70))), 60),
    "s4.2.2-heuristic": fresh(answer((b"Last-Modified", at(-1000))), 100),
    "s4.2.2-heuristic-at-most-a-day": fresh(answer((b"Last-Modified", at(-2_000_000))), 86400),
    "rfc9213-s2.2-max-age": fresh(cc("max-age=5", "CDN-Cache-Control: max-age=60"), 60),
    "rfc9213-s2.2-longer-hidden": fresh(cc("max-age=90", "CDN-Cache-Control: max-age=60"), 60),
    "operator-override-ttl": fresh(cc("max-age=5"), 60, policy=CachePolicy(override_ttl=60.0)),
    "operator-default-ttl": fresh(answer(), 60, policy=CachePolicy(default_ttl=60.0)),
    "operator-negative-ttl": fresh(answer(status=404), 60, policy=CachePolicy(negative_ttl=60.0)),
    # the age's parts
    "s5.1-age-received": fresh(cc("max-age=60", "Age: 20"), 40),
    "s4.2.3-apparent-age": fresh(dated(-20, "Cache-Control: max-age=60"), 40),
    "s4.2.3-date-ahead": fresh(dated(20, "Cache-Control: max-age=60"), 60),
    "s4.2.3-response-delay": fresh(cc("max-age=60"), 58, delay=2.0),
    "s4.2.3-delay-beside-age": fresh(cc("max-age=60", "Age: 20"), 38, delay=2.0),
    "s4.2.3-apparent-age-beside-delay": fresh(dated(-20, "Cache-Control: max-age=60"), 40, delay=2.0),
    # what the request says
    "s5.2.1.1": Edge(cc("max-age=60"), 30, USED, USED, VALIDATED, "max-age=30"),
    "s5.2.1.1-age-received": Edge(cc("max-age=60", "Age: 20"), 10, USED, USED, VALIDATED, "max-age=30"),
    "s5.2.1.1-nothing-stale": fresh(cc("max-age=60, stale-while-revalidate=30"), 60, wish="max-age=90"),
    "s5.2.1.1-beside-max-stale": Edge(
        cc("max-age=60"), 65, USED, USED, VALIDATED, "max-age=65, max-stale=10"
    ),
    "s5.2.1.2": Edge(cc("max-age=60"), 70, USED, USED, VALIDATED, "max-stale=10"),
    "s5.2.1.2-of-nothing": Edge(cc("max-age=60"), 60, USED, USED, VALIDATED, "max-stale=0"),
    "s5.2.1.2-any": Edge(cc("max-age=60"), 60, USED, USED, USED, "max-stale"),
    "s5.2.1.2-invalid": fresh(cc("max-age=60"), 60, wish="max-stale=x"),
    "s5.2.1.2-then-the-origins-window": Edge(
        cc("max-age=60, stale-while-revalidate=30"), 70, USED, USED, LATE, "max-stale=10"
    ),
    "s5.2.1.3": Edge(cc("max-age=60"), 50, USED, USED, VALIDATED, "min-fresh=10"),
    "s5.2.1.3-of-nothing": fresh(cc("max-age=60"), 60, wish="min-fresh=0"),
    "s5.2.1.3-over-a-window": Edge(
        cc("max-age=60, stale-while-revalidate=30"), 50, USED, USED, VALIDATED, "min-fresh=10"
    ),
    "s5.2.1.7-only-if-cached": Edge(
        cc("max-age=60"), 60, USED, "OnlyIfCachedMiss", "OnlyIfCachedMiss", "only-if-cached"
    ),
    # what the origin forbids
    "s5.2.2.2-must-revalidate": fresh(
        cc("max-age=60, must-revalidate"), 60, wish="max-stale", policy=OPERATOR
    ),
    "s5.2.2.8-proxy-revalidate": fresh(
        cc("max-age=60, proxy-revalidate"), 60, wish="max-stale", policy=OPERATOR
    ),
    "s5.2.2.10-s-maxage": fresh(cc("s-maxage=60"), 60, wish="max-stale", policy=OPERATOR),
    "s5.2.2.4-no-cache": Edge(cc("max-age=60, no-cache"), 60, VALIDATED, VALIDATED, VALIDATED, "max-stale"),
    # immutable
    "rfc8246-s2-reload": fresh(cc("max-age=60, immutable"), 60, wish="max-age=0"),
    "rfc8246-s2-forced-reload": Edge(
        cc("max-age=60, immutable"), 60, VALIDATED, VALIDATED, VALIDATED, "no-cache"
    ),
    # stale-while-revalidate
    "rfc5861-s3-opens": Edge(cc("max-age=60, stale-while-revalidate=30"), 60, USED, LATE, LATE),
    "rfc5861-s3-closes": Edge(cc("max-age=60, stale-while-revalidate=30"), 90, LATE, VALIDATED, VALIDATED),
    "rfc5861-s3-of-nothing": fresh(cc("max-age=60, stale-while-revalidate=0"), 60, policy=OPERATOR),
    "rfc5861-s3-invalid": fresh(cc("max-age=60, stale-while-revalidate=x"), 60, policy=OPERATOR),
    "rfc5861-s3-beside-s-maxage": Edge(
        cc("s-maxage=60, stale-while-revalidate=30"), 90, LATE, VALIDATED, VALIDATED
    ),
    "rfc5861-s3-after-age-received": Edge(
        cc("max-age=60, stale-while-revalidate=30", "Age: 20"), 70, LATE, VALIDATED, VALIDATED
    ),
    "rfc9213-s2.2-stale-while-revalidate": Edge(
        answer("CDN-Cache-Control: max-age=60, stale-while-revalidate=30"), 90, LATE, VALIDATED, VALIDATED
    ),
    "operator-opens": Edge(cc("max-age=60"), 60, USED, LATE, LATE, policy=OPERATOR),
    "operator-closes": Edge(cc("max-age=60"), 90, LATE, VALIDATED, VALIDATED, policy=OPERATOR),
    "soft-purged-closes": Edge(
        cc("max-age=60"), 90, LATE, VALIDATED, VALIDATED, policy=OPERATOR, soft_purged=True
    ),
    "an-error-is-never-stale": fresh(
        cc("max-age=60, stale-while-revalidate=30", status=503), 60, policy=OPERATOR
    ),
}


@pytest.mark.parametrize("moment", ["before", "at", "after"])
@pytest.mark.parametrize("edge", [pytest.param(edge, id=name) for name, edge in EDGES.items()])
def test_requests(edge: Edge, moment: str) -> None:
    response = stored(edge.head, delay=edge.delay)
    now = T0 + edge.offset + {"before": -TICK, "at": 0.0, "after": TICK}[moment]
    request = get(*(["Cache-Control: " + edge.wish] if edge.wish else []))
    outcome = on_request(request, response, edge.policy, now, soft_purged=edge.soft_purged)
    assert type(outcome).__name__ == getattr(edge, moment)


def covers(value: str, offset: float, **others: object) -> Edge:
    return Edge(cc(value, ETAG), offset, COVERED, FAILED, FAILED, **others)  # type: ignore[arg-type]


DISCONNECTED = {
    "s4.2.4-an-hour": covers("max-age=60", 3660),
    "s4.2.4-an-hour-after-what-was-never-fresh": covers("max-age=0", 3600),
    "s4.2.4-route": covers("max-age=60", 120, policy=CachePolicy(stale_if_disconnected=60.0)),
    "rfc5861-s4": covers("max-age=60, stale-if-error=30", 90),
    "rfc5861-s4-longer": covers("max-age=60, stale-if-error=7200", 7260),
    "rfc5861-s4-of-nothing": covers("max-age=60, stale-if-error=0", 60),
    "rfc5861-s4-beside-s-maxage": covers("s-maxage=60, stale-if-error=30", 90),
    "operator": covers("max-age=60", 660, policy=OPERATOR),
    "s5.2.2.2-must-revalidate": covers("max-age=60, must-revalidate", 60, policy=OPERATOR),
    "s5.2.2.8-proxy-revalidate": covers("max-age=60, proxy-revalidate", 60, policy=OPERATOR),
    "s5.2.2.10-s-maxage": covers("s-maxage=60", 60, policy=OPERATOR),
    "s5.2.2.2-over-stale-if-error": covers("max-age=60, must-revalidate, stale-if-error=30", 60),
    "s5.2.1.1-is-advice": covers("max-age=60, stale-if-error=30", 90, wish="max-age=0"),
}


@pytest.mark.parametrize("moment", ["before", "at", "after"])
@pytest.mark.parametrize("edge", [pytest.param(edge, id=name) for name, edge in DISCONNECTED.items()])
def test_an_origin_out_of_reach(edge: Edge, moment: str) -> None:
    now = T0 + edge.offset + {"before": -TICK, "at": 0.0, "after": TICK}[moment]
    request = get(*(["Cache-Control: " + edge.wish] if edge.wish else []))
    outcome = on_failure(request, stored(edge.head), edge.policy, now, disconnected=True)
    assert type(outcome).__name__ == getattr(edge, moment)


def answers(value: str, offset: float, **others: object) -> Edge:
    return Edge(cc(value, ETAG), offset, COVERED, "Relay", "Relay", **others)  # type: ignore[arg-type]


ANSWERED = {
    "rfc5861-s4": answers("max-age=60, stale-if-error=30", 90),
    "rfc5861-s4-without-a-word": answers("max-age=60", 60),
    "rfc5861-s4-of-nothing": answers("max-age=60, stale-if-error=0", 60, policy=OPERATOR),
    "rfc5861-s4-beside-s-maxage": answers("s-maxage=60, stale-if-error=30", 90),
    "rfc5861-s4-never-fresh": answers("max-age=0, stale-if-error=30", 30),
    "operator": answers("max-age=60", 660, policy=OPERATOR),
    "s5.2.2.2-must-revalidate": answers("max-age=60, must-revalidate", 60, policy=OPERATOR),
    "s5.2.2.10-s-maxage": answers("s-maxage=60", 60, policy=OPERATOR),
}


@pytest.mark.parametrize("moment", ["before", "at", "after"])
@pytest.mark.parametrize("edge", [pytest.param(edge, id=name) for name, edge in ANSWERED.items()])
def test_an_answered_503(edge: Edge, moment: str) -> None:
    now = T0 + edge.offset + {"before": -TICK, "at": 0.0, "after": TICK}[moment]
    outcome = on_response(get(), answer(status=503), stored(edge.head), edge.policy, now)
    assert type(outcome).__name__ == getattr(edge, moment)
