"""Opens sockets to origins: TCP, TLS or unix; foreign errors become ours here.

Must not know pools, HTTP or which origin is best.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from edgeproxy.errors import ConnectRefused, ConnectTimeout, TlsFailure
from edgeproxy.upstream.origin import Address


async def open_connection(
    address: Address,
    factory: Callable[[], asyncio.Protocol],
    timeout: float,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> None:
    """Connect and hand the transport to the protocol that `factory` makes; `timeout` in seconds.

    With a `context` the connection is TLS, for `server_name`. Raises ConnectRefused, ConnectTimeout,
    TlsFailure; whatever happens, no socket stays open that no protocol owns.
    """
    try:
        async with asyncio.timeout(timeout):
            await _open(address, factory, context, server_name)
    except TimeoutError as error:
        raise ConnectTimeout(f"no connection to {address} within {timeout:g} s") from error
    except ssl.SSLCertVerificationError as error:
        failure = TlsFailure(f"certificate of {address}: {error.verify_message}")
        failure.proxy_error = "tls_certificate_error"
        raise failure from error
    except ssl.SSLError as error:
        raise TlsFailure(f"TLS with {address}: {error.reason or error}") from error
    except OSError as error:
        raise ConnectRefused(f"connection to {address}: {error.strerror or error}") from error


async def _open(
    address: Address,
    factory: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    server_name: str | None,
) -> None:
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if address.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address.sockaddr)
        # From here the transport owns the socket, and closes it if the handshake fails or is cancelled.
        if context is None:
            await loop.create_connection(factory, sock=sock)
        else:
            await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=server_name or "")
    except BaseException:
        sock.close()
        raise
