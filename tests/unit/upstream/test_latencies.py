from edgeproxy.upstream.latencies import ENOUGH, KEPT, RECKON_EVERY, Latencies


def test_the_percentile_is_known_after_enough_answers_and_follows_the_last_ones() -> None:
    of = Latencies(0.9)
    for number in range(ENOUGH):
        assert of.usual is None
        of.add(float(number))
    assert of.usual == 18.0
    for _ in range(KEPT + RECKON_EVERY):
        of.add(3.0)
    assert of.usual == 3.0
    assert len(of._kept) == KEPT
    assert repr(of) == "<Latencies of 256, usual 3.0>"
