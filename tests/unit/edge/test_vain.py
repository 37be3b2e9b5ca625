"""What is not tried again for a while."""

from edgeproxy.edge.vain import Vain


def test_a_key_in_vain_is_remembered_for_its_time() -> None:
    vain = Vain(remember_for=60)
    assert not vain.holds(b"k", 0)
    vain.remember(b"k", 0)
    assert vain.holds(b"k", 59)
    assert not vain.holds(b"other", 59)
    assert not vain.holds(b"k", 60)
    assert not vain.holds(b"k", 0)


def test_a_key_that_could_be_shared_after_all_is_forgotten() -> None:
    vain = Vain()
    vain.remember(b"k", 0)
    vain.forget(b"k")
    vain.forget(b"k")
    assert not vain.holds(b"k", 0)


def test_only_so_many_are_remembered_the_latest() -> None:
    vain = Vain(remembered=2)
    for key in (b"a", b"b", b"a", b"c"):
        vain.remember(key, 0)
    assert [vain.holds(key, 1) for key in (b"a", b"b", b"c")] == [True, False, True]
    assert repr(vain) == "<Vain 2>"
