"""Host and port of a target: strict syntax and one spelling.

Must not know where they stand (Host field or absolute-form). RFC 9110 §4.2, RFC 3986 §3.2.2.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from edgeproxy.errors import BadRequest

_DEFAULT_PORTS = {b"http": 80, b"https": 443}
_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z_\-.]{1,254}))(?::([0-9]{0,5}))?")
_NAME = re.compile(rb"(?:[0-9a-z_\-]{1,63}\.)*[0-9a-z_\-]{1,63}")
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rb"(?:" + _OCTET + rb"\.){3}" + _OCTET)
# A last label that is a number makes the whole an IPv4 address to resolvers, and 127.1 another spelling.
_NUMERIC = re.compile(rb"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@lru_cache(maxsize=1024)
def normalise_authority(authority: bytes, scheme: bytes) -> bytes:
    """Lower-case host without a trailing dot, and the port unless it is the default of `scheme`.

    A registered name, an IPv4 address or a bracketed IPv6 address. Raises BadRequest.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadRequest("malformed host")
    literal, name, port = match.groups()
    host = _address(literal) if literal else _name(name.lower())
    if not port:
        return host
    number = int(port)
    if not 0 < number < 65536:
        raise BadRequest("port out of range")
    return host if number == _DEFAULT_PORTS.get(scheme) else b"%s:%d" % (host, number)


def _name(name: bytes) -> bytes:
    name = name[:-1] if name.endswith(b".") else name
    if not _NAME.fullmatch(name):
        raise BadRequest("malformed host name")
    if _NUMERIC.fullmatch(name) and not _IPV4.fullmatch(name):
        raise BadRequest("malformed IPv4 address")
    return name


def _address(literal: bytes) -> bytes:
    try:
        return b"[" + IPv6Address(literal.decode("ascii")).compressed.encode("ascii") + b"]"
    except AddressValueError as error:
        raise BadRequest("malformed IPv6 address") from error
