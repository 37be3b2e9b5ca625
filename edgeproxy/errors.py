"""The error tree: what went wrong, on whose side, whether a retry is safe, what to answer."""

from enum import StrEnum


class Source(StrEnum):
    """On whose side an error arose."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


class EdgeProxyError(Exception):
    """Root of all errors raised here.

    `status` is what the client is answered; `proxy_error` is the error type of
    RFC 9209 §2.3 for Proxy-Status; `retry_safe` says that no byte of the request can
    have been acted on.
    """

    source: Source = Source.INTERNAL
    status: int = 500
    proxy_error: str = "proxy_internal_error"
    retry_safe: bool = False


# --- downstream -----------------------------------------------------------------


class BadRequest(EdgeProxyError):
    """A request that cannot be served as it stands; the connection closes after the answer.

    `status` is one of 400, 405, 408, 411, 413, 414, 417, 429, 431, 501, 505.
    """

    source = Source.DOWNSTREAM
    proxy_error = "http_request_error"

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


class ClientGone(EdgeProxyError):
    """The client closed its connection before its request or its answer was complete."""

    source = Source.DOWNSTREAM
    status = 499
    proxy_error = "http_request_error"


class NotStored(EdgeProxyError):
    """`only-if-cached`, and nothing stored can be used (RFC 9111 §5.2.1.7)."""

    source = Source.DOWNSTREAM
    status = 504
    proxy_error = "http_request_denied"


# --- upstream -------------------------------------------------------------------


class UpstreamError(EdgeProxyError):
    """The origin could not be reached, or did not answer as HTTP asks."""

    source = Source.UPSTREAM
    status = 502


class DnsFailure(UpstreamError):
    """The origin's name did not resolve."""

    proxy_error = "dns_error"
    retry_safe = True


class ConnectRefused(UpstreamError):
    """The origin refused the connection, or is unreachable."""

    proxy_error = "connection_refused"
    retry_safe = True


class ConnectTimeout(UpstreamError):
    """No connection to the origin within `timeouts.connect`."""

    status = 504
    proxy_error = "connection_timeout"
    retry_safe = True


class TlsFailure(UpstreamError):
    """The TLS handshake with the origin failed."""

    proxy_error = "tls_protocol_error"
    retry_safe = True


class ConnectionLost(UpstreamError):
    """The origin closed or reset before the head of its answer was complete."""

    proxy_error = "connection_terminated"


class FirstByteTimeout(UpstreamError):
    """No head of an answer within `timeouts.first_byte`."""

    status = 504
    proxy_error = "http_response_timeout"


class BadResponse(UpstreamError):
    """The origin's answer is not acceptable HTTP."""

    proxy_error = "http_protocol_error"


class IncompleteResponse(UpstreamError):
    """The origin's body ended, stalled or broke before its end."""

    proxy_error = "http_response_incomplete"


class IncludeFailed(UpstreamError):
    """A fragment of a page could not be had, and nothing may stand in its place."""

    proxy_error = "http_response_incomplete"


class NoHealthyOrigin(UpstreamError):
    """Every origin of the upstream is down, drained or ejected."""

    status = 503
    proxy_error = "destination_unavailable"
    retry_safe = True


class PoolExhausted(UpstreamError):
    """`max_connections` are busy and the bounded queue for them is full or too slow."""

    status = 503
    proxy_error = "connection_limit_reached"
    retry_safe = True


class Overloaded(PoolExhausted):
    """Every origin has as many requests in flight as it bears (`concurrency`)."""


# --- internal -------------------------------------------------------------------


class LoopDetected(EdgeProxyError):
    """The request passed this node before (RFC 9110 §7.6.3)."""

    source = Source.DOWNSTREAM
    status = 508
    proxy_error = "proxy_loop_detected"


class TierFault(EdgeProxyError):
    """A tier did not answer as it should; counts as a miss, never as an answer to a client."""
