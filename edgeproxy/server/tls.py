"""Knows how a listener's TLS context is made from its certificate and key files.

Must not know sockets.
"""

import ssl

from edgeproxy.config.model import ListenerTls
from edgeproxy.errors import EdgeProxyError


class TlsFileError(EdgeProxyError):
    """A certificate or key that cannot be used; the message names the file and what to do."""


def server_context(tls: ListenerTls) -> ssl.SSLContext:
    """TLS 1.2 and up, HTTP/1.1 by ALPN. Raises TlsFileError."""
    for path in (tls.certificate, tls.key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise TlsFileError(
                f"cannot read the TLS file {path}: {error.strerror}; check the path and its permissions"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except _Encrypted as error:
        raise TlsFileError(f"the key {tls.key} is encrypted: give one without a passphrase") from error
    except ssl.SSLError as error:
        raise TlsFileError(_explain(error, tls)) from error
    return context


class _Encrypted(Exception):
    """The key asks for a passphrase."""


def _no_password() -> str:
    raise _Encrypted


def _explain(error: ssl.SSLError, tls: ListenerTls) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key {tls.key} does not belong to the certificate {tls.certificate}"
    return (
        f"{tls.certificate} and {tls.key} are no certificate and key in PEM form "
        f"({error.reason or 'nothing that can be read as PEM'})"
    )
