import pytest

from edgeproxy.errors import BadRequest
from edgeproxy.wire.authority import normalise_authority

ACCEPTED = {
    "name": (b"shop.example", b"http", b"shop.example"),
    "case": (b"Shop.EXAMPLE", b"http", b"shop.example"),
    "trailing-dot": (b"shop.example.", b"http", b"shop.example"),
    "trailing-dot-and-port": (b"shop.example.:8080", b"http", b"shop.example:8080"),
    "default-port": (b"shop.example:80", b"http", b"shop.example"),
    "default-port-of-https": (b"shop.example:443", b"https", b"shop.example"),
    "other-schemes-default-port": (b"shop.example:443", b"http", b"shop.example:443"),
    "empty-port": (b"shop.example:", b"http", b"shop.example"),
    "leading-zero-in-port": (b"shop.example:08080", b"http", b"shop.example:8080"),
    "leading-zero-in-default-port": (b"shop.example:00080", b"http", b"shop.example"),
    "highest-port": (b"a:65535", b"http", b"a:65535"),
    "underscore": (b"my_service:3000", b"http", b"my_service:3000"),
    "punycode": (b"xn--bcher-kva.example", b"http", b"xn--bcher-kva.example"),
    "digits-first": (b"7.example", b"http", b"7.example"),
    "ipv4": (b"127.0.0.1:8080", b"http", b"127.0.0.1:8080"),
    "ipv6": (b"[::1]:8080", b"http", b"[::1]:8080"),
    "ipv6-shortened": (b"[2001:DB8:0:0:0:0:0:1]", b"http", b"[2001:db8::1]"),
    "ipv6-default-port": (b"[::1]:443", b"https", b"[::1]"),
    "longest-label": (b"a" * 63 + b".example", b"http", b"a" * 63 + b".example"),
}

REFUSED = {
    "empty": b"",
    "port-alone": b":80",
    "dot": b".",
    "leading-dot": b".example",
    "two-dots": b"a..b",
    "two-trailing-dots": b"a..",
    "port-zero": b"a:0",
    "port-too-high": b"a:65536",
    "port-too-long": b"a:000080",
    "port-not-a-number": b"a:http",
    "port-negative": b"a:-1",
    "two-ports": b"a:1:2",
    "userinfo": b"user@a",
    "slash": b"a/b",
    "question-mark": b"a?b",
    "hash": b"a#b",
    "backslash": b"a\\b",
    "blank": b"a b",
    "comma": b"a,b",
    "two-hosts": b"a, b",
    "escape": b"a%2eb",
    "null": b"a\0b",
    "trailing-newline": b"a\n",
    "non-ascii": "bücher".encode(),
    "quotes": b'"a"',
    "sub-delims": b"a!b",
    "ipv4-of-three": b"127.0.1",
    "ipv4-of-one": b"2130706433",
    "ipv4-too-big": b"256.0.0.1",
    "ipv4-leading-zero": b"127.0.0.01",
    "ipv4-hex": b"0x7f000001",
    "ipv4-hex-last": b"127.0.0.0x1",
    "ipv6-without-brackets": b"::1",
    "ipv6-unclosed": b"[::1",
    "ipv6-malformed": b"[:::1]",
    "ipv6-too-long": b"[1:2:3:4:5:6:7:8:9]",
    "ipv6-zone": b"[fe80::1%25eth0]",
    "ipv6-empty": b"[]",
    "ipv6-trailing": b"[::1]x",
    "ipv-future": b"[v1.a]",
    "label-too-long": b"a" * 64 + b".example",
    "name-too-long": b".".join([b"a" * 50] * 6),
}


@pytest.mark.parametrize(("authority", "scheme", "expected"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_authority_has_one_spelling(authority: bytes, scheme: bytes, expected: bytes) -> None:
    assert normalise_authority(authority, scheme) == expected
    assert normalise_authority(expected, scheme) == expected


@pytest.mark.parametrize("authority", REFUSED.values(), ids=REFUSED.keys())
def test_a_malformed_authority_is_refused(authority: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        normalise_authority(authority, b"http")
    assert caught.value.status == 400
