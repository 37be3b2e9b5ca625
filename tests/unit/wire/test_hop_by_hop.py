import pytest

from edgeproxy.wire.fields import Fields, RawField
from edgeproxy.wire.hop_by_hop import HOP_BY_HOP, strip_hop_by_hop


def strip(*lines: RawField, keep_te_trailers: bool = False) -> tuple[RawField, ...]:
    return strip_hop_by_hop(Fields(lines), keep_te_trailers).raw


KEPT = (b"X-Kept", b"1")


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_s7_6_1_a_field_of_the_connection_is_removed(name: bytes) -> None:
    assert strip(KEPT, (name, b"x"), (name.title(), b"y")) == (KEPT,)


def test_fields_of_the_message_are_left_as_they_are() -> None:
    fields = Fields([(b"Host", b"a"), (b"trailer", b"X-Sum"), KEPT])
    assert strip_hop_by_hop(fields) is fields


def test_s7_6_1_what_connection_nominates_is_removed() -> None:
    assert strip((b"X-A", b"1"), (b"connection", b"close, x-A ,x-b"), (b"x-B", b"2"), KEPT) == (KEPT,)


def test_what_connection_nominates_in_vain_is_no_matter() -> None:
    assert strip((b"Connection", b"x-none"), KEPT) == (KEPT,)


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Content-Length",
        b"Cache-Control",
        b"Authorization",
        b"Cookie",
        b"Date",
        b"Age",
        b"Vary",
        b"Set-Cookie",
        b"X-Forwarded-For",
    ],
)
def test_what_is_essential_cannot_be_nominated(name: bytes) -> None:
    assert strip((b"Connection", b"close, " + name.lower()), (name, b"x")) == ((name, b"x"),)


TE = {
    "asked-for": ([b"trailers"], True, ((b"TE", b"trailers"),)),
    "among-others": ([b"gzip;q=0.5", b"deflate, Trailers"], True, ((b"TE", b"trailers"),)),
    "other-codings-only": ([b"gzip"], True, ()),
    "weighted": ([b"trailers;q=0.5"], True, ()),
    "not-kept": ([b"trailers"], False, ()),
    "none": ([], True, ()),
}


@pytest.mark.parametrize(("values", "keep", "expected"), TE.values(), ids=TE.keys())
def test_te_trailers_is_renewed_for_a_hop_that_passes_them_on(
    values: list[bytes], keep: bool, expected: tuple[RawField, ...]
) -> None:
    lines = [(b"Connection", b"TE"), *((b"te", value) for value in values)]
    assert strip(KEPT, *lines, keep_te_trailers=keep) == (KEPT, *expected)
