"""Cache-Status (RFC 9211 §2)."""

from typing import Any, cast

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.caching.cache_status import member
from edgeproxy.caching.reasons import Fwd


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({"hit": True}, b"edgeproxy; hit", id="s2.1-hit"),
        pytest.param({"hit": True, "ttl": 30}, b"edgeproxy; hit; ttl=30", id="s2.4-ttl"),
        pytest.param({"hit": True, "ttl": -5}, b"edgeproxy; hit; ttl=-5", id="s2.4-stale"),
        pytest.param({"fwd": Fwd.URI_MISS}, b"edgeproxy; fwd=uri-miss", id="s2.2-fwd"),
        pytest.param(
            {"fwd": Fwd.STALE, "fwd_status": 304, "collapsed": True, "stored": True},
            b"edgeproxy; fwd=stale; fwd-status=304; stored; collapsed",
            id="s2.3-s2.5-s2.6",
        ),
        pytest.param(
            {"hit": True, "key": b'http://a/"\\', "detail": b"fresh"},
            b'edgeproxy; hit; key="http://a/\\"\\\\"; detail=fresh',
            id="s2.7-s2.8",
        ),
        pytest.param(
            {"hit": True, "detail": b"two words"}, b'edgeproxy; hit; detail="two words"', id="s2.8-string"
        ),
    ],
)
def test_member(said: dict[str, Any], expected: bytes) -> None:
    assert member(b"edgeproxy", **said) == expected


def test_a_name_that_is_no_token_is_a_string() -> None:
    assert member(b"my cache", hit=True) == b'"my cache"; hit'


@pytest.mark.parametrize("said", [{}, {"hit": True, "fwd": Fwd.MISS}])
def test_s2_2_hit_and_fwd_exclude_each_other(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of hit and fwd"):
        member(b"edgeproxy", **said)


@given(st.binary(min_size=1), st.sampled_from(Fwd), st.binary(), st.binary(min_size=1), st.integers(-9, 9))
def test_whatever_is_said_is_a_structured_field(
    name: bytes, fwd: Fwd, key: bytes, detail: bytes, ttl: int
) -> None:
    value = member(name, fwd=fwd, key=key, detail=detail, ttl=ttl, stored=True)
    ((_, parameters),) = cast(list[tuple[object, dict[str, object]]], http_sf.parse(value, tltype="list"))
    assert str(parameters["fwd"]) == fwd
    assert parameters["ttl"] == ttl
    assert list(parameters) == ["fwd", "ttl", "stored", "key", "detail"]
