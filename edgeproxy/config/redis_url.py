"""URLs of a Redis: which are understood, and how one is shown without its password.

Knows no client: nothing is connected.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from edgeproxy.config.kinds import refuse

_SINGLE = frozenset({"redis", "rediss"})
_EXAMPLE = "write redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///run/redis.sock?db=0"


def mask_url(url: str) -> str:
    """The URL with its password, if any, as `***`."""
    return re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)


def _redis_url(value: str) -> str:
    shown = mask_url(value)
    try:
        parts = urlsplit(value)
        port = parts.port if parts.scheme in _SINGLE else None
    except ValueError:
        refuse(f'"{shown}" is no URL', _EXAMPLE)
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            refuse(f'"{shown}" has no path', "write unix:///run/redis.sock")
        return value
    if parts.scheme not in _SINGLE:
        refuse(f'"{shown}" is no URL of a Redis', _EXAMPLE)
    if not parts.hostname or port == 0:
        refuse(f'"{shown}" has no host', _EXAMPLE)
    if not re.fullmatch(r"/?[0-9]{0,5}", parts.path):
        refuse(f'"{shown}" has no database number at its end', "write redis://HOST:6379/0")
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
