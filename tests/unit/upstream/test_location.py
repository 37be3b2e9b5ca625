import pytest

from edgeproxy.upstream.location import Location, parse_location


@pytest.mark.parametrize(
    ("url", "location", "key", "authority"),
    [
        ("http://a.test", Location("http", "a.test", 80, None, b""), "a.test:80", b"a.test"),
        ("http://a.test:9001/", Location("http", "a.test", 9001, None, b""), "a.test:9001", b"a.test:9001"),
        ("https://A.test/api/", Location("https", "a.test", 443, None, b"/api"), "a.test:443", b"a.test"),
        ("http://[::1]:81", Location("http", "::1", 81, None, b""), "[::1]:81", b"[::1]:81"),
        ("http://[::1]", Location("http", "::1", 80, None, b""), "[::1]:80", b"[::1]"),
        ("unix:/run/a.sock", Location("http", "", 0, "/run/a.sock", b""), "unix:/run/a.sock", b"localhost"),
        ("unix:///run/a.sock", Location("http", "", 0, "/run/a.sock", b""), "unix:/run/a.sock", b"localhost"),
        ("http://bücher.test", Location("http", "xn--bcher-kva.test", 80, None, b""), "xn--bcher-kva.test:80",
         b"xn--bcher-kva.test"),
    ],
)  # fmt: skip
def test_urls_of_origins(url: str, location: Location, key: str, authority: bytes) -> None:
    assert parse_location(url) == location
    assert (location.key, location.authority) == (key, authority)
    assert location.tls == url.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        "a.test:80",
        "ftp://a.test",
        "http://",
        "http://u:p@a.test",
        "http://a.test/?q",
        "http://a.test/#f",
        "http://a.test:99999",
        "http://a.test/ü",
        "unix:relative.sock",
    ],
)
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"origin|unix|Port|encode"):
        parse_location(url)
