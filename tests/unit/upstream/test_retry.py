"""RFC 9110 §9.2.2, one row a clause."""

import pytest

from edgeproxy.errors import (
    BadResponse,
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    FirstByteTimeout,
    IncompleteResponse,
    NoHealthyOrigin,
    PoolExhausted,
    UpstreamError,
)
from edgeproxy.upstream.exchange import lost_at_once
from edgeproxy.upstream.retry import Again, may_retry
from tests.unit.upstream.helpers import GivenBody, get

LOST = ConnectionLost("lost")


def consumed() -> GivenBody:
    body = GivenBody([b"x"], 1)
    body.consumed = True
    return body


@pytest.mark.parametrize(
    ("method", "body", "error", "reused", "started", "again"),
    [
        pytest.param(b"GET", None, LOST, True, False, Again.FRESH, id="get-on-a-reused-connection"),
        pytest.param(b"GET", None, LOST, True, True, Again.ELSEWHERE, id="get-that-had-a-byte"),
        pytest.param(b"GET", None, LOST, False, False, Again.ELSEWHERE, id="get-on-a-new-connection"),
        pytest.param(b"PUT", GivenBody([], 5), LOST, True, False, Again.FRESH, id="put-untouched"),
        pytest.param(b"PUT", consumed(), LOST, True, False, Again.NO, id="put-partly-sent"),
        pytest.param(b"POST", None, LOST, True, False, Again.NO, id="post-without-body"),
        pytest.param(b"POST", GivenBody([], 0), LOST, True, False, Again.NO, id="post-of-length-0"),
        pytest.param(b"POST", GivenBody([], 5), LOST, True, False, Again.FRESH, id="post-withheld"),
        pytest.param(b"POST", GivenBody([]), LOST, True, False, Again.FRESH, id="post-chunked-withheld"),
        pytest.param(b"POST", GivenBody([], 5), LOST, False, False, Again.NO, id="post-on-a-new-connection"),
        pytest.param(
            b"POST", None, lost_at_once(), False, False, Again.ELSEWHERE, id="post-that-was-not-sent"
        ),
        pytest.param(b"POST", None, ConnectRefused("no"), False, False, Again.ELSEWHERE, id="post-refused"),
        pytest.param(b"POST", consumed(), ConnectTimeout("no"), False, False, Again.NO, id="body-is-gone"),
        pytest.param(b"GET", None, BadResponse("junk"), False, True, Again.ELSEWHERE, id="get-junk"),
        pytest.param(b"POST", None, BadResponse("junk"), False, True, Again.NO, id="post-junk"),
        pytest.param(b"GET", None, FirstByteTimeout("slow"), False, False, Again.ELSEWHERE, id="get-slow"),
        pytest.param(b"DELETE", None, FirstByteTimeout("slow"), False, False, Again.NO, id="delete-slow"),
        pytest.param(b"GET", None, PoolExhausted("full"), False, False, Again.NO, id="pool-exhausted"),
        pytest.param(b"GET", None, NoHealthyOrigin("none"), False, False, Again.ELSEWHERE, id="no-origin"),
        pytest.param(b"GET", None, IncompleteResponse("cut"), False, True, Again.NO, id="incomplete"),
    ],
)
def test_when_a_request_may_be_sent_again(
    method: bytes, body: GivenBody | None, error: UpstreamError, reused: bool, started: bool, again: Again
) -> None:
    assert may_retry(get(method=method, body=body), error, reused=reused, started=started) is again
