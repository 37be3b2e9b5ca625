"""Knows how to put TLS before a server that has none: a relay in threads, on a port of its own.

Must not know what is relayed. A client that does not begin with TLS is relayed too: a sentinel that
watches a master through it.
"""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import trustme

_TLS_HANDSHAKE = b"\x16"


class TlsRelay:
    """Relays connections to `target`, a port of 127.0.0.1; `ca` is the file to verify it with."""

    def __init__(self, folder: Path, target: int = 0) -> None:
        self.target = target
        self.tls_clients = 0
        authority = trustme.CA()
        self.ca = folder / f"ca-{id(self)}.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._closed = False

    def __enter__(self) -> "TlsRelay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for sock in [self._listener, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        try:
            if client.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
                client = self._context.wrap_socket(client, server_side=True)
                self.tls_clients += 1
            server = socket.create_connection(("127.0.0.1", self.target))
            self._open |= {client, server}
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()
        except OSError:
            pass
        finally:
            for sock in (client, server):
                if sock is not None:
                    self._open.discard(sock)
                    sock.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
