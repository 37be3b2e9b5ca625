"""What can be decided about a request and about an answer, one class an outcome.

Must not know how it is decided (`decide`) or carried out (`edge`).
"""

from dataclasses import dataclass

from edgeproxy.caching.freshness import Lifetime
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead


@dataclass(frozen=True, slots=True)
class UseStored:
    """Answer from the store. `age` is for the Age field; `ttl` in seconds, negative when stale."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class UseStaleAndRevalidate:
    """Answer from the store, and validate in the background."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason = Reason.STALE_WHILE_REVALIDATE


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask the origin about `stored` before it is used (`validation.conditional_fields`)."""

    stored: StoredResponse
    fwd: Fwd
    reason: Reason


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request to the origin; `store` says whether the answer may be stored at all."""

    fwd: Fwd
    reason: Reason
    store: bool


@dataclass(frozen=True, slots=True)
class OnlyIfCachedMiss:
    """Answer 504: the client wants no forwarding (RFC 9111 §5.2.1.7). `reason`: why it had to be."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Store:
    """Relay the answer and store it (`build.make_stored`); it takes the place of what was validated."""

    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Complete(Store):
    """Relay and store the whole that the answer, a part, makes with the stored one (RFC 9111 §3.4).

    `head` is the whole's; its body is `before`, the answer's, `after`.
    """

    head: ResponseHead
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """The answer is right, and no answer to this client: ask again, as the client did."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Relay:
    """Relay the answer only. `drop`: what was validated is known to be outdated and goes."""

    reason: Reason
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Freshen:
    """Answer with `stored`, updated; `keep` None: put it in the place of the old, else why it must go.

    `for_requester` are fields of the origin's answer meant for the asking client alone.
    """

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason
    keep: Reason | None = None
    for_requester: tuple[RawField, ...] = ()


@dataclass(frozen=True, slots=True)
class UseStale:
    """Answer with `stored` although the origin failed; `ttl` is negative unless the reason is `fresh`."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Unusable:
    """The answer is none to this request: treat it as a bad response of the origin."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fail:
    """No stored response helps: answer with the error. `reason`: why not."""

    reason: Reason


OnRequest = UseStored | UseStaleAndRevalidate | Validate | Forward | OnlyIfCachedMiss
OnResponse = Store | Again | Relay | Freshen | UseStale | Unusable
OnFailure = UseStale | Fail
