"""What a URL of a Redis says, and that its passwords are not shown."""

import pytest

from edgeproxy.config.redis_url import RedisForm, mask_url, parse_redis_url
from tests.unit.config.yaml_texts import lines, loaded, refused


def test_sentinels_their_master_and_their_own_login() -> None:
    address = parse_redis_url(
        "rediss+sentinel://me:p%40ss@a,[::1]:1/shop/3?sentinel_password=other&ssl_ca_certs=/ca.pem"
    )
    assert (address.form, address.tls, address.master, address.db) == (RedisForm.SENTINEL, True, "shop", 3)
    assert address.hosts == (("a", 26379), ("::1", 1))
    assert address.sentinel_login() == {"password": "other"}
    assert address.node_url("::1", 1) == "rediss://me:p%40ss@[::1]:1/3?ssl_ca_certs=%2Fca.pem"
    assert "p%40ss" not in repr(address)
    assert "other" not in repr(address)


def test_nodes_of_a_cluster() -> None:
    address = parse_redis_url("redis+cluster://a:7000,b")
    assert (address.form, address.tls, address.hosts) == (
        RedisForm.CLUSTER,
        False,
        (("a", 7000), ("b", 6379)),
    )
    assert address.node_url("c", 1) == "redis://c:1/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+cluster://u:hush@a,b", "redis+cluster://u:***@a,b"),
        ("redis://:hu/s@h@a/0", "redis://:***@a/0"),
        ("redis://a/0?password=hush", "redis://a/0?password=***"),
        (
            "redis+sentinel://a/m?sentinel_password=hush&db=1",
            "redis+sentinel://a/m?sentinel_password=***&db=1",
        ),
        ("redis://a/0", "redis://a/0"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@pytest.mark.parametrize(("text", "size"), [("off", 0), ("'off'", 0), ("0", 0), ("1KiB", 1024)])
def test_compression_may_be_off(text: str, size: int) -> None:
    redis = loaded(f"cache: {{redis: {{url: 'redis://h', compress_above: {text}}}}}").cache.redis
    assert redis is not None
    assert redis.compress_above == size


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("url: 'redis://a,b'", 'url: "redis://a,b" names several hosts, write redis+sentinel:// or'),
        ("url: 'redis+foo://a'", 'url: "redis+foo://a" is no URL of a Redis, begin it with redis, rediss,'),
        ("url: 'redis+sentinel://a'", 'url: "redis+sentinel://a" does not name the master that'),
        ("url: 'redis+sentinel://a/m/x'", 'url: "redis+sentinel://a/m/x" has no database number'),
        ("url: 'redis+cluster://a/1'", 'url: "redis+cluster://a/1" names a database, a cluster has only 0'),
        ("url: 'redis+cluster://a?db=1'", 'url: "redis+cluster://a?db=1" names a database'),
        ("url: 'redis+cluster://a,'", 'url: "redis+cluster://a," has no host'),
        ("url: 'redis://a:99999'", 'url: "redis://a:99999" has no port that there is, write one from 1'),
        ("url: 'redis://a#b'", 'url: "redis://a#b" is no URL'),
        ("url: 'rediss://a?ssl_ca_cert=x'", 'url: "rediss://a?ssl_ca_cert=x" has the option "ssl_ca_cert"'),
        ("url: 'redis://a?zz=x'", 'url: "redis://a?zz=x" has the option "zz", which is not known here'),
        ("url: 'unix:///s?zz=x'", 'url: "unix:///s?zz=x" has the option "zz"'),
        ("url: 'redis://:1/hush@a'", 'url: "redis://:***@a" is no URL, write %2F for a / in a password'),
        ("url: 'redis://:1?hush@a'", 'url: "redis://:***@a" is no URL, write %2F for a / in a password'),
        ("url: 'redis://a?password=hush&x=1'", 'url: "redis://a?password=***&x=1" has the option "x"'),
        ("url: 'redis+cluster://a', key_prefix: '{e}'", "key_prefix: has braces, by which a cluster"),
        ("url: 'redis://h', compress_above: on", "compress_above: "),
        ("url: 'redis://h', max_object_size: 1GiB", "max_object_size: 1GiB is too large"),
    ],
)
def test_mistakes_say_what_to_write_instead(settings: str, message: str) -> None:
    found = lines(refused(f"cache: {{redis: {{{settings}}}}}"))
    assert any(f": cache.redis.{message}" in line for line in found), found
    assert "hush" not in "".join(found)
