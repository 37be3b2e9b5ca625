"""Knows who may call: a bearer token, Basic with the token as password, or without a token this machine.

Must not know what is called, but that `/healthz` and `/readyz` are open to all.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

from edgeproxy.admin.problems import Handler, Problem
from edgeproxy.config.addresses import is_loopback

OPEN = frozenset({"/healthz", "/readyz"})


def check_callers(token: Callable[[], str]) -> Callable[[web.Request, Handler], object]:
    """A middleware that lets pass who may call; `token` gives the one in force."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN:
            if request.method not in ("GET", "HEAD"):
                _check_origin(request)  # a browser adds credentials it remembers to anybody's request
            expected = token()
            if expected:
                _check_token(request, expected)
            else:
                _check_local(request)
        return await handler(request)

    return check


def _check_token(request: web.Request, expected: str) -> None:
    given = _given_token(request.headers.get("Authorization", ""))
    if given is None or not hmac.compare_digest(given, expected.encode()):
        problem = Problem(401, "wrong or missing token; send Authorization: Bearer TOKEN")
        problem.headers["WWW-Authenticate"] = 'Bearer realm="edgeproxy", Basic realm="edgeproxy"'
        raise problem


def _given_token(authorization: str) -> bytes | None:
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer" and credentials:
        return credentials.encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return None
        _, colon, password = decoded.partition(b":")
        return password if colon else None
    return None


def _check_local(request: web.Request) -> None:
    """Without a token: no other machine, and no page of another site in this machine's browser.

    A `Host` that is no loopback name gives away DNS rebinding.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not peer or not is_loopback(str(peer[0]).removeprefix("::ffff:")):
        raise Problem(403, "without a token the admin API answers this machine only; set admin.token")
    if not _is_local_name(request.headers.get("Host", "")):
        raise Problem(403, "without a token, Host must name this machine: 127.0.0.1, [::1] or localhost")
    _check_origin(request)


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    if foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Problem(403, "pages of other origins may not call")


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
