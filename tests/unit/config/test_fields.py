"""Each field's mistakes, at their place, with what to write instead."""

from pathlib import Path

import pytest

from edgeproxy.config.load import load_mapping
from tests.unit.config.yaml_texts import lines, loaded, refused

UPSTREAM = "upstreams: {{shop: {{origins: ['http://a'], {}}}}}\nroutes: [{{name: all, upstream: shop}}]\n"
ORIGIN = "upstreams: {{shop: {{origins: [{}]}}}}\nroutes: [{{name: all, upstream: shop}}]\n"
ROUTE = "upstreams: {{shop: {{origins: ['http://a']}}}}\nroutes: [{{name: all, upstream: shop, {}}}]\n"


def said(mistakes: list[str]) -> list[str]:
    """Each line without its place."""
    return [line.split(": ", 1)[1] for line in mistakes]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2", "version: 2 is not known here, write 1"),
        ("server: 5", "server: 5 stands where keys belong, write some of listen, workers, cpu_affinity"),
        ("server: [a]", "server: a list stands where keys belong"),
        ("server: {listen: 8080}", 'server.listen[0].address: "8080": only a port, write 127.0.0.1:8080'),
        ("server: {listen: []}", "server.listen: is empty, write at least one"),
        ("server: {listen: [[a]]}", "server.listen[0]: a list stands where keys belong"),
        ("server: {listen: {adress: x}}", "server.listen[0].address: is missing"),
        ("server: {workers: 0}", "server.workers: 0 is no number of workers"),
        ("server: {cpu_affinity: []}", "server.cpu_affinity: no CPU is named, write auto, off or"),
        ("server: {cpu_affinity: [0, -1]}", "server.cpu_affinity: -1 is no CPU, write auto, off or the"),
        ("server: {cpu_affinity: [0, yes]}", "server.cpu_affinity: yes is no CPU, write auto, off or the"),
        ("server: {cpu_affinity: 4096}", "server.cpu_affinity: 4096 is no CPU, write auto, off or the"),
        ("server: {cpu_affinity: true}", "server.cpu_affinity: true is no CPU, write auto, off or the"),
        ("server: {workers: yes}", "server.workers: yes is no number of workers"),
        ("server: {name: a b}", 'server.name: "a b" is no name for Via'),
        ("server: {name: 1a}", 'server.name: "1a" is no name for Via'),
        ("server: {node: ''}", "server.node: is empty, write a value"),
        ("server: {node: a b}", 'server.node: "a b" has characters that do not belong there, write letters'),
        ("server: {node: " + "x" * 201 + "}", "server.node: longer than 200 characters, shorten it"),
        ("server: {drain_timeout: 8}", "server.drain_timeout: 8: no unit, write 8s for seconds"),
        ("server: {drain_timeout: true}", "server.drain_timeout: true is a boolean, write one value, as 10s"),
        ("server: {drain_timeout: [1s]}", "server.drain_timeout: a list is no quantity, write one value"),
        ("server: {drain_timeout: -1}", "server.drain_timeout: -1 is negative, write a positive value"),
        ("server: {drain_timeout: 22:22}", "server.drain_timeout: \"22:22\": not a duration"),
        ("server: {drain_timeout: }", "server.drain_timeout: has no value, write one, or remove the key"),
        ("server: {forwarded: yes}", "server.forwarded: yes is neither true nor false, write true or false"),
        ("server: {forwarded: 'true'}", 'server.forwarded: "true" is neither true nor false'),
        ("server: {trusted_proxies: 10.0.0.0/8}", 'server.trusted_proxies: "10.0.0.0/8" is no list, write'),
        ("server: {trusted_proxies: [10.0.0.1/8]}", "server.trusted_proxies[0]: \"10.0.0.1/8\" has bits"),
        ("server: {trusted_proxies: [office]}", 'server.trusted_proxies[0]: "office" is no network'),
        ("server: {limits: {max_fields: 1.5}}", "server.limits.max_fields: 1.5 is no whole number, write"),
        ("server: {limits: {max_fields: '50'}}", 'server.limits.max_fields: "50" is no whole number, write'),
        ("server: {limits: {max_fields: 0100}}", "server.limits.max_fields: 0100 is no whole number, write"),
        ("server: {limits: {max_fields: many}}", 'server.limits.max_fields: "many" is no whole number'),
        ("server: {limits: {max_fields: 3}}", "server.limits.max_fields: 3 is too small, write 8 or more"),
        ("server: {limits: {max_fields: 10001}}", "server.limits.max_fields: 10001 is too large, write"),
        ("server: {limits: {max_head_size: 32}}", "server.limits.max_head_size: 32: no unit, write 32B for"),
        ("server: {limits: {max_head_size: 2MiB}}", "server.limits.max_head_size: 2MiB is too large, write"),
        ("server: {limits: {header_timeout: 0}}", "server.limits.header_timeout: 0s is too small, write"),
        ("server: {limits: {max_body_size: off}}", "server.limits.max_body_size: \"off\": not a size"),
        ("server: {max_fields: 100}", "server.max_fields: unknown key, it belongs in server.limits"),
        ("server: {tls: {}}", "server.tls: unknown key, it belongs in server.listen[] or upstreams.NAME"),
        ("zebra: 1", "zebra: unknown key, the keys here are version, watch, server, admin, log,"),
        ("server: {zebra: 1}", "server.zebra: unknown key, the keys here are listen, workers"),
        ("enabled: true", "enabled: unknown key, it belongs in routes[].cache"),
        ("admin: {token: 12345}", "admin.token: 12345 is a number to YAML, put it in quotes: \"12345\""),
        ("admin: {token: true}", "admin.token: true is a boolean to YAML, put it in quotes: \"true\""),
        ("admin: {token: 2024-01-01}", "admin.token: 2024-01-01 is a date to YAML, put it in quotes"),
        ("admin: {token: [a]}", "admin.token: a list stands where a text belongs, write one value"),
        ("admin: {token: 'hush hush'}", "admin.token: the value has characters that do not belong there,"),
        ("admin: {listen: 'x'}", 'admin.listen: "x": no port, write HOST:PORT'),
        ("log: {level: loud}", 'log.level: "loud" is not known here, write debug or info or warning or'),
        ("log: {level: warn}", 'log.level: "warn" is not known here, did you mean warning?'),
        ("log: {access: ''}", "log.access: no path, write the path of a file"),
        ("log: {access: on}", "log.access: on is a boolean to YAML, put it in quotes: \"on\""),
        ("cache: {memory: {max_size: 1}}", "cache.memory.max_size: 1: no unit, write 1B for bytes"),
        ("cache: {memory: {max_size: 64KB}}", "cache.memory.max_size: \"64KB\": 'KB' is no unit of size,"),
        ("cache: {disk: {}}", "cache.disk.path: is missing, add it (directory; relative to this file)"),
        ("cache: {disk: {path: \"a\\0b\"}}", "cache.disk.path: no path, write the path of a file"),
        ("cache: {redis: {url: http://x}}", 'cache.redis.url: "http://x" is no URL of a Redis, write'),
        ("cache: {redis: {url: 'redis://:hush@/0'}}", 'cache.redis.url: "redis://:***@/0" has no host'),
        ("cache: {redis: {url: 'redis://h:x/0'}}", 'cache.redis.url: "redis://h:x/0" is no URL'),
        ("cache: {redis: {url: 'redis://h/one'}}", 'cache.redis.url: "redis://h/one" has no database number'),
        ("cache: {redis: {url: 'unix:x'}}", 'cache.redis.url: "unix:x" has no path'),
        ("cache: {redis: {url: 5}}", "cache.redis.url: 5 is a number to YAML"),
        ("cache: {redis: {url: 'redis://h', timeout: 1m}}", "cache.redis.timeout: 1m is too large, write"),
    ],
)  # fmt: skip
def test_node_keys(text: str, message: str) -> None:
    found = said(lines(refused(text)))
    assert any(line.startswith(message) for line in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("balance: random", 'balance: "random" is not known here, did you mean random_two?'),
        ("host_header: a b", 'host_header: "a b" is no host, write preserve, origin, or a name'),
        ("health_check: {path: healthz}", 'health_check.path: "healthz" is no path, begin it with /'),
        ("health_check: {interval: 1ms}", "health_check.interval: 1ms is too small, write 50ms or more"),
        ("health_check: {status: 99}", "health_check.status[0]: 99 is no status code, write one, or a range"),
        ("health_check: {status: [200-100]}", 'health_check.status[0]: "200-100" is no status code'),
        ("health_check: {status: []}", "health_check.status: is empty, write at least one"),
        ("health_check: {status: yes}", 'health_check.status[0]: "yes" is no status code'),
        ("health_check: {jitter: 200%}", 'health_check.jitter: "200%": more than 100%'),
        ("ejection: {error_rate: 0.5}", "ejection.error_rate: 0.5: no percent sign, write 50%"),
        ("ejection: {error_rate: 0%}", 'ejection.error_rate: "0%" is too small'),
        ("ejection: {slower_than: 1}", "ejection.slower_than: 1.0 is too small, write more than 1"),
        ("ejection: {slower_than: fast}", 'ejection.slower_than: "fast"'),
        ("ejection: {max_ejected: 3}", "ejection.max_ejected: 3: no percent sign, write 3%"),
        ("hash: {header: 'a b'}", 'hash.header: "a b" is no field name'),
        ("hash: url", 'hash: "url" stands where keys belong, write some of header, cookie, headroom'),
        ("hash: {headroom: 1.25}", "hash.headroom: 1.25: no percent sign"),
        ("slow_start: 30", "slow_start: 30: no unit, write 30s"),
        ("panic_below: 50", "panic_below: 50: no percent sign, write 50%"),
        ("timeouts: {connect: 1}", "timeouts.connect: 1: no unit, write 1s"),
        ("timeouts: 5s", 'timeouts: "5s" stands where keys belong, write some of connect, first_byte'),
        ("retries: {budget: 0.2}", "retries.budget: 0.2: no percent sign, write 20%"),
        ("ejection: {for_: 1s}", "ejection.for_: unknown key, did you mean for?"),
        ("retries: {status: [200]}", 'retries.status[0]: "200" is no failure, write statuses from 400 on'),
        ("retries: {status: 5xx}", 'retries.status[0]: "5xx" is no status code, write one, or a range'),
        (
            "retries: {per_try_timeout: 3s, total_timeout: 2s}",
            "retries.per_try_timeout: is longer than total",
        ),
        ("hedge: {after: p5}", 'hedge.after: "p5" is no time to wait, write a percentile, as p95, or a time'),
        ("hedge: {after: 0s}", 'hedge.after: "0s" is no time to wait'),
        ("hedge: {after: p100}", 'hedge.after: "p100" is no time to wait'),
        ("hedge: {after: 50}", "hedge.after: 50 is no time to wait"),
        ("{hedge: {}, retries: {budget: 0%}}"[1:-1], "hedge: takes from retries.budget, which is 0%"),
        ("ejection: {for: 10s, max_for: 5s}", "ejection.max_for: is shorter than for, write more"),
        ("concurrency: {max: 500}", "concurrency.max: is more than max_connections, 256, write at most 256"),
        ("concurrency: {min: 9, max: 5}", "concurrency.min: min is 9, and max 5, write a min"),
        ("concurrency: {max: 3}", "concurrency.max: min is 4, and max 3, write a min"),
        ("concurrency: {tolerance: 1}", "concurrency.tolerance: "),
        ("lenient: [obs-fold]", 'lenient[0]: "obs-fold" is not known here, did you mean obs_fold?'),
        ("resolver: dns", 'resolver: "dns" is no DNS server, write its address, as 10.0.0.53'),
        ("resolver: '1.1.1.1:0'", 'resolver: "1.1.1.1:0" is no DNS server'),
        ("tls: {verify: no}", "tls.verify: no is neither true nor false"),
        ("timeout: 1s", "timeout: unknown key, did you mean timeouts?"),
    ],
)
def test_upstream_keys(text: str, message: str) -> None:
    found = said(lines(refused("", rest=UPSTREAM.format(text))))
    assert any(line.startswith(f"upstreams.shop.{message}") for line in found), found


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("a", 'url: "a" is no URL of an origin, write http://HOST:PORT'),
        ("'http:a'", 'url: "http:a" is no URL of an origin'),
        ("'http://'", 'url: "http://" has no valid host and port'),
        ("'http://a b'", 'url: "http://a b" has no valid host and port'),
        ("'http://a:0'", 'url: "http://a:0" has no valid host and port'),
        ("'http://a:x'", 'url: "http://a:x" is no URL'),
        ("'http://u:hush@a'", "url: credentials in an origin's URL, set Authorization"),
        ("'http://a?b'", 'url: "http://a?b" has a query or a fragment'),
        ("'http://a#'", 'url: "http://a#" has a query or a fragment'),
        ("'http://a//b'", 'url: "http://a//b" has a path that is not normalised'),
        ("'http://a/../b'", 'url: "http://a/../b" has a path that is not normalised'),
        ("'unix:run/x'", 'url: "unix:run/x" is no unix socket'),
        ("'unix:/'", 'url: "unix:/" is no unix socket'),
        ("{url: 'http://a', weight: -1}", "weight: -1 is too small, write 0 or more"),
        ("{url: 'http://a', weigth: 1}", "weigth: unknown key, did you mean weight?"),
        ("5", ": 5 stands where keys belong, write some of url, weight, priority below it"),
    ],
)
def test_origins(origin: str, message: str) -> None:
    found = said(lines(refused("", rest=ORIGIN.format(origin))))
    place = "upstreams.shop.origins[0]"
    assert any(line.startswith((f"{place}.{message}", f"{place}{message}")) for line in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sticky: {}", "sticky.secret: is missing, add it"),
        ("sticky: {secret: short}", "sticky.secret: shorter than 16 characters, write a longer one"),
        ("sticky: {secret: 0123456789abcdefg, cookie: 'a b'}", 'sticky.cookie: "a b" is no field name'),
        ("canary: {weight: 5%}", "canary.upstream: is missing, add it"),
        ("canary: {upstream: b, weight: 5}", "canary.weight: 5: no percent sign, write 5%"),
        ("canary: {upstream: b, by: cookie}", 'canary.by: "cookie" is not known here'),
        ("match: {path: static}", 'match.path[0]: "static" does not begin with /, write "/static"'),
        ("match: {path: '/a?b'}", 'match.path[0]: "/a?b" has a query or a fragment'),
        ("match: {path: '/a b'}", 'match.path[0]: "/a b" is no path, percent-encode'),
        ("match: {path: '/a/../b'}", 'match.path[0]: "/a/../b" is not normalised'),
        ("match: {path: '/*.css'}", 'match.path[0]: "/*.css" has a * that stands for nothing, write * only'),
        ("match: {path: []}", "match.path: is empty, write at least one"),
        ("match: {path: {a: b}}", "match.path[0]: a mapping stands where a text belongs"),
        ("match: {host: '*'}", 'match.host[0]: "*" matches every host, leave host out'),
        ("match: {host: 'a:80'}", 'match.host[0]: "a:80" has a port'),
        ("match: {host: 'bücher.example'}", 'match.host[0]: "bücher.example" is not ASCII, write the name'),
        ("match: {host: 'a.*.b'}", 'match.host[0]: "a.*.b" is no host'),
        ("match: {methods: get}", 'match.methods[0]: "get" is not in capitals, write GET'),
        ("match: {methods: [CONNECT]}", "match.methods[0]: CONNECT is never served, remove it"),
        ("match: {methods: ['A B']}", 'match.methods[0]: "A B" is no method'),
        ("strip_prefix: /a/*", 'strip_prefix: "/a/*" has a * that stands for nothing, write it without *'),
        ("rewrite: x", 'rewrite: "x" does not begin with /'),
        ("request_headers: {set: {'X Y': a}}", 'request_headers.set.X Y: "X Y" is no field name'),
        ("request_headers: {set: {X: 'a\u2028b'}}", 'request_headers.set.X: "a\\u2028b" cannot be sent in'),
        ('request_headers: {set: {X: "a\\nb"}}', "request_headers.set.X: a line break in a field value"),
        ("request_headers: {set: {X: ' a'}}", "request_headers.set.X: blanks around a field value"),
        ("request_headers: {set: {X: 1}}", "request_headers.set.X: 1 is a number to YAML"),
        ("request_headers: {set: [a]}", "request_headers.set: the value stands where keys belong, write"),
        ("request_headers: {remove: [Host]}", "request_headers.remove[0]: Host is not edited here, set"),
        ("response_headers: {set: {Content-Length: '1'}}", "response_headers.set.Content-Length:"),
        ("max_body_size: 1", "max_body_size: 1: no unit"),
        ("cache: {key: {query: {only: ['a&b']}}}", 'cache.key.query.only[0]: "a&b" is no name of a'),
        ("cache: {key: {headers: [a b]}}", 'cache.key.headers[0]: "a b" is no field name'),
        ("cache: {vary: {normalize: {accept-encoding: br}}}", "cache.vary.normalize.accept-encoding:"),
        ("cache: {vary: {normalize: {accept-encoding: []}}}", "cache.vary.normalize.accept-encoding: is"),
        ("cache: {vary: {normalize: {accept-encoding: ['a,b']}}}", 'cache.vary.normalize.accept-encoding[0]'),
        ("cache: {jitter: 101%}", 'cache.jitter: "101%": more than 100%'),
        ("cache: {ttl: 1s}", "cache.ttl: unknown key, "),
        ("redirect: {to: /x, status: 200}", "redirect.status: 200 is not known here, write 301 or 302 or"),
        ("redirect: x", 'redirect.to: "x" is no place to send to'),
        ("redirect: '/*/a'", 'redirect.to: "/*/a" has a * that is not at its end'),
        ("redirect: {}", "redirect.to: is missing"),
    ],
)  # fmt: skip
def test_route_keys(text: str, message: str) -> None:
    found = said(lines(refused("", rest=ROUTE.format(text))))
    assert any(line.startswith(f"routes[0].{message}") for line in found), found


@pytest.mark.parametrize("name", ["'a b'", "''", "-a"])
def test_names_of_upstreams_and_routes_are_plain_words(name: str) -> None:
    rest = f"upstreams: {{{name}: {{origins: ['http://a']}}}}\nroutes: [{{name: {name}, redirect: /x}}]\n"
    found = said(lines(refused("", rest=rest)))
    assert len(found) == 2


def test_a_list_of_mistaken_items_is_not_called_empty() -> None:
    assert len(refused("", rest=ORIGIN.format("a"))) == 1


def test_there_may_not_be_too_much() -> None:
    origins = ", ".join(f"'http://a:{port}'" for port in range(1, 1002))
    assert said(lines(refused("", rest=ORIGIN.format(origins)))) == [
        "upstreams.shop.origins: more than 1000, write fewer"
    ]


# --- what is accepted ---------------------------------------------------------------


def test_a_plain_address_is_a_listener_and_tls_makes_another() -> None:
    config = loaded("server: {listen: ['[::1]:80', {address: 'EDGE:443'}]}")
    assert [(one.host, one.port, one.tls) for one in config.server.listen] == [
        ("::1", 80, None),
        ("edge", 443, None),
    ]


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "{address: '127.0.0.1:80'}", "['127.0.0.1:80']"])
def test_one_listener_needs_no_list(listen: str) -> None:
    assert [one.port for one in loaded(f"server: {{listen: {listen}}}").server.listen] == [80]


def test_the_admin_listener_has_host_and_port() -> None:
    admin = loaded("admin: {listen: 'localhost:99'}").admin
    assert (admin.host, admin.port) == ("localhost", 99)


@pytest.mark.parametrize(
    ("access", "value"),
    [
        ("off", "off"),
        ("'off'", "off"),
        ("false", "off"),
        ("stdout", "stdout"),
        ("logs/a.json", "/etc/e/logs/a.json"),
    ],
)
def test_the_access_log_is_off_stdout_or_a_path(access: str, value: str) -> None:
    assert loaded(f"log: {{access: {access}}}", base=Path("/etc/e")).log.access == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("'off'", "off"),
        ("false", "off"),
        ("auto", "auto"),
        ("3", (3,)),
        ("[1, 0, 1]", (1, 0, 1)),
        ("['${CPU}']", (5,)),
    ],
)
def test_workers_are_pinned_to_no_cpu_to_each_or_to_those_named(text: str, value: object) -> None:
    config = loaded(f"server: {{cpu_affinity: {text}}}", CPU="5")
    assert config.server.cpu_affinity == value
    assert load_mapping(config.dump()) == config


def test_paths_are_relative_to_the_file() -> None:
    disk = loaded("cache: {disk: {path: ../var}}", base=Path("/etc/e")).cache.disk
    assert disk is not None
    assert disk.path == "/etc/var"


@pytest.mark.parametrize(("text", "size"), [("none", 0), ("0", 0), ("'0'", 0), ("5GiB", 5 * 2**30)])
def test_a_body_limit_may_be_switched_off(text: str, size: int) -> None:
    assert loaded(f"server: {{limits: {{max_body_size: {text}}}}}").server.limits.max_body_size == size
    assert loaded("", rest=ROUTE.format(f"max_body_size: {text}")).routes[0].max_body_size == size


def test_hosts_are_lower_case_without_the_last_dot() -> None:
    config = loaded("", rest=ROUTE.format("match: {host: [Shop.Example., '*.Shop.Example', '[::1]']}"))
    assert config.routes[0].match.host == ("shop.example", "*.shop.example", "[::1]")


def test_networks_may_be_single_addresses() -> None:
    assert loaded("server: {trusted_proxies: [10.0.0.1, 'fd00::/8']}").server.trusted_proxies == (
        "10.0.0.1/32",
        "fd00::/8",
    )


@pytest.mark.parametrize(
    ("url", "key", "authority", "path", "socket"),
    [
        ("http://a", "a:80", "a", "", None),
        ("https://a:443/", "a:443", "a", "", None),
        ("https://A:8443/p/", "a:8443", "a:8443", "/p", None),
        ("http://[::1]:80", "[::1]:80", "[::1]", "", None),
        ("unix:///run/x.sock", "unix:/run/x.sock", "localhost", "", "/run/x.sock"),
    ],
)
def test_origins_have_parts(url: str, key: str, authority: str, path: str, socket: str | None) -> None:
    (origin,) = loaded("", rest=ORIGIN.format(f"'{url}'")).upstreams["shop"].origins
    assert origin.key == key
    assert (origin.parts.authority, origin.parts.path, origin.parts.socket) == (authority, path, socket)


@pytest.mark.parametrize("resolver", ["10.0.0.53", "10.0.0.53:5353", "'::1'", "'[::1]:53'"])
def test_a_resolver_is_an_address_with_or_without_a_port(resolver: str) -> None:
    config = loaded("", rest=UPSTREAM.format(f"resolver: {resolver}"))
    assert config.upstreams["shop"].resolver == resolver.strip("'")


@pytest.mark.parametrize("host_header", ["preserve", "origin", "shop.internal", "shop:8080", "'[::1]:80'"])
def test_the_host_sent_may_be_named(host_header: str) -> None:
    upstream = loaded("", rest=UPSTREAM.format(f"host_header: {host_header}"))
    assert upstream.upstreams["shop"].host_header == host_header.strip("'")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://u:p@h:6379/15",
        "rediss://h/",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:1/0",
        "redis+sentinel://u:p@h1,h2:26380/shop/3",
        "rediss+cluster://[::1]:7000,b:7001/0?ssl_cert_reqs=none",
    ],
)
def test_urls_of_a_redis(url: str) -> None:
    redis = loaded(f"cache: {{redis: {{url: '{url}'}}}}").cache.redis
    assert redis is not None
    assert redis.url == url
    assert url not in repr(redis)


# --- variables ----------------------------------------------------------------------


def test_a_variable_is_typed_by_its_field() -> None:
    config = loaded(
        """
        server:
          workers: ${N}
          forwarded: "${FLAG}"
          drain_timeout: ${TIME}
          limits: {max_fields: "${N}0"}
        admin: {token: "${TOKEN}"}
        """,
        N="3", FLAG="true", TIME="5s", TOKEN="0755",
    )  # fmt: skip
    assert (config.server.workers, config.server.forwarded, config.server.drain_timeout) == (3, True, 5.0)
    assert config.server.limits.max_fields == 30
    assert config.admin.token == "0755"
    assert type(config.admin.token) is str


def test_an_empty_variable_leaves_an_optional_key_unset() -> None:
    config = loaded(
        "server: {node: '${X:-}'}",
        rest=ROUTE.format("max_body_size: '${X:-}', cache: {default_ttl: '${X:-}'}, rewrite: '${X:-}'"),
    )
    assert config.server.node is None
    assert config.routes[0].cache.default_ttl is None
    assert config.routes[0].max_body_size is None
    assert config.routes[0].rewrite is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {workers: '${X}'}", "server.workers: ${X} is no number of workers"),
        (
            "server: {limits: {max_fields: '${X}'}}",
            "server.limits.max_fields: ${X} is no whole number, set the variable",
        ),
        ("server: {drain_timeout: '${X}'}", "server.drain_timeout: ${X}: not a duration"),
        ("server: {drain_timeout: '${E}'}", "server.drain_timeout: has no value, write one"),
        ("admin: {token: '${X} b'}", "admin.token: the value has characters"),
        ("cache: {redis: {url: '${X}'}}", "cache.redis.url: ${X} is no URL of a Redis"),
        ("cache: {redis: {url: 'http://:${X}@h'}}", "cache.redis.url: http://:${X}@h is no URL of a Redis"),
        ("admin: {listen: '${X}'}", "admin.listen: ${X}: no port"),
        ("server: {listen: '${X}'}", "server.listen[0].address: ${X}: no port"),
        ("server: {trusted_proxies: ['${X}']}", "server.trusted_proxies[0]: ${X} is no network"),
        ("log: {level: '${X}'}", "log.level: ${X} is not known here"),
    ],
)
def test_what_a_variable_held_is_not_shown(text: str, message: str) -> None:
    found = said(lines(refused(text, X="hush", E="")))
    assert any(line.startswith(message) for line in found), found
    assert "hush" not in "".join(found)


def test_status_codes_are_numbers_ranges_and_lists() -> None:
    def read(text: str) -> tuple[str, ...]:
        check = loaded("", rest=UPSTREAM.format(f"health_check: {{status: {text}}}")).upstreams["shop"]
        assert check.health_check is not None
        return check.health_check.status

    assert read("204") == ("204",)
    assert read("[200-299, 304, '404']") == ("200-299", "304", "404")


def test_what_is_off_may_be_said_so() -> None:
    keys = "balance: consistent_hash, hash: {headroom: null}, ejection: {error_rate: null, slower_than: null}"
    shop = loaded("", rest=UPSTREAM.format(keys)).upstreams["shop"]
    assert (shop.hash.headroom, shop.ejection.error_rate, shop.ejection.slower_than) == (None, None, None)
    shop = loaded("", rest=UPSTREAM.format("ejection: {slower_than: 3}")).upstreams["shop"]
    assert shop.ejection.slower_than == 3


def test_the_secret_of_a_sticky_cookie_is_shown_to_nobody() -> None:
    route = ROUTE.format("cache: {enabled: false}, sticky: {secret: hush-hush-hush-hush}")
    assert loaded("", rest=route).masked()["routes"][0]["sticky"] == {
        "secret": "***",
        "cookie": "edgeproxy_origin",
    }
