"""Fragments asked for ahead of need, within bounds."""

import pytest

from edgeproxy.edge.esi.fragments import AHEAD, Budget, Fragments, Scope, scope_of
from edgeproxy.edge.esi.parse import Include
from edgeproxy.errors import ClientGone, IncludeFailed
from tests.unit.edge.esi.rig import CLIENT, Answers, PageClient, asked, esi_route, turns


def made(answers: Answers, depth: int = 0, left: int = 100) -> Fragments:
    return Fragments(asked(), CLIENT, Scope(depth, 2, Budget(left)), answers.inners)


async def test_so_many_are_under_way_and_the_next_follows_one_that_is_done() -> None:
    answers = Answers()
    fragments = made(answers)
    slots = [fragments.place(Include(b"%d" % number)) for number in range(AHEAD + 2)]
    await turns()
    assert answers.paths == [b"/dir/%d" % number for number in range(AHEAD)]
    assert repr(fragments) == "<Fragments depth=0 running=4 waiting=2>"
    assert fragments.need(slots[0]) is answers.fragments[0]
    fragments.done(answers.fragments[0])
    await turns()
    assert len(answers.paths) == AHEAD + 1
    assert answers.fragments[0].gone
    fragments.leave()
    assert all(fragment.gone for fragment in answers.fragments)
    with pytest.raises(ClientGone):
        await answers.fragments[1].answer()
    await turns()
    assert not len(answers.inners)


async def test_one_that_is_needed_is_asked_for_whatever_is_under_way() -> None:
    answers = Answers()
    fragments = made(answers, depth=1)
    slots = [fragments.place(Include(b"/%d" % number)) for number in range(3)]
    assert fragments.need(slots[2]).head.target.path == b"/2"
    assert repr(slots[0]).startswith("<Slot b'/0'")
    await turns()
    assert len(answers.paths) == 3
    fragments.leave()


@pytest.mark.parametrize(
    ("depth", "left", "src", "why"),
    [
        (2, 9, b"/f", "2 deep"),
        (0, 0, b"/f", "too many"),
        (0, 9, b"mailto:x", "no http or https URL"),
        (0, 9, b"//", "no http or https URL"),
    ],
)
async def test_what_is_not_asked_for(depth: int, left: int, src: bytes, why: str) -> None:
    answers = Answers()
    fragments = made(answers, depth, left)
    slot = fragments.place(Include(src))
    with pytest.raises(IncludeFailed, match=why):
        fragments.need(slot)
    with pytest.raises(IncludeFailed, match=why):
        fragments.ask(src)
    assert not len(answers.inners)


async def test_a_fragments_fragments_count_for_the_page() -> None:
    answers = Answers()
    fragments = made(answers, left=2)
    fragment = fragments.ask(b"/f")
    scope = scope_of(fragment, esi_route())
    assert (scope.depth, scope.max_depth, scope.budget.left) == (1, 2, 1)
    outer = scope_of(PageClient(asked()), esi_route())  # type: ignore[arg-type]
    assert (outer.depth, outer.max_depth, outer.budget.left) == (0, 2, 5)
    fragments.leave()
