"""One fetch that many clients read while it grows."""

import asyncio
from typing import Any, cast

import pytest

from edgeproxy.caching.decide import Unusable
from edgeproxy.caching.reasons import Reason
from edgeproxy.edge.fill import HIGH_WATER, LOW_WATER, WINDOW
from edgeproxy.edge.segments import SEGMENT, joined
from edgeproxy.errors import IncompleteResponse, UpstreamError
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import ResponseHead
from tests.unit.edge.doubles import OK, Origin, Out, Owner, fill


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def join(made: Any, out: Out) -> Out:
    made.join(cast("Any", out))
    return out


class TestPassing:
    async def test_pieces_go_straight_to_a_single_reader(self, loop: Any) -> None:
        made, _ = fill(Owner(), loop)
        out = join(made, Out())
        made.on_data(b"ab")
        made.on_data(b"cd")
        made.on_end(Fields([(b"X", b"y")]))
        assert (out.data, out.sizes, out.ended) == (b"abcd", [2, 2], True)
        assert out.trailers is not None
        assert (made._chunks, made.readers, made.ended) == ([], [], True)

    async def test_what_came_before_the_reader_is_read_first(self, loop: Any) -> None:
        made, _ = fill(Owner(), loop)
        made.on_data(b"ab")
        out = join(made, Out())
        made.on_data(b"cd")
        assert out.data == b"abcd"

    async def test_a_body_that_ended_before_its_reader_came_is_read_whole(self, loop: Any) -> None:
        made, _ = fill(Owner(), loop)
        made.on_data(b"ab")
        made.on_end(None)
        out = join(made, Out())
        assert (out.data, out.ended) == (b"ab", True)

    async def test_a_full_reader_pauses_the_origin_and_goes_on_later(self, loop: Any) -> None:
        made, origin = fill(Owner(), loop)
        out = join(made, Out(room=1))
        while not origin.paused:
            made.on_data(b"x" * 10_000)
        assert made._kept <= HIGH_WATER + 10_000
        out.take(HIGH_WATER - LOW_WATER + 20_000)
        assert not origin.paused
        assert made._kept <= LOW_WATER
        out.take(1 << 30)
        made.on_end(None)
        assert out.ended
        assert made._kept == 0

    async def test_paused_before_there_is_an_exchange_it_is_paused_at_once(self, loop: Any) -> None:
        made, _ = fill(Owner(), loop, head=False)
        made.on_head(OK, cast("Any", None))
        made.on_data(b"x" * HIGH_WATER * 2)
        origin = Origin()
        made.attached(cast("Any", origin))
        assert origin.paused

    async def test_interims_reach_the_leader_but_for_100(self, loop: Any) -> None:
        leader = Out()
        made, _ = fill(Owner(), loop, leader=leader, head=False)
        for status in (100, 102, 103):
            made.on_interim(ResponseHead(status, b"", 1, Fields([])))
        assert leader.interims == [102, 103]
        fill(Owner(), loop, head=False)[0].on_interim(OK)


class TestGivingUp:
    async def test_a_last_reader_that_leaves_frees_the_origin(self, loop: Any) -> None:
        owner = Owner()
        made, origin = fill(owner, loop)
        one, two = join(made, Out()), join(made, Out())
        one.leave()
        assert not origin.aborted
        two.leave()
        assert (origin.aborted, owner.over) == (True, [made])

    async def test_before_whoever_began_it_has_joined_nobody_has_left(self, loop: Any) -> None:
        """A body too large to store, in the segment of its head, was given up under its client."""
        owner = Owner(store=True)
        made, origin = fill(owner, loop, largest=10)
        made.on_data(b"x" * 100)
        assert not origin.aborted
        assert owner.too_large == owner.not_shared == [made]
        out = join(made, Out())
        made.on_end(None)
        assert (len(out.data), out.ended) == (100, True)

    async def test_settled_without_readers_it_is_given_up(self, loop: Any) -> None:
        made, origin = fill(Owner(), loop)
        made.settle()
        made.settle()
        assert origin.aborted
        assert isinstance(made.error, UpstreamError)

    async def test_given_up_before_there_is_an_exchange_that_is_aborted_as_it_comes(self, loop: Any) -> None:
        made, _ = fill(Owner(), loop, head=False)
        made.on_head(OK, cast("Any", None))
        made.settle()
        made.on_data(b"late")
        origin = Origin()
        made.attached(cast("Any", origin))
        assert (origin.aborted, made._chunks) == (True, [])

    async def test_what_will_be_stored_is_fetched_without_readers(self, loop: Any) -> None:
        owner = Owner(store=True)
        made, origin = fill(owner, loop)
        join(made, Out()).leave()
        made.on_data(b"ab")
        made.on_end(None)
        assert (origin.aborted, owner.stored) == (False, [(b"ab",)])

    async def test_a_client_that_was_gone_already_reads_nothing(self, loop: Any) -> None:
        made, origin = fill(Owner(), loop)
        out = Out()
        out.gone = True
        join(made, out)
        assert origin.aborted


class TestStoring:
    async def test_readers_do_not_pace_it(self, loop: Any) -> None:
        owner = Owner(store=True)
        made, origin = fill(owner, loop)
        out = join(made, Out(room=1))
        for _ in range(100):
            made.on_data(b"x" * 10_000)
        assert owner.reserved >= 1_000_000
        made.on_end(None)
        assert (origin.pauses, owner.reserved) == (0, 0)
        assert sum(map(len, owner.stored[0])) == 1_000_000
        assert made.was_stored
        out.take(1 << 30)
        assert (len(out.data), out.ended) == (1_000_000, True)

    @pytest.mark.parametrize("limit", ["largest", "budget"])
    async def test_beyond_its_bound_it_only_passes(self, loop: Any, limit: str) -> None:
        owner = Owner(store=True, budget=50_000 if limit == "budget" else 1 << 40)
        made, origin = fill(owner, loop, largest=50_000 if limit == "largest" else 1 << 40)
        fast, slow = join(made, Out()), join(made, Out(room=1))
        while not origin.paused and len(fast.data) < 1 << 26 and not slow.aborted:
            made.on_data(b"x" * 10_000)
        assert owner.reserved == 0
        assert slow.aborted  # beyond the window it is cut: nobody else is held
        made.on_data(b"x")
        made.on_end(None)
        assert (owner.stored, fast.ended, made._chunks) == ([], True, [])
        assert made._kept <= WINDOW

    async def test_a_late_reader_is_welcome_while_the_beginning_is_kept(self, loop: Any) -> None:
        made, _ = fill(Owner(store=True), loop)
        made.on_data(b"ab")
        assert (made.whole, made.shared_whole) == (True, True)
        join(made, Out())
        made.on_data(b"cd")
        assert made.shared_whole
        passing, _ = fill(Owner(), loop)
        join(passing, Out())
        passing.on_data(b"ab")
        assert (passing.whole, passing.shared_whole) == (False, False)

    async def test_a_broken_body_is_stored_nowhere_and_cuts_all(self, loop: Any) -> None:
        owner = Owner(store=True)
        made, _ = fill(owner, loop)
        one, two = join(made, Out()), join(made, Out(room=1))
        made.on_data(b"abc")
        made.on_data(b"def")
        made.on_error(IncompleteResponse("broken"))
        made.on_error(IncompleteResponse("again"))
        assert one.aborted
        assert (owner.stored, owner.reserved, owner.over) == ([], 0, [made])
        assert not two.ended
        two.take(1 << 30)
        assert (two.aborted, two.ended) == (True, False)

    async def test_tiny_pieces_are_counted_for_what_they_cost_and_stored_as_few(self, loop: Any) -> None:
        owner = Owner(store=True)
        made, _ = fill(owner, loop)
        for _ in range(1000):
            made.on_data(b"x")
        assert owner.reserved > 30_000
        made.on_end(None)
        assert owner.stored == [(b"x" * 1000,)]


async def test_an_answer_to_another_question_releases_those_who_wait(loop: Any) -> None:
    owner = Owner()
    owner.decision = Unusable(Reason.UNASKED)
    made, _ = fill(owner, loop)
    assert made.ready.done()
    assert isinstance(made.error, UpstreamError)


async def test_a_fetch_that_fails_releases_those_who_wait(loop: Any) -> None:
    made, _ = fill(Owner(), loop, head=False)
    assert not made.ready.done()
    made.failed(UpstreamError("no"))
    assert made.ready.done()
    assert made.origin_key == ""


JOINED = [
    ([], ()),
    ([b"a"], (b"a",)),
    ([b"a", b"b"], (b"ab",)),
    ([b"x" * SEGMENT, b"b"], (b"x" * SEGMENT, b"b")),
    ([b"a", b"x" * SEGMENT, b"b", b"c"], (b"a", b"x" * SEGMENT, b"bc")),
]


@pytest.mark.parametrize(("chunks", "segments"), JOINED)
def test_joined_segments_hold_the_same_bytes(chunks: list[bytes], segments: tuple[bytes, ...]) -> None:
    assert joined(chunks) == segments
