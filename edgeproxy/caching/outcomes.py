"""What can be decided about a request and about an answer, one class an outcome.

Must not know how it is decided (`decide`) or carried out (`edge`).
"""

from dataclasses import dataclass

from msgspec import Struct

from edgeproxy.caching.freshness import Lifetime
from edgeproxy.caching.reasons import Fwd, Reason
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.wire.fields import RawField
from edgeproxy.wire.heads import ResponseHead


class UseStored(Struct, frozen=True):
    """Answer from the store. `age` is for the Age field; `ttl` in seconds, negative when stale."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason


class UseStaleAndRevalidate(Struct, frozen=True):
    """Answer from the store, and validate in the background."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason = Reason.STALE_WHILE_REVALIDATE


class Validate(Struct, frozen=True):
    """Ask the origin about `stored` before it is used (`validation.conditional_fields`)."""

    stored: StoredResponse
    fwd: Fwd
    reason: Reason


class Forward(Struct, frozen=True):
    """Pass the request to the origin; `store` says whether the answer may be stored at all."""

    fwd: Fwd
    reason: Reason
    store: bool


class OnlyIfCachedMiss(Struct, frozen=True):
    """Answer 504: the client wants no forwarding (RFC 9111 §5.2.1.7). `reason`: why it had to be."""

    reason: Reason


class Store(Struct, frozen=True):
    """Relay the answer and store it (`build.make_stored`); it takes the place of what was validated."""

    lifetime: Lifetime


class Complete(Store, frozen=True):
    """Relay and store the whole that the answer, a part, makes with the stored one (RFC 9111 §3.4).

    `head` is the whole's; its body is `before`, the answer's, `after`.
    """

    head: ResponseHead
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


class Again(Struct, frozen=True):
    """The answer is right, and no answer to this client: ask again, as the client did."""

    reason: Reason


class Relay(Struct, frozen=True):
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


class UseStale(Struct, frozen=True):
    """Answer with `stored` although the origin failed; `ttl` is negative unless the reason is `fresh`."""

    stored: StoredResponse
    age: int
    ttl: float
    lifetime: Lifetime
    reason: Reason


class Unusable(Struct, frozen=True):
    """The answer is none to this request: treat it as a bad response of the origin."""

    reason: Reason


class Fail(Struct, frozen=True):
    """No stored response helps: answer with the error. `reason`: why not."""

    reason: Reason


OnRequest = UseStored | UseStaleAndRevalidate | Validate | Forward | OnlyIfCachedMiss
OnResponse = Store | Again | Relay | Freshen | UseStale | Unusable
OnFailure = UseStale | Fail
