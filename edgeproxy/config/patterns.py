"""Patterns and edits of a route: hosts, paths, methods, targets, field edits. Their syntax only.

Knows no request: matching is the edge's.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

from edgeproxy.config.kinds import TOKEN, refuse
from edgeproxy.config.scalars import show

_LABELS = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]")
_PATH = re.compile(r"(?:[A-Za-z0-9/._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")


def _host(value: str) -> str:
    host = value.lower().removesuffix(".")
    if not host.isascii():
        refuse(f"{show(value)} is not ASCII", "write the name in its xn-- form")
    if host == "*":
        refuse('"*" matches every host', "leave host out")
    if re.search(r":[0-9]+$", host) and not _IPV6.fullmatch(host):
        refuse(f"{show(value)} has a port", "write the host alone, the port is not matched")
    if not (_LABELS.fullmatch(host) or _IPV6.fullmatch(host)):
        refuse(f"{show(value)} is no host", "write a name, or * for its first labels, as *.shop.example")
    return host


HostPattern = Annotated[str, AfterValidator(_host)]


def check_path(value: str, *, star: bool = True) -> str:
    """A normalised path that may end in `/*`; raises the mistake of a pydantic field."""
    if not value.startswith("/"):
        refuse(f"{show(value)} does not begin with /", f"write {show('/' + value.lstrip('/'))}")
    if "?" in value or "#" in value:
        refuse(f"{show(value)} has a query or a fragment", "write the path alone, the query is not matched")
    if not _PATH.fullmatch(value):
        refuse(f"{show(value)} is no path", "percent-encode what is not visible ASCII, as %20")
    if "//" in value or re.search(r"/\.\.?(/|$)", value):
        refuse(f"{show(value)} is not normalised", "write it without //, . and ..")
    head = value.removesuffix("/*") if star else value
    if "*" in head:
        where = "write * only as the last segment, as /static/*" if star else "write it without *"
        refuse(f"{show(value)} has a * that stands for nothing", where)
    return value


PathPattern = Annotated[str, AfterValidator(check_path)]
PathPrefix = Annotated[str, AfterValidator(lambda value: check_path(value, star=False))]


def _method(value: str) -> str:
    if value == "CONNECT":
        refuse("CONNECT is never served", "remove it")
    if not TOKEN.fullmatch(value):
        refuse(f"{show(value)} is no method", "write a name as GET")
    if value != value.upper():
        refuse(f"{show(value)} is not in capitals", f"write {value.upper()}")
    return value


Method = Annotated[str, AfterValidator(_method)]


def _redirect_to(value: str) -> str:
    if not re.fullmatch(r"(?:https?://[^/?#\s@]+)?(?:[/?][\x21-\x7e]*)?", value) or not value:
        refuse(
            f"{show(value)} is no place to send to",
            "write a URL as https://www.example/* or a path as /new/*",
        )
    if "*" in value.removesuffix("*"):
        refuse(f"{show(value)} has a * that is not at its end", "write * once, at the end")
    return value


RedirectTo = Annotated[str, AfterValidator(_redirect_to)]

_FRAMING = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)


def _editable(value: str) -> str:
    if value.lower() in _FRAMING:
        refuse(f"{value} frames the message", "remove it: the proxy sets it itself")
    if value.lower() == "host":
        refuse("Host is not edited here", "set host_header on the upstream")
    return value


Editable = AfterValidator(_editable)


def _query_glob(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x22\x24\x25\x27-\x3c\x3e-\x7e]+", value):
        refuse(f"{show(value)} is no name of a parameter", "write a name as it stands in the query, or utm_*")
    return value


QueryGlob = Annotated[str, AfterValidator(_query_glob)]
