"""Bodies at a client's own pace."""

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.edge.reader import pour
from tests.unit.edge.doubles import Out, Owner, fill


def test_a_body_is_poured_as_far_as_the_client_takes_it() -> None:
    out = Out(room=3)
    pour([b"ab", b"cd", memoryview(b"ef")], cast("Any", out))
    assert (out.data, out.ended) == (b"abcd", False)
    out.take(2)
    assert (out.data, out.ended) == (b"abcdef", True)


def test_nothing_to_pour_ends_at_once() -> None:
    out = Out()
    pour((), cast("Any", out))
    assert (out.data, out.ended) == (b"", True)


@given(
    st.lists(st.binary(min_size=1, max_size=5), max_size=20),
    st.lists(st.integers(0, 12), max_size=20),
    st.booleans(),
)
def test_readers_of_one_fill_get_all_of_it_in_order(
    pieces: list[bytes], takes: list[int], store: bool
) -> None:
    async def run() -> None:
        owner = Owner(store=store)
        made, _ = fill(owner, asyncio.get_running_loop())
        outs = [Out(room=0), Out(room=4), Out()]
        for out in outs:
            made.join(cast("Any", out))
        for number, piece in enumerate(pieces):
            made.on_data(piece)
            for out in outs:
                out.take(takes[number % len(takes)] if takes else 0)
        made.on_end(None)
        for out in outs:
            if not out.ended:
                out.take(1000)
            assert (out.data, out.ended) == (b"".join(pieces), True)
        assert made.readers == []
        assert b"".join(owner.stored[0] if store else pieces) == b"".join(pieces)

    asyncio.run(run())
