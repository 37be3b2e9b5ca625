"""URLs of a Redis: which are understood, what they say, and how one is shown without its password.

Knows no client: nothing is connected. Our own forms beside redis-py's: `redis+sentinel://` and
`redis+cluster://` with several hosts, `rediss+...` for TLS.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, NoReturn
from urllib.parse import parse_qsl, unquote, urlencode

from pydantic import AfterValidator

from edgeproxy.config.kinds import refuse

_EXAMPLE = "write redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///run/redis.sock?db=0"
_SENTINEL_EXAMPLE = "write redis+sentinel://HOST:26379,HOST:26379/MASTER/0"
_CLUSTER_EXAMPLE = "write redis+cluster://HOST:6379,HOST:6379"
_SCHEMES = "redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster"
_OPTIONS = frozenset({
    "client_name", "db", "password", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
    "ssl_ciphers", "ssl_keyfile", "username",
})  # fmt: skip
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_PARTS = re.compile(r"(?P<scheme>[a-z+]+)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\],\s]+)(?::(?P<port>[0-9]{1,5}))?")


_Wrong = Callable[[str, str], NoReturn]


class RedisForm(StrEnum):
    """What kind of deployment stands behind a URL."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL says. `hosts` are the server, the sentinels, or some of the cluster's nodes.

    `user` is what stands before the @, still percent-encoded.
    """

    form: RedisForm
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    user: str = field(default="", repr=False)
    master: str = ""
    db: int = 0
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def node_url(self, host: str, port: int) -> str:
        """The URL of one server of it, for redis-py."""
        scheme = "rediss" if self.tls else "redis"
        host = f"[{host}]" if ":" in host else host
        user = f"{self.user}@" if self.user else ""
        query = urlencode([(name, text) for name, text in self.options if name not in _SENTINEL_OPTIONS])
        return f"{scheme}://{user}{host}:{port}/{self.db}{'?' if query else ''}{query}"

    def sentinel_login(self) -> dict[str, str]:
        """User and password for the sentinels themselves, which have their own or none."""
        named = dict(self.options)
        login = {name: named.get(f"sentinel_{name}", "") for name in ("username", "password")}
        return {name: text for name, text in login.items() if text}


class RedisUrlError(ValueError):
    """A URL that is none of ours: `what` is wrong, and what to write `instead`."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}, {instead}")
        self.what = what
        self.instead = instead


def mask_url(url: str) -> str:
    """The URL with its passwords, if any, as `***`."""
    url = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&](?:sentinel_)?password=)[^&#]*", r"\1***", url)


def parse_redis_url(url: str) -> RedisAddress:
    """What the URL says; raises RedisUrlError. A `unix:` URL has no hosts."""
    shown = mask_url(url)

    def wrong(what: str, instead: str) -> NoReturn:
        raise RedisUrlError(f'"{shown}" {what}', instead)

    scheme = url.partition(":")[0]
    form_name = scheme.partition("+")[2]
    if scheme == "unix":
        if not re.match(r"unix://([^/@]*@)?/", url):
            wrong("has no path", "write unix:///run/redis.sock")
        options = tuple(parse_qsl(url.partition("?")[2], keep_blank_values=True))
        _check_options(options, _OPTIONS, wrong)
        return RedisAddress(RedisForm.SINGLE, False, (), options=options)
    if scheme.partition("+")[0] not in ("redis", "rediss") or form_name not in ("", "sentinel", "cluster"):
        wrong("is no URL of a Redis", _EXAMPLE if not form_name else f"begin it with {_SCHEMES}")
    form = RedisForm(form_name or "single")
    example = {
        RedisForm.SINGLE: _EXAMPLE,
        RedisForm.SENTINEL: _SENTINEL_EXAMPLE,
        RedisForm.CLUSTER: _CLUSTER_EXAMPLE,
    }[form]
    parts = _PARTS.fullmatch(url)
    if parts is None:
        wrong("is no URL", example)
    if "@" in f"{parts['path']}{parts['query']}":  # the rest of a password: show none of it
        wrong("is no URL", "write %2F for a / in a password, %3F for a ?, %40 for an @")
    user, _, names = parts["authority"].rpartition("@")
    hosts = _hosts(names, form, example, wrong)
    options = tuple(parse_qsl(parts["query"] or "", keep_blank_values=True))
    known = _OPTIONS | _SENTINEL_OPTIONS if form is RedisForm.SENTINEL else _OPTIONS
    _check_options(options, known, wrong)
    master, db = _path(parts["path"] or "", form, example, wrong)
    if form is RedisForm.CLUSTER and dict(options).get("db", "0") != "0":
        wrong("names a database, a cluster has only 0", "leave it away")
    return RedisAddress(form, scheme.startswith("rediss"), hosts, user, master, db, options)


def _hosts(names: str, form: RedisForm, example: str, wrong: _Wrong) -> tuple[tuple[str, int], ...]:
    standard = 26379 if form is RedisForm.SENTINEL else 6379
    hosts: list[tuple[str, int]] = []
    for name in names.split(","):
        if not name.partition(":")[0]:
            wrong("has no host", example)
        found = _HOST.fullmatch(name)
        if found is None:
            wrong("is no URL", example)
        port = int(found["port"] or standard)
        if not 0 < port < 65536:
            wrong("has no port that there is", "write one from 1 to 65535")
        hosts.append((found["host"].strip("[]"), port))
    if form is RedisForm.SINGLE and len(hosts) > 1:
        wrong("names several hosts", "write redis+sentinel:// or redis+cluster:// for them")
    return tuple(hosts)


def _path(path: str, form: RedisForm, example: str, wrong: _Wrong) -> tuple[str, int]:
    """The master's name and the database's number."""
    if form is RedisForm.CLUSTER:
        if path not in ("", "/", "/0"):
            wrong("names a database, a cluster has only 0", _CLUSTER_EXAMPLE)
        return "", 0
    master = ""
    if form is RedisForm.SENTINEL:
        master, _, path = path.removeprefix("/").partition("/")
        if not master:
            wrong("does not name the master that the sentinels watch", _SENTINEL_EXAMPLE)
    if not re.fullmatch(r"/?[0-9]{0,5}", path):
        wrong(
            "has no database number at its end", _SENTINEL_EXAMPLE if master else "write redis://HOST:6379/0"
        )
    return unquote(master), int(path.removeprefix("/") or 0)


def _check_options(options: tuple[tuple[str, str], ...], known: frozenset[str], wrong: _Wrong) -> None:
    for name, _ in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            wrong(f'has the option "{name}", which is not known here', hint)


def _redis_url(value: str) -> str:
    try:
        parse_redis_url(value)
    except RedisUrlError as error:
        refuse(error.what, error.instead)
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
