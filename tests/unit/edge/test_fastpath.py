"""The fast path: what it answers, what it leaves to the slow way, what it costs and counts."""

import sys
from types import FrameType
from typing import Any

import pytest

from edgeproxy.config.load import load_text
from edgeproxy.edge import fastpath
from edgeproxy.edge.fastpath import HEAD_OVERHEAD, WIRES_SHARE
from edgeproxy.edge.hot import Heats
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from tests.unit.edge.rig import PLAIN, Rig, asks, says

FRESH = says("Cache-Control: max-age=60", 'ETag: "v1"')
ALL = PurgeRule(PurgeKind.EVERYTHING)


def heats(rig: Rig) -> Heats:
    (node,) = rig.memory.nodes()
    assert isinstance(node.hot, Heats)
    return node.hot


def test_a_fresh_response_is_answered_with_age_and_cache_status() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.advance(2.5)
        answer = rig.answer(asks())
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nAge: 2\r\nCache-Status: edgeproxy; hit; ttl=57\r\n\r\nhello" in answer


def test_a_head_request_gets_the_length_and_no_body() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        answer = rig.answer(asks("/", "HEAD"))
        assert answer is not None
        assert b"\r\nContent-Length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


def test_a_matching_if_none_match_gets_a_quick_304() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        answer = rig.answer(asks("/", "GET", 'If-None-Match: "v0", W/"v1"'))
        assert answer is not None
        assert answer.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert b"Content-Length" not in answer
        assert answer.endswith(b"\r\n\r\n")


def test_a_page_to_be_put_together_is_left_to_the_slow_way() -> None:
    with Rig(PLAIN.replace("upstream: o", "upstream: o, esi: true")) as rig:
        rig.store(asks(), says("Cache-Control: max-age=60", "Content-Type: text/html"))
        rig.store(asks("/image"), says("Cache-Control: max-age=60", "Content-Type: image/png"))
        for method in ("GET", "HEAD"):
            assert rig.answer(asks("/", method)) is None
            assert rig.answer(asks("/image", method)) is not None


def test_an_if_none_match_that_does_not_match_gets_the_whole() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        assert (rig.answer(asks("/", "GET", 'If-None-Match: "v0"')) or b"").endswith(b"hello")


@pytest.mark.parametrize(
    "data",
    [
        asks("/other"),
        asks("/", "POST"),
        asks("/", "HEAD", 'If-None-Match: "v1"'),
        asks("/", "GET", "Range: bytes=0-1"),
        asks("/", "GET", "Cache-Control: no-cache"),
        asks("/", "GET", "Pragma: no-cache"),
        asks("/", "GET", "Authorization: Basic eA=="),
        asks("/", "GET", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT"),
        asks("/", "GET", 'If-None-Match: "v1"', "Range: bytes=0-1"),
        asks("/", "GET", 'If-None-Match: "v1"', "Connection: close"),
        asks("/", "GET", 'If-None-Match: "v1"', "Connection: close") + b"GET",
        asks("/", "GET", 'If-None-Match: "v1"', "Host: again.test"),
        asks("/", "GET", "Content-Length: 0"),
        asks("/", "GET", "Upgrade: websocket", "Connection: upgrade"),
        asks("/", "GET", "Connection: close"),
        asks("//", "GET"),
        b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n",
        b"nonsense",
        b"",
    ],
)
def test_what_is_not_surely_a_plain_hit_goes_the_slow_way(data: bytes) -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        assert rig.answer(data) is None


@pytest.mark.parametrize(
    "route",
    [
        "{name: all, upstream: o, cache: {enabled: false}}",
        "{name: moved, redirect: 'http://else.test/'}",
        "{name: other, upstream: o, match: {host: other.test}}",
    ],
)
def test_a_route_that_does_not_cache_is_not_answered(route: str) -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        assert rig.answer(asks()) is not None
        text = PLAIN.replace(
            "{name: all, upstream: o}", route + ", {name: last, upstream: o, match: {path: /l}}"
        )
        rig.follow(load_text(text, {}))
        assert rig.answer(asks()) is None


def test_before_any_rules_nothing_is_answered() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.fast._router = None
        assert rig.answer(asks()) is None


def test_at_the_very_moment_of_staleness_it_is_left_to_the_slow_way() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        assert rig.answer(asks()) is not None
        rig.advance(60)
        assert rig.answer(asks()) is None


def test_a_response_stored_ahead_of_the_coarse_clock_was_reckoned_too_old() -> None:
    with Rig() as rig:
        rig.advance(0.9)
        rig.store(asks(), FRESH)
        rig.fast.now -= 0.1  # the coarse clock lags
        assert b"Age: 0" in (rig.answer(asks()) or b"")
        rig.fast.now += 1.05  # 0.95 s after it came
        assert b"Age: 0" in (rig.answer(asks()) or b"")


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_strikes_what_is_remembered(soft: bool) -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        assert rig.answer(asks()) is not None
        rig.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/", soft))
        assert rig.answer(asks()) is None
        assert rig.answer(asks()) is None


def test_another_purge_leaves_it_in_use() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        rig.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/other"))
        assert rig.answer(asks()) is not None


def test_a_purge_between_verdict_and_serialising_was_missed() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        peek = rig.lookup.peek

        def purged_meanwhile(*arguments: Any) -> Any:
            found = peek(*arguments)
            rig.purges.apply(ALL)  # by the supervisor, another process
            return found

        rig.lookup.peek = purged_meanwhile  # type: ignore[method-assign, assignment]
        rig.answer(asks())
        rig.lookup.peek = peek  # type: ignore[method-assign]
        assert rig.answer(asks()) is None


def test_a_newer_variant_on_other_fields_was_hidden_by_what_was_remembered() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH, b"old")
        assert (rig.answer(asks()) or b"").endswith(b"old")
        rig.advance(1)
        rig.store(asks(), says("Cache-Control: max-age=60", "Vary: accept-language"), b"new")
        rig.answer(asks())
        assert (rig.answer(asks()) or b"").endswith(b"new")


def test_a_replaced_response_is_answered_no_more() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH, b"old")
        assert (rig.answer(asks()) or b"").endswith(b"old")
        rig.store(asks(), FRESH, b"new")
        rig.answer(asks())
        assert (rig.answer(asks()) or b"").endswith(b"new")


def test_variants_have_answers_of_their_own() -> None:
    with Rig() as rig:
        for language in ("de", "en"):
            head = says("Cache-Control: max-age=60", "Vary: accept-language")
            rig.store(asks("/", "GET", f"Accept-Language: {language}"), head, language.encode())
        for language in ("de", "en"):
            answer = rig.answer(asks("/", "GET", f"Accept-Language: {language}"))
            assert (answer or b"").endswith(language.encode())
        assert rig.answer(asks("/", "GET", "Accept-Language: fr")) is None


def test_a_large_body_is_not_copied_into_one_piece() -> None:
    with Rig() as rig:
        body = b"x" * 100_000
        rig.store(asks(), FRESH, body)
        wire = rig.fast.answer(asks())
        assert isinstance(wire, tuple)
        (node,) = rig.memory.nodes()
        assert wire[1] is node.body[0]


def test_a_reload_counted_the_serialised_forms_of_every_generation() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        before, hot = rig.memory.bytes, heats(rig).get
        for _ in range(3):
            rig.follow(load_text(PLAIN, {}))
            assert rig.answer(asks()) is not None
        assert rig.memory.bytes == before
        assert hot is not None
        assert hot.node is None


def test_what_has_no_room_for_its_serialised_form_is_not_answered() -> None:
    with Rig(budget=10_000) as rig:
        rig.store(asks(), FRESH, b"x" * 600)
        rig.memory.reserve(5_000)
        rig.memory.resize(6_800)
        assert rig.answer(asks()) is None
        assert rig.memory.responses == 0


def test_remembered_heads_stay_within_their_budget() -> None:
    with Rig(budget=200_000) as rig:
        rig.store(asks(), FRESH)
        for number in range(2000):
            assert rig.answer(asks("/", "GET", f"X-Number: {number}")) is not None
        remembered = [*rig.fast._heads, *rig.fast._old]
        assert sum(len(data) + HEAD_OVERHEAD for data in remembered) <= 200_000 // 8
        assert asks("/", "GET", "X-Number: 1999") in remembered
        assert rig.answer(asks("/", "GET", "X-Number: 0")) is not None


def test_a_head_from_the_older_generation_is_answered_without_recognising_it_again() -> None:
    with Rig(budget=200_000) as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        while asks() not in rig.fast._old:
            rig.answer(asks("/", "GET", f"X-Number: {len(rig.fast._heads)}"))
        rig.fast._match = lambda data: None
        assert rig.answer(asks()) is not None


def test_very_long_heads_are_answered_and_not_remembered() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        data = asks("/", "GET", "Cookie: " + "x" * 5000)
        assert rig.answer(data) is not None
        assert not rig.fast._heads


def test_without_room_for_heads_hits_are_still_answered() -> None:
    with Rig(budget=200_000) as rig:
        rig.store(asks(), FRESH)
        rig.memory.reserve(100_000)
        assert rig.answer(asks()) is not None
        assert not rig.fast._heads


def test_hits_are_counted_at_once_and_the_rest_at_the_fold() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        for _ in range(3):
            rig.answer(asks())
        rig.answer(asks("/", "HEAD"))
        rig.answer(asks("/", "GET", 'If-None-Match: "v1"'))
        assert rig.count("edgeproxy_requests_total", "all", "hit", "200") == 4
        assert rig.count("edgeproxy_requests_total", "all", "hit", "304") == 1
        assert rig.count("edgeproxy_response_bytes_total", "all", "cache") == 0
        for _ in range(2):
            rig.fast.fold()
            assert rig.count("edgeproxy_response_bytes_total", "all", "cache") == 3 * len(b"hello")
            assert rig.count("edgeproxy_tier_requests_total", "memory", "hit") == 5
            duration = rig.counters.histogram("edgeproxy_request_duration_seconds", "all", "hit")
            assert rig.counters.ints[duration.first_bucket] == 5
            saved = rig.counters.total("edgeproxy_origin_seconds_saved_total", "all")
            assert rig.counters.floats[saved] == pytest.approx(5 * 0.25)


def test_hits_of_a_response_that_died_since_are_still_counted() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        rig.memory.clear()
        rig.fast.fold()
        assert rig.count("edgeproxy_response_bytes_total", "all", "cache") == len(b"hello")


def test_a_hit_spares_its_response_from_eviction() -> None:
    with Rig() as rig:
        node = rig.store(asks(), FRESH)
        assert node is not None
        assert not node.visited
        rig.answer(asks())
        assert node.visited


def test_a_head_routed_apart_is_answered_from_what_a_get_stored() -> None:
    heads = "{name: heads, upstream: o, match: {methods: [HEAD]}, cache: {key: {query: {only: [a]}}}}, "
    with Rig(PLAIN.replace("{name: all", heads + "{name: all")) as rig:
        rig.store(asks("/?b=1"), FRESH)
        answer = rig.answer(asks("/?b=1", "HEAD"))
        assert answer is not None
        assert answer == rig.slow(asks("/?b=1", "HEAD"))


def calls(rig: Rig, data: bytes) -> list[str]:
    """The names of the Python functions that one answer calls."""
    called: list[str] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        assert rig.fast.answer(data) is not None
    finally:
        sys.setprofile(None)
    return called


def test_a_hit_on_a_known_head_costs_one_call_and_one_more_once_a_second() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        assert calls(rig, asks()) == ["answer"]
        rig.advance(1)
        assert calls(rig, asks()) == ["answer", "renew"]
        rig.purges.apply(PurgeRule(PurgeKind.URL, b"shop.test/other"))
        assert len(calls(rig, asks())) <= 22
        assert calls(rig, asks()) == ["answer"]


def test_a_hit_on_an_unknown_head_costs_a_bounded_number_of_calls() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        assert len(calls(rig, asks("/", "GET", "User-Agent: new"))) <= 18


def test_ready_answers_go_when_their_second_is_over() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        hot = heats(rig).get
        assert hot is not None
        rig.fast.fold()
        assert hot.wire  # it may be asked for again at once
        rig.advance(1)
        rig.fast.fold()
        assert hot.wire == b""
        assert rig.fast._warmth == 0
        assert (rig.answer(asks()) or b"").endswith(b"hello")


def test_ready_answers_have_a_bound() -> None:
    with Rig() as rig:
        rig.fast._budget = 64 * 1024
        most = rig.fast._budget // WIRES_SHARE
        for number in range(200):
            rig.store(asks(f"/{number}"), FRESH, b"x" * 1000)
            answer = rig.answer(asks(f"/{number}"))
            assert answer is not None
            assert answer.endswith(b"x" * 1000)  # the one at hand is not taken away
            assert sum(len(hot.wire) for hot in rig.fast._warm) <= most
        assert rig.answer(asks("/0")) is not None


def test_a_dead_answer_holds_no_bytes_though_its_head_is_remembered() -> None:
    with Rig() as rig:
        rig.store(asks(), FRESH)
        rig.answer(asks())
        hot = heats(rig).get
        assert hot is not None
        rig.memory.remove(b"http://shop.test/")
        assert (hot.lines, hot.body, hot.wire, hot.cache_status) == (b"", (), b"", (b"", b""))


def test_hits_of_many_responses_are_folded_before_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "MOST_TOUCHED", 8)
    with Rig() as rig:
        for number in range(20):
            rig.store(asks(f"/{number}"), FRESH)
            rig.answer(asks(f"/{number}"))
            assert len(rig.fast._touched) <= 8
        rig.fast.fold()
        assert rig.count("edgeproxy_tier_requests_total", "memory", "hit") == 20
        assert rig.count("edgeproxy_requests_total", "all", "hit", "200") == 20
