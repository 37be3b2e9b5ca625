"""The TLS context of an upstream, built once from its files.

Must not open connections.
"""

import ssl

from edgeproxy.upstream.settings import TlsSettings


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """A client's context: HTTP/1.1 by ALPN, verification on unless switched off.

    Raises ValueError with a sentence for the operator where a file is missing or unusable.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"tls.ca {settings.ca}: {error}") from error
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"tls.certificate {settings.certificate}: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
