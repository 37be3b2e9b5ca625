"""URI references of response fields (RFC 3986 §5)."""

import pytest

from edgeproxy.caching.uris import resolve, same_origin
from edgeproxy.wire.target import parse_uri

BASE = parse_uri(b"http://shop.example/a/b?q=1")


@pytest.mark.parametrize(
    ("reference", "uri"),
    [
        pytest.param(b"", b"http://shop.example/a/b?q=1", id="s5.2.2-same-document"),
        pytest.param(b"#x", b"http://shop.example/a/b?q=1", id="s5.2.2-fragment-only"),
        pytest.param(b"c", b"http://shop.example/a/c", id="s5.2.2-relative-path"),
        pytest.param(b"../c#x", b"http://shop.example/c", id="s5.2.4-dot-segments"),
        pytest.param(b"/c?d", b"http://shop.example/c?d", id="s5.2.2-absolute-path"),
        pytest.param(b"?z", b"http://shop.example/a/b?z", id="s5.2.2-query"),
        pytest.param(b"//other.example/c", b"http://other.example/c", id="s5.2.2-network-path"),
        pytest.param(b"https://Other.example:443/%7ec", b"https://other.example/~c", id="s6.2-normalised"),
        pytest.param(b"mailto:a@b", None, id="no-http"),
        pytest.param(b"http://a b/", None, id="malformed"),
        pytest.param(b"/%00", None, id="nul"),
    ],
)
def test_resolve(reference: bytes, uri: bytes | None) -> None:
    target = resolve(reference, BASE)
    assert (None if target is None else target.uri) == uri


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        (b"http://shop.example/other", True),
        (b"http://SHOP.example:80/", True),
        (b"https://shop.example/", False),
        (b"http://shop.example:8080/", False),
        (b"http://other.example/", False),
    ],
)
def test_same_origin(uri: bytes, same: bool) -> None:
    assert same_origin(BASE, parse_uri(uri)) is same
