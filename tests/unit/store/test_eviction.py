"""The eviction policy: what stays and what goes. Its hit ratio: test_hit_ratio.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.store import eviction
from edgeproxy.store.eviction import Ghosts, Link, S3Fifo


def filled(*costs: int) -> tuple[S3Fifo[Link], list[Link]]:
    policy: S3Fifo[Link] = S3Fifo()
    links = [Link(cost) for cost in costs]
    for at, link in enumerate(links):
        policy.add(link, at)
    return policy, links


def test_empty_has_no_victim() -> None:
    assert S3Fifo[Link]().evict() is None


def test_newcomers_leave_in_order_of_arrival() -> None:
    policy, links = filled(10, 10, 10)
    assert [policy.evict() for _ in range(4)] == [*links, None]


def test_what_was_hit_while_new_stays() -> None:
    policy, links = filled(10, 10, 10)
    links[0].visited = True
    assert policy.evict() is links[1]
    assert not links[0].visited
    assert links[0].hits == 1


def test_scan_passes_the_main_part_by() -> None:
    policy, links = filled(*[10] * 100)
    for link in links[:50]:
        link.visited = True
    for _ in range(50):
        policy.evict()  # the other fifty
    for number in range(1000):
        policy.add(Link(10), 1000 + number)
        policy.evict()
    held = {id(link) for link in links[:50]}
    assert sum(id(link) in held for queue in policy._main for link in queue) >= 48


def test_what_comes_back_while_its_ghost_lasts_enters_the_main_part() -> None:
    policy, links = filled(*[10] * 10)
    victim = policy.evict()
    assert victim is links[0]
    policy.haunt(0, victim.cost)
    back = Link(10)
    policy.add(back, 0)
    assert back.hits == 1
    assert policy.evict() is links[1]


def test_of_two_equally_popular_the_larger_goes_first() -> None:
    policy, (small, large) = filled(100, 100_000)
    small.visited = large.visited = True
    assert policy.evict() is large


def test_popular_in_the_past_ages() -> None:
    policy, (old,) = filled(1000)
    old.visited = True
    for number in range(2000):
        link = Link(1000)
        link.visited = True
        policy.add(link, number + 1)
        if number > 5:
            policy.evict()
        if old.queue is None:
            return
    pytest.fail("a link that nobody asks for any more stayed for ever")


def test_renewed_keeps_place_and_hits() -> None:
    policy, links = filled(10, 10, 10)
    links[0].visited = True
    new = Link(25)
    policy.replace(links[0], new)
    assert new.visited
    assert policy.bytes == 45
    assert links[0].queue is None
    assert policy.evict() is links[1]
    assert policy.evict() is links[2]
    assert policy.evict() is new


def test_newcomers_move_on_while_there_is_room() -> None:
    policy, links = filled(*[10] * 100)
    assert len(list(policy._small)) == 5
    links[95].visited = True
    policy.add(Link(200), 100)
    assert not links[95].visited
    assert links[95].hits == 1


def test_after_a_purge_there_is_room_again() -> None:
    policy, links = filled(*[10] * 100)
    policy.evict()
    for link in links[1:50]:
        policy.remove(link)
    for number in range(20):
        policy.add(Link(10), 200 + number)
    assert policy._small.bytes <= 40


def test_one_newcomer_moves_on_a_bounded_number() -> None:
    policy, _ = filled(*[10] * 10)
    policy.evict()
    for number in range(400):
        policy.add(Link(10), 100 + number)
    waiting = len(list(policy._small))
    policy._full = 10**9
    policy.add(Link(10), 999)
    assert waiting > 100
    assert len(list(policy._small)) == waiting + 1 - eviction.FILL_STEPS


def full(main: int, newcomer: int) -> tuple[S3Fifo[Link], Link, Link]:
    """A main part of one link with a hit, and a newcomer whose turn to leave has come."""
    policy: S3Fifo[Link] = S3Fifo()
    old, new = Link(main), Link(newcomer)
    policy.add(old, 1)
    old.hits = 1
    policy._full = 0
    policy.add(new, 2)
    return policy, old, new


def test_newcomer_without_a_hit_leaves_before_what_was_hit() -> None:
    policy, old, new = full(main=1000, newcomer=500)
    assert policy.evict() is new
    assert old.queue is not None


def test_newcomer_stays_in_place_of_something_much_larger() -> None:
    policy, old, new = full(main=1001, newcomer=500)
    assert policy.evict() is old
    assert new.queue is not None
    assert new.queue is not policy._small
    assert policy.bytes == 500


def test_loop_larger_than_the_cache_finds_most_of_what_fits() -> None:
    policy: S3Fifo[Link] = S3Fifo()
    held: dict[int, Link] = {}
    hits = 0
    for at in range(5000):
        number = at % 1000
        if (link := held.get(number)) is not None:
            link.visited = True
            hits += 1
            continue
        if policy.links >= 700:
            victim = policy.evict()
            assert victim is not None
            gone = next(key for key, link in held.items() if link is victim)
            del held[gone]
            if not victim.hits:
                policy.haunt(gone, 1024)
        held[number] = Link(1024)
        policy.add(held[number], number)
    assert hits / 4000 > 0.5


@pytest.mark.parametrize("at", [0, 1, 2])
def test_renewed_anywhere_in_the_queue(at: int) -> None:
    policy, links = filled(10, 10, 10)
    new = Link(10)
    policy.replace(links[at], new)
    expected = [*links[:at], new, *links[at + 1 :]]
    assert [policy.evict() for _ in range(3)] == expected


def test_one_eviction_spares_a_bounded_number_of_newcomers() -> None:
    policy, links = filled(*[10] * (3 * eviction.MAX_STEPS))
    for link in links:
        link.visited = True
    assert policy.evict() is links[eviction.MAX_STEPS]
    assert sum(link.visited for link in links) == len(links) - eviction.MAX_STEPS


def test_one_eviction_spares_a_bounded_number_of_the_main_part() -> None:
    policy: S3Fifo[Link] = S3Fifo()
    links = [Link(10) for _ in range(3 * eviction.MAX_STEPS)]
    for number, link in enumerate(links):
        policy.haunt(number, 10)
        policy.add(link, number)
        link.visited = True
    assert policy.evict() is links[eviction.MAX_STEPS]
    assert sum(link.visited for link in links) == len(links) - eviction.MAX_STEPS


def test_size_of_the_largest_fits_a_class() -> None:
    policy, (huge,) = filled(1 << 50)
    huge.visited = True
    assert policy.evict() is huge


def test_repr_shows_the_queues() -> None:
    policy, links = filled(*[10] * 5)
    links[0].visited = True
    assert repr(policy) == "<S3Fifo small= main=x....>"
    policy.evict()
    policy.add(Link(10), 9)
    assert repr(policy) == "<S3Fifo small=. main=....>"


@given(st.data())
def test_counts_agree_with_the_links_held(data: st.DataObject) -> None:
    policy: S3Fifo[Link] = S3Fifo()
    held: list[Link] = []
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["add", "add", "hit", "evict", "remove", "replace", "recost"])):
            case "add":
                link = Link(data.draw(st.integers(1, 5000)))
                policy.add(link, data.draw(st.integers(0, 30)))
                held.append(link)
            case "evict":
                victim = policy.evict()
                assert (victim is None) == (not held)
                if victim is not None:
                    held.remove(victim)
                    policy.haunt(data.draw(st.integers(0, 30)), victim.cost)
            case action if held:
                at = data.draw(st.integers(0, len(held) - 1))
                if action == "hit":
                    held[at].visited = True
                elif action == "remove":
                    policy.remove(held.pop(at))
                elif action == "recost":
                    policy.recost(held[at], data.draw(st.integers(1, 5000)))
                else:
                    new = Link(data.draw(st.integers(1, 5000)))
                    policy.replace(held[at], new)
                    held[at] = new
        queues = [policy._small, *policy._main]
        assert policy.bytes == sum(link.cost for link in held) == sum(queue.bytes for queue in queues)
        assert policy.links == len(held)
        assert {id(link) for queue in queues for link in queue} == {id(link) for link in held}
        for queue in policy._main:
            worths = [link.worth for link in queue]
            assert worths == sorted(worths)


def test_ghost_lasts_for_its_window_and_is_taken_once() -> None:
    ghosts = Ghosts()
    ghosts.add(1, 1024)
    assert ghosts.take(1, 4096)
    assert not ghosts.take(1, 4096)
    ghosts.add(2, 1024)
    ghosts.add(3, 100 * 1024)
    assert not ghosts.take(2, 50 * 1024)


def test_ghosts_grow_with_what_is_held() -> None:
    ghosts = Ghosts(16)
    ghosts.fit(10)
    assert len(ghosts) == 16
    ghosts.fit(17)
    assert len(ghosts) == 32


def test_a_walk_sees_each_link_once_a_few_at_a_time() -> None:
    policy: S3Fifo[Link] = S3Fifo()
    links = [Link(10 + number) for number in range(100)]
    for number, link in enumerate(links):
        policy.add(link, number)
    walk = policy.walk()
    seen: list[int] = []
    while some := walk.some(7):
        assert len(some) <= 7
        seen += [link.cost for link in some]
        for link in some[::2]:
            policy.remove(link)
    assert sorted(seen) == [link.cost for link in links]
    assert walk.some(7) == []


def test_a_walk_goes_on_at_the_oldest_when_its_next_link_has_left_and_not_for_ever() -> None:
    policy: S3Fifo[Link] = S3Fifo()
    for number in range(50):
        policy.add(Link(10), number)
    walk = policy.walk()
    looked = 0
    while some := walk.some(3):
        looked += len(some)
        following = walk._next
        if following is not None and following.queue is not None:
            policy.remove(following)
            policy.add(Link(10), 1000 + looked)
        assert looked < 10_000
    assert repr(walk) == "<Walk with 0 queues left>"
