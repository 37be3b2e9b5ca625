"""Content codings (RFC 9110 §8.4.1): what is coded decodes to what it was."""

from itertools import count

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.wire.content_coding import PIECE, encoded
from tests.codings import CODINGS, decoded

WORDS = st.binary(max_size=40) | st.sampled_from([b"<p>shirt</p>" * 300, bytes(range(256)) * 9, b"\0" * 5000])


@given(st.sampled_from(CODINGS), st.lists(WORDS, max_size=12))
def test_every_coding_decodes_to_the_original(coding: str, body: list[bytes]) -> None:
    coded = encoded(coding.encode(), body)
    assert coded is not None
    assert all(coded)
    assert decoded(coding, b"".join(coded)) == b"".join(body)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_larger_than_a_piece_is_coded_in_one_stream(coding: str) -> None:
    body = [b"0123456789abcdef" * 10_000] * 3
    assert len(body[0]) > PIECE
    assert decoded(coding, b"".join(encoded(coding.encode(), body) or ())) == b"".join(body)


@pytest.mark.parametrize("coding", CODINGS)
def test_the_same_body_is_coded_to_the_same_bytes(coding: str) -> None:
    body = [b"<p>shirt</p>" * 500]
    assert encoded(coding.encode(), body) == encoded(coding.encode(), body)


def test_the_window_of_zstd_is_one_that_every_client_supports() -> None:
    """RFC 9659 §3: no more than 8 MiB."""
    coded = b"".join(encoded(b"zstd", [bytes(1 << 20)] * 20) or ())
    assert zstandard.get_frame_parameters(coded).window_size <= 8 << 20


@pytest.mark.parametrize("coding", CODINGS)
def test_who_gives_up_is_heard_between_pieces(coding: str) -> None:
    asked = count(1)
    assert encoded(coding.encode(), [bytes(PIECE * 5)], lambda: next(asked) == 3) is None
    assert next(asked) == 4


def test_another_coding_is_refused() -> None:
    with pytest.raises(ValueError, match="deflate"):
        encoded(b"deflate", [b"x"])
