"""Answers to what was asked in place of a request: other variants' tags, a part's missing bytes.

RFC 9111 §3.4, §4.3.4.
"""

import pytest

from edgeproxy.caching.decide import Again, Complete, Freshen, Reason, Store, on_response
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, at, cc, get, stored

R = Reason
LATER = T0 + 100
DATED: RawField = (b"Date", at(100))


@pytest.mark.parametrize(
    ("tag", "tags"),
    [
        pytest.param('"v2"', ['"v1"', '"v2"'], id="s4.3.4-strong"),
        pytest.param('W/"v2"', ['"v1"', '"v2"'], id="s4.3.4-weakened-on-the-way"),
        pytest.param('"v1"', ['"v1"', '"v1"'], id="s4.3.4-the-first-of-two"),
        pytest.param('"v3"', ['"v1"', '"v2"'], id="s4.3.4-none-of-them"),
        pytest.param(None, ['"v1"', '"v2"'], id="s4.3.4-no-validator-of-several"),
    ],
)
def test_a_304_to_the_tags_of_other_variants(tag: str | None, tags: list[str]) -> None:
    others = [stored(cc("max-age=60", f"ETag: {own}", f"A: {own}")) for own in tags]
    head = answer(*([] if tag is None else ["ETag: " + tag]), DATED, status=304)
    outcome = on_response(get(), head, None, PLAIN, LATER, others=others)
    opaque = None if tag is None else tag.removeprefix("W/")
    if opaque in tags:
        assert isinstance(outcome, Freshen)
        assert outcome.stored.fields.get(b"a") == opaque.encode()
    else:
        assert outcome == Again(R.NONE_OF_THESE)


@pytest.mark.parametrize(
    ("had", "content_range", "before", "after"),
    [
        pytest.param((0, 5), "5-9/10", (b"01234",), (), id="s3.4-the-rest"),
        pytest.param((5, 10), "0-4/10", (), (b"56789",), id="s3.4-the-start"),
    ],
)
def test_a_part_is_completed(
    had: tuple[int, int], content_range: str, before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    body, held = b"0123456789"[had[0] : had[1]], f"Content-Range: bytes {had[0]}-{had[1] - 1}/10"
    part = stored(cc("max-age=60", ETAG, held, status=206), body=body)
    told = (f"Content-Range: bytes {content_range}", "Content-Length: 5")
    head = cc("max-age=60", ETAG, DATED, *told, status=206)
    outcome = on_response(get(), head, None, PLAIN, LATER, completes=part)
    assert isinstance(outcome, Complete)
    assert (outcome.before, outcome.after) == (before, after)
    assert (outcome.head.status, outcome.head.fields.get(b"content-length")) == (200, b"10")


@pytest.mark.parametrize(
    ("head", "stored_instead"),
    [
        pytest.param(
            cc("max-age=60", ETAG, "Content-Range: bytes 6-9/10", status=206), False, id="s3.4-a-gap"
        ),
        pytest.param(
            cc("max-age=60", 'ETag: "v2"', "Content-Range: bytes 5-9/10", status=206),
            False,
            id="s3.4-of-another",
        ),
        pytest.param(
            cc("no-store", ETAG, "Content-Range: bytes 5-9/10", status=206), False, id="s5.2.2.5-no-store-now"
        ),
        pytest.param(
            answer("Content-Range: bytes */5", status=416), False, id="rfc9110-s15.5.17-shorter-now"
        ),
        pytest.param(cc("max-age=60", 'ETag: "v2"'), True, id="s3.4-a-whole-instead"),
    ],
)
def test_an_answer_that_does_not_complete_a_part(head: ResponseHead, stored_instead: bool) -> None:
    part = stored(cc("max-age=60", ETAG, "Content-Range: bytes 0-4/10", status=206), body=b"01234")
    outcome = on_response(get(), head, None, PLAIN, LATER, completes=part)
    if stored_instead:
        assert isinstance(outcome, Store)
    else:
        assert outcome == Again(R.NO_MATCHING_PART)
