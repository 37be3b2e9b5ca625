"""Knows how a configuration is fetched from a control plane's URL, by HTTP caching rules.

Must not know when (`server.sources`), nor what the configuration says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from cachecontrol import CacheControl
from cachecontrol.cache import DictCache
from requests.exceptions import ConnectionError, SSLError, Timeout, TooManyRedirects

from edgeproxy.caching.directives import parse as parse_directives
from edgeproxy.config.text import MAX_BYTES
from edgeproxy.errors import EdgeProxyError

CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 5.0  # seconds, each
TOTAL_TIMEOUT = 15.0  # seconds, until the whole body is there
MOST_REDIRECTS = 3
_PIECE = 16  # bytes read at once: a body that drips is given up soon after the deadline


class Unreachable(EdgeProxyError):
    """The control plane gave no configuration; the message says why, without credentials."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the URL holds; `lifetime` seconds for which that is fresh, None where nothing says."""

    body: bytes
    lifetime: float | None


class ControlPlane:
    """One URL, and what was last read of it; each call is blocking, one at a time."""

    def __init__(self, url: str, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock of seconds. Raises ValueError for what is no http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{mask_source(url)} is no http or https URL")
        _ = parts.port  # a bad one raises here
        self._url = url
        self._secure = parts.scheme == "https"
        self._monotonic = monotonic
        self._session = CacheControl(requests.Session(), cache=DictCache())
        self._session.max_redirects = MOST_REDIRECTS
        self._session.headers.update({"Accept": "application/yaml, text/yaml, */*;q=0.5"})

    def __repr__(self) -> str:
        return f"<ControlPlane {mask_source(self._url)}>"

    def close(self) -> None:
        """Let connections go."""
        self._session.close()

    def fetch(self, *, validate: bool = False) -> Fetched:
        """What the URL holds: the copy in memory while it is fresh, unless it is to be validated.

        Raises Unreachable. RFC 9111 §4.2, §4.3.
        """
        headers = {"Cache-Control": "no-cache"} if validate else {}
        deadline = self._monotonic() + TOTAL_TIMEOUT
        try:
            with self._session.get(
                self._url, headers=headers, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), stream=True
            ) as response:
                try:
                    return self._read(response, deadline)
                except BaseException:
                    _let_go(response)
                    raise
        except Unreachable:
            raise
        except Exception as error:  # a bad Date is an AssertionError in CacheControl
            raise Unreachable(_why(error)) from None  # its own text may hold the URL

    def _read(self, response: requests.Response, deadline: float) -> Fetched:
        if self._secure and not all(each.url.startswith("https:") for each in (*response.history, response)):
            raise Unreachable("redirects from https to http")
        if response.status_code != 200:
            raise Unreachable(f"answers {response.status_code}")
        if not (_framed(response) or _from_cache(response)):
            raise Unreachable("does not say where its body ends")  # half a file may be a good one too
        body = bytearray()
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > MAX_BYTES:
                raise Unreachable(f"sends more than {MAX_BYTES} bytes")
            if self._monotonic() > deadline:
                raise Unreachable(f"did not send everything within {TOTAL_TIMEOUT:g} s")
        return Fetched(bytes(body), _lifetime(response.headers))


def _framed(response: requests.Response) -> bool:
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


def _from_cache(response: requests.Response) -> bool:
    return bool(getattr(response, "from_cache", False))


def _let_go(response: requests.Response) -> None:
    """Close the file in which CacheControl gathers a body that is not read to its end."""
    gathered = getattr(getattr(response.raw, "_fp", None), "_CallbackFileWrapper__buf", None)
    if gathered is not None:
        gathered.close()


def mask_source(url: str) -> str:
    """A URL without user, password and query, which may be credentials."""
    url = re.sub(r"(://)[^/?#]*@", r"\1***@", url)
    return re.sub(r"\?.*", "?***", url, flags=re.DOTALL)


def _lifetime(headers: "requests.structures.CaseInsensitiveDict[str]") -> float | None:
    """What is left of the freshness lifetime; seconds. RFC 9111 §4.2.1 for a private cache."""
    directives = parse_directives(headers.get("Cache-Control", "").encode("latin-1", "replace"))
    if b"no-store" in directives or b"no-cache" in directives:
        return None
    age = headers.get("Age", "")
    max_age = directives.lifetime(b"max-age")
    if max_age is not None:
        return max(0.0, float(max_age - (int(age[:10]) if age.isdecimal() else 0)))
    try:
        expires = parsedate_to_datetime(headers["Expires"]).timestamp()
        return max(0.0, expires - parsedate_to_datetime(headers["Date"]).timestamp())
    except (KeyError, ValueError, TypeError):
        return None


def _why(error: Exception) -> str:
    match error:
        case SSLError():
            return "shows no certificate that is trusted"
        case Timeout():
            return "does not answer in time"
        case TooManyRedirects():
            return f"redirects more than {MOST_REDIRECTS} times"
        case ConnectionError():
            return "cannot be reached, or breaks off"
        case _:
            return f"cannot be read ({type(error).__name__})"
