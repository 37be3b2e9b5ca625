import random

import pytest

from edgeproxy.fleet.sample import CAP, Sample


def sample_of(names: range, seed: int = 0) -> Sample:
    sample = Sample()
    for name in names:
        number = random.Random(name * 7919 + seed).getrandbits(64)
        if sample.wants(number):
            sample.add(number, 10, 0.5)
    return sample


def test_few_are_counted_exactly_however_many_saw_them():
    one, other = sample_of(range(100)), sample_of(range(50, 150))
    one.merge(Sample.load(other.dump()))
    assert (one.exact, one.count, one.size, one.seconds) == (True, 150, 1500, 75.0)


@pytest.mark.parametrize("first", [3 * CAP, 20])
def test_many_are_estimated_within_a_few_percent_from_a_bounded_number(first: int):
    whole = sample_of(range(first))
    whole.merge(sample_of(range(6 * CAP)))
    assert not whole.exact
    assert whole.count == pytest.approx(6 * CAP, rel=0.05)
    assert whole.size == 10 * whole.count
    assert len(whole.dump()[1]) <= CAP
