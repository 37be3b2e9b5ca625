"""The sketch of popular keys: never too little, halved by time, of fixed size."""

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.popularity import Popularity


@given(keys=st.lists(st.integers(0, 300), max_size=400))
def test_it_never_says_too_little(keys: list[int]) -> None:
    sketch = Popularity(0.0, width=64)
    for key in keys:
        sketch.add(b"%d" % key, 0.0)
    for key in set(keys):
        assert sketch.of(b"%d" % key, 0.0) >= keys.count(key)


def test_few_keys_are_counted_exactly_and_halved_by_each_half_life() -> None:
    sketch = Popularity(100.0, half_life=10.0)
    sketch.add(b"a", 100.0, 8)
    sketch.add(b"a", 110.0, 4)
    assert sketch.of(b"a", 110.0) == 8
    assert sketch.of(b"a", 130.0) == 2
    assert sketch.of(b"b", 110.0) == 0
    assert repr(sketch) == "<Popularity 4096 half_life=10.0>"


def test_it_goes_on_after_any_time() -> None:
    sketch = Popularity(0.0, half_life=1.0)
    sketch.add(b"a", 0.0, 1e9)
    sketch.add(b"b", 10_000.0)
    assert (sketch.of(b"a", 10_000.0), sketch.of(b"b", 10_000.0)) == (0.0, 1.0)
    sketch.add(b"c", 9_000.0)  # a clock that steps back
    assert sketch.of(b"c", 9_000.0) == 1.0
