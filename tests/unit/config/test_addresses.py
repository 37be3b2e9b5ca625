"""Listening addresses: reading, writing, clashes, loopback."""

import pytest

from edgeproxy.config.addresses import AddressError, clash, is_loopback, join_address, split_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:80", "::1", 80),
        ("[0:0::1]:80", "::1", 80),
        ("Localhost:80", "localhost", 80),
        ("edge-1.internal:443", "edge-1.internal", 443),
    ],
)
def test_addresses_are_read_and_written(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)
    assert split_address(join_address(host, port)) == (host, port)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("8080", "only a port"),
        (":8080", "no host"),
        ("localhost", "no port"),
        ("::1", "no port"),
        ("[::1]", "no port"),
        ("::1:80", "no port"),
        ("localhost:", "'' is no port"),
        ("localhost:http", "'http' is no port"),
        ("localhost:65536", "'65536' is no port"),
        ("[::g]:80", "'[::g]' is no IPv6 address"),
        ("[::1:80", "'[::1' is no IPv6 address"),
        ("127.0.0.256:80", "'127.0.0.256' is no IPv4 address"),
        ("a b:80", "'a b' is no host"),
        ("http://x:80", "no port"),
    ],
)
def test_other_addresses_are_refused(text: str, what: str) -> None:
    with pytest.raises(AddressError) as caught:
        split_address(text)
    assert caught.value.what == what


@pytest.mark.parametrize(
    ("one", "other", "clashes"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.2:80", True),
        ("127.0.0.2:80", "0.0.0.0:80", True),
        ("localhost:80", "127.0.0.1:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[::]:80", "127.0.0.1:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_clashes_are_seen(one: str, other: str, clashes: bool) -> None:
    assert clash(one, other) is clashes


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("a.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("edge", False),
    ],
)
def test_loopback_hosts_are_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
