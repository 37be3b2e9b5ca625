"""Listening addresses `HOST:PORT`: reading, writing, and which of them are the same or private.

Knows no socket: nothing is resolved.
"""

import ipaddress
import re

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
_WILDCARDS = frozenset({"0.0.0.0", "::"})


class AddressError(ValueError):
    """Text that is no `HOST:PORT`: `what` is wrong, and what to write `instead`."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}, {instead}")
        self.what = what
        self.instead = instead


def split_address(text: str) -> tuple[str, int]:
    """Host (IPv6 without brackets) and port of `HOST:PORT`. Raises AddressError."""
    if text.isdigit():
        raise AddressError("only a port", f"write 127.0.0.1:{text}, or 0.0.0.0:{text} for all interfaces")
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")) or port.endswith("]"):
        raise AddressError("no port", "write HOST:PORT, as 127.0.0.1:8080 or [::1]:8080")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise AddressError(f"{port!r} is no port", "write a number from 0 to 65535 after the colon")
    if not host:
        raise AddressError("no host", f"write 127.0.0.1:{port}, or 0.0.0.0:{port} for all interfaces")
    return _host(host), int(port)


def join_address(host: str, port: int) -> str:
    """`HOST:PORT`, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on `host`."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def clash(one: str, other: str) -> bool:
    """Whether both addresses cannot be listened on at once; port 0 is any free port and never clashes."""
    (host, port), (other_host, other_port) = split_address(one), split_address(other)
    if port != other_port or port == 0:
        return False
    host, other_host = _numeric(host), _numeric(other_host)
    if host == other_host:
        return True
    wildcard, concrete = (host, other_host) if host in _WILDCARDS else (other_host, host)
    return wildcard in _WILDCARDS and (":" in wildcard) == (":" in concrete)


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            if host.endswith("]"):
                return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            pass
        raise AddressError(f"{host!r} is no IPv6 address", "write it in brackets, as [::1]:8080")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise AddressError(
                f"{host!r} is no IPv4 address", "write four numbers, as 127.0.0.1:8080"
            ) from None
    if not _NAME.fullmatch(host):
        raise AddressError(f"{host!r} is no host", "write a name or an address, as 127.0.0.1:8080")
    return host.lower()


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
