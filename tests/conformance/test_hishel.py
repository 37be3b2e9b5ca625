"""edgeproxy's decisions beside those of hishel, a cache by another hand, in its mode for shared caches.

hishel reads less: it knows no Age, no targeted fields, no stale windows and one directive of requests. What
both know is compared, in sequences of a store and a later request; where they part is explained.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import hishel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.caching.build import make_stored
from edgeproxy.caching.decide import UseStaleAndRevalidate, UseStored, on_request
from edgeproxy.caching.storability import storable
from edgeproxy.caching.stored import Stamp
from edgeproxy.wire.heads import ResponseHead

from . import oracle
from .oracle import Pairs
from .sequences import POLICY, T0, Origin, Step, fields_of, head_of, select
from .strategies import rarely

OPTIONS = hishel.CacheOptions(shared=True, supported_methods=["GET"], allow_stale=False)


@dataclass(frozen=True)
class Case:
    """What is answered to the first step, and the second, which may get it."""

    first: Step
    second: Step
    origin: Origin


@dataclass(frozen=True)
class Parted:
    question: str  # stored, reused or age
    ours: int
    theirs: int
    case: Case
    directives: oracle.Said


@dataclass(frozen=True)
class Explained:
    why: str
    explains: Callable[[Parted], bool]


def has(parted: Parted, *names: str) -> bool:
    return oracle.has(parted.directives, *names)


def explicit(parted: Parted) -> bool:
    return has(parted, "max-age", "s-maxage") or parted.case.origin.expires is not None


EXPLAINED = [
    Explained(
        "we keep no cookies, nothing that no request can select, and nothing that is of no use",
        lambda p: p.question == "stored" and p.theirs == 1 and useless_or_withheld(p),
    ),
    Explained(
        "hishel does not know must-understand, nor so which statuses are understood",
        lambda p: (
            p.question == "stored"
            and has(p, "must-understand")
            and (has(p, "no-store") or p.case.origin.status == 299)
        ),
    ),
    Explained(
        "hishel counts age from Date alone, without the delay of the response (§4.2.3)",
        lambda p: p.question != "stored" and p.ours != p.theirs and p.case.origin.delay > 0,
    ),
    Explained(
        "hishel's heuristic is for every status, counts from now, and ends after a week",
        lambda p: p.question == "reused" and p.theirs == 1 and not explicit(p),
    ),
    Explained(
        "an invalid max-age counts as stale with us, as absent with hishel (§4.2.1)",
        lambda p: p.question in ("stored", "reused") and p.case.origin.control == "max-age=x",
    ),
    Explained(
        "a stale response is ours to reuse within the window that its origin gave (RFC 5861)",
        lambda p: p.question == "reused" and p.ours == 1 and has(p, "stale-while-revalidate"),
    ),
]


def useless_or_withheld(parted: Parted) -> bool:
    origin = parted.case.origin
    lifetime = oracle.lifetime(oracle.Answered(origin.status, origin.fields(T0), T0, T0))
    no_validator = origin.status >= 500 or (origin.etag is None and origin.modified is None)
    useless = no_validator and (lifetime <= 0 or oracle.unqualified(parted.directives, "no-cache"))
    return origin.cookie or useless or "*" in (origin.vary or "")


def headers(pairs: Pairs) -> hishel.Headers:
    return hishel.Headers({name: oracle.values(pairs, name.lower()) for name, _ in pairs})


def theirs(case: Case, came: float, now: float) -> tuple[int, int, int]:
    """Whether hishel stores it, whether it reuses it, and with which Age."""
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(time=lambda: came)
        patch.setattr("hishel._core._spec.time", clock)
        first, second = (
            hishel.Request(step.method, step.asked.url, headers(step.asked.fields))
            for step in (case.first, case.second)
        )
        response = hishel.Response(case.origin.status, headers(case.origin.fields(came)))
        state = hishel.CacheMiss(OPTIONS, first).next(response)
        if not isinstance(state, hishel.StoreAndUse):
            return 0, 0, 0
        clock.time = lambda: now
        entry = hishel.Entry(uuid.UUID(int=0), first, state.response)
        then = hishel.IdleClient(OPTIONS).next(second, [entry])
        if not isinstance(then, hishel.FromCache):
            return 1, 0, 0
        return 1, 1, int(then.entry.response.headers["age"])


def ours(case: Case, left: float, came: float, now: float) -> tuple[int, int, int]:
    """The same of edgeproxy."""
    request, fields = head_of(case.first.asked), fields_of(case.origin.fields(came))
    head = ResponseHead(case.origin.status, b"", 1, fields)
    if storable(request, head, POLICY, came) is not None:
        return 0, 0, 0
    stored = make_stored(request, head, b"", left, came, POLICY, Stamp(), b"key")
    then = head_of(case.second.asked)
    outcome = on_request(then, select([stored], then), POLICY, now)
    if not isinstance(outcome, UseStored | UseStaleAndRevalidate):
        return 1, 0, 0
    return 1, 1, outcome.age


def parted(case: Case) -> Iterator[Parted]:
    came = T0 + case.origin.delay
    assert isinstance(case.second.wait, float)
    now = came + case.second.wait
    mine, other = ours(case, T0, came, now), theirs(case, came, now)
    said = oracle.said((("Cache-Control", case.origin.control or ""),))
    for index, question in enumerate(("stored", "reused", "age")):
        if mine[index] != other[index]:
            yield Parted(question, mine[index], other[index], case, said)
            return


# Each name once: of repeated ones hishel reads the last, RFC 9111 §4.2.1 and we the first.
DIRECTIVES = st.sampled_from(
    [
        *["max-age=60", "max-age=10", "s-maxage=10", "no-cache", "no-store", "private", "public"],
        *["must-revalidate", 'private="X-Test"', 'no-cache="X-Test"', "must-understand"],
        "stale-while-revalidate=30",
    ]
)
CASES = st.builds(
    Case,
    first=st.builds(
        Step,
        client=st.sampled_from(["", "", "A"]),
        fields=st.sampled_from([(), (("Foo", "1"),), (("Foo", "2"),)]),
    ),
    second=st.builds(
        Step,
        wait=st.sampled_from([0.0, 1.0, 5.0, 9.0, 10.0, 11.0, 59.0, 60.0, 61.0, 99.0, 100.0, 101.0, 9000.0]),
        control=st.sampled_from([None, None, "no-cache"]),
        client=st.sampled_from(["", "", "B"]),
        fields=st.sampled_from([(), (("Foo", "1"),)]),
    ),
    origin=st.builds(
        Origin,
        status=st.sampled_from([200, 200, 200, 204, 206, 299, 301, 302, 404, 410, 500, 503]),
        control=st.one_of(
            st.sampled_from([None, "max-age=60", "s-maxage=10", "max-age=x"]),
            st.lists(DIRECTIVES, max_size=4, unique_by=lambda one: one.partition("=")[0]).map(", ".join),
        ),
        expires=rarely(st.sampled_from([60, 0, -10, "0"])),
        date=st.sampled_from([0, 0, -5]),
        vary=rarely(st.sampled_from(["Foo", "*"])),
        etag=st.sampled_from([None, '"1"']),
        modified=rarely(st.just(-1000)),
        cookie=st.sampled_from([False] * 9 + [True]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 2.0]),
    ),
)


@given(CASES)
@settings(max_examples=1000)
def test_hishel_and_edgeproxy_differ_only_where_that_is_explained(case: Case) -> None:
    found = [each for each in parted(case) if not any(known.explains(each) for known in EXPLAINED)]
    assert found == []
