"""A client's preconditions (RFC 9110 §13, RFC 9111 §4.3.2)."""

import pytest

from edgeproxy.caching.preconditions import Precondition, evaluate, not_modified_fields, still_matches
from edgeproxy.wire.dates import parse_date
from edgeproxy.wire.fields import RawField

from .values import ETAG, T0, answer, at, cc, get, lines, stored

OK, NOT_MODIFIED, FAILED = Precondition.PROCEED, Precondition.NOT_MODIFIED, Precondition.FAILED
LM: RawField = (b"Last-Modified", at(-1000))
WEAK: RawField = (b"ETag", b'W/"v1"')


def since(offset: float, name: bytes = b"If-Modified-Since") -> RawField:
    return name, at(offset)


@pytest.mark.parametrize(
    ("asked", "own", "expected"),
    [
        pytest.param([], [ETAG, LM], OK, id="no-precondition"),
        # If-None-Match
        pytest.param(['If-None-Match: "v1"'], [ETAG], NOT_MODIFIED, id="s13.1.2-match"),
        pytest.param(['If-None-Match: "v2"'], [ETAG], OK, id="s13.1.2-no-match"),
        pytest.param(['If-None-Match: "v1", "b", "c"'], [ETAG], NOT_MODIFIED, id="s13.1.2-first"),
        pytest.param(['If-None-Match: "a", "v1", "c"'], [ETAG], NOT_MODIFIED, id="s13.1.2-middle"),
        pytest.param(['If-None-Match: "a", "b","v1"'], [ETAG], NOT_MODIFIED, id="s13.1.2-last"),
        pytest.param(['If-None-Match: "a"', 'If-None-Match: "v1"'], [ETAG], NOT_MODIFIED, id="two-lines"),
        pytest.param(['If-None-Match: W/"v1"'], [ETAG], NOT_MODIFIED, id="s8.8.3.2-weak-comparison"),
        pytest.param(['If-None-Match: "v1"'], [WEAK], NOT_MODIFIED, id="s8.8.3.2-weak-stored"),
        pytest.param(['If-None-Match: w/"v1"'], [ETAG], OK, id="s8.8.3-the-flag-is-case-sensitive"),
        pytest.param(['If-None-Match: "a, \\"v1\\""'], [ETAG], OK, id="s8.8.3-comma-inside-a-tag"),
        pytest.param(["If-None-Match: v1"], [ETAG], OK, id="unquoted-is-another-tag"),
        pytest.param(["If-None-Match: v1"], ["ETag: v1"], NOT_MODIFIED, id="unquoted-on-both-sides"),
        pytest.param(['If-None-Match: "\xfc"'], ['ETag: "\xfc"'], NOT_MODIFIED, id="s8.8.3-obs-text"),
        pytest.param(["If-None-Match: *"], [ETAG], NOT_MODIFIED, id="s13.1.2-star"),
        pytest.param(["If-None-Match: *"], [], NOT_MODIFIED, id="s13.1.2-star-without-etag"),
        pytest.param(['If-None-Match: "v1"'], [], OK, id="s13.1.2-no-etag"),
        pytest.param(['If-None-Match: "v1"', since(-5000)], [ETAG, LM], NOT_MODIFIED, id="s13.2.2-over-date"),
        pytest.param(['If-None-Match: "v2"', since(0)], [ETAG, LM], OK, id="s13.2.2-over-date-no-match"),
        # If-Modified-Since
        pytest.param([since(-1000)], [LM], NOT_MODIFIED, id="s13.1.3-same"),
        pytest.param([since(-999)], [LM], NOT_MODIFIED, id="s13.1.3-a-second-later"),
        pytest.param([since(-1001)], [LM], OK, id="s13.1.3-a-second-earlier"),
        pytest.param(["If-Modified-Since: foo"], [LM], OK, id="s13.1.3-invalid"),
        pytest.param([since(0), since(0)], [LM], OK, id="s13.1.3-two"),
        pytest.param([since(0)], [], NOT_MODIFIED, id="rfc9111-s4.3.2-date-without-last-modified"),
        pytest.param([since(-3000)], [], OK, id="rfc9111-s4.3.2-newer-by-its-date"),
        pytest.param([since(0)], ["Date: foo"], NOT_MODIFIED, id="rfc9111-s4.3.2-arrival-without-date"),
        # If-Match
        pytest.param(['If-Match: "v1"'], [ETAG], OK, id="s13.1.1-match"),
        pytest.param(['If-Match: "a", "v1"'], [ETAG], OK, id="s13.1.1-one-of"),
        pytest.param(['If-Match: "v2"'], [ETAG], FAILED, id="s13.1.1-no-match"),
        pytest.param(['If-Match: W/"v1"'], [WEAK], FAILED, id="s8.8.3.2-strong-comparison"),
        pytest.param(['If-Match: "v1"'], [], FAILED, id="s13.1.1-no-etag"),
        pytest.param(["If-Match: *"], [], OK, id="s13.1.1-star"),
        pytest.param(
            ['If-Match: "v1"', since(-5000, b"If-Unmodified-Since")],
            [ETAG, LM],
            OK,
            id="s13.2.2-over-unmodified",
        ),
        pytest.param(
            ['If-Match: "v1"', 'If-None-Match: "v1"'], [ETAG], NOT_MODIFIED, id="s13.2.2-then-none-match"
        ),
        # If-Unmodified-Since
        pytest.param([since(-1000, b"If-Unmodified-Since")], [LM], OK, id="s13.1.4-same"),
        pytest.param([since(-1001, b"If-Unmodified-Since")], [LM], FAILED, id="s13.1.4-modified-since"),
        pytest.param(["If-Unmodified-Since: foo"], [LM], OK, id="s13.1.4-invalid"),
    ],
)
def test_evaluate(asked: list[RawField | str], own: list[RawField | str], expected: Precondition) -> None:
    response = stored(answer(*own))
    assert evaluate(get(*asked), response) is expected
    assert still_matches(get(*asked), response) is (expected is not FAILED)


@pytest.mark.parametrize("status", [301, 404, 500])
def test_s13_2_1_only_a_2xx_is_subject_to_preconditions(status: int) -> None:
    response = stored(answer(ETAG, status=status))
    assert evaluate(get('If-None-Match: "v1"'), response) is OK
    assert evaluate(get('If-Match: "v2"'), response) is OK


@pytest.mark.parametrize(
    ("method", "asked", "expected"),
    [
        pytest.param(b"HEAD", 'If-None-Match: "v1"', NOT_MODIFIED, id="s13.1.2-head"),
        pytest.param(b"PUT", 'If-None-Match: "v1"', FAILED, id="s13.1.2-put"),
        pytest.param(b"PUT", since(0), OK, id="s13.1.3-put"),
    ],
)
def test_methods(method: bytes, asked: RawField | str, expected: Precondition) -> None:
    assert evaluate(get(asked, method=method), stored(answer(ETAG, LM))) is expected


def test_two_digit_years_are_placed_by_now() -> None:
    now = parse_date(b"Thu, 01 Jan 2060 00:00:00 GMT")
    asked = get("If-Modified-Since: Saturday, 01-Jan-55 00:00:00 GMT")
    assert evaluate(asked, stored(answer(LM)), now) is NOT_MODIFIED
    assert evaluate(asked, stored(answer(LM)), T0) is NOT_MODIFIED
    assert evaluate(get("If-Modified-Since: Monday, 01-Jan-90 00:00:00 GMT"), stored(answer(LM)), T0) is OK


def test_s15_4_5_fields_of_a_304() -> None:
    head = cc(
        "max-age=60", ETAG, LM, "Content-Type: a/b", "Content-Length: 3", "Content-Location: /x", "Vary: Foo"
    )
    kept = not_modified_fields(head.fields)
    assert kept == lines(
        "Cache-Control: max-age=60", ETAG, LM, "Content-Location: /x", "Vary: Foo", (b"Date", at(0))
    )
