"""Exchanges of several clients with a cache, and both readings of what to do with each.

`Two` keeps what edgeproxy's decisions keep, in both readings' forms: a sequence goes on after a difference.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from edgeproxy.caching.build import make_stored
from edgeproxy.caching.decide import (
    Forward,
    Freshen,
    OnlyIfCachedMiss,
    OnRequest,
    Relay,
    Store,
    UseStale,
    UseStaleAndRevalidate,
    UseStored,
    Validate,
    on_failure,
    on_request,
    on_response,
)
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import Stamp, StoredResponse
from edgeproxy.caching.validation import conditional_fields
from edgeproxy.caching.vary import matches, preferred
from edgeproxy.wire.dates import format_date
from edgeproxy.wire.fields import Fields
from edgeproxy.wire.heads import RequestHead, ResponseHead
from edgeproxy.wire.target import parse_uri

from . import oracle
from .oracle import Answered, Asked, Kept, Pairs

T0 = 1_700_000_000.0
POLICY = CachePolicy()
COMPARED = ("cache-control", "cdn-cache-control", "expires", "date", "vary", "etag", "x-test")


@dataclass(frozen=True)
class Origin:
    """What an origin answers; offsets are seconds from the second of its answer."""

    status: int = 200
    control: str | None = "max-age=60"
    targeted: str | None = None
    expires: int | str | None = None
    date: int | str | None = 0
    age: str | None = None
    vary: str | None = None
    etag: str | None = None
    modified: int | None = None
    cookie: bool = False
    delay: float = 0.0
    confirms: bool = False
    """Whether it answers a conditional request with 304."""

    def fields(self, now: float) -> Pairs:
        def dated(value: int | str | None) -> str | None:
            return format_date(now + value).decode() if isinstance(value, int) else value

        lines = {
            "Cache-Control": self.control,
            "CDN-Cache-Control": self.targeted,
            "Expires": dated(self.expires),
            "Date": dated(self.date),
            "Age": self.age,
            "Vary": self.vary,
            "ETag": self.etag,
            "Last-Modified": None if self.modified is None else dated(self.modified),
            "Set-Cookie": "a=b" if self.cookie else None,
            "X-Test": f"{now}",
        }
        return tuple((name, value) for name, value in lines.items() if value is not None)


@dataclass(frozen=True)
class Edge:
    """Until `tick` seconds from the end of what is named, of the response that the request selects."""

    of: str
    tick: float


@dataclass(frozen=True)
class Step:
    """One request after a wait, and what its origin does should it be asked; None: it is out of reach."""

    wait: float | Edge = 0.0
    origin: Origin | None = Origin()
    control: str | None = None
    client: str = ""
    path: str = "/1"
    method: str = "GET"
    fields: Pairs = ()

    @property
    def asked(self) -> Asked:
        lines = list(self.fields)
        if self.client:
            lines.append(("Authorization", f"Basic {self.client}"))
        if self.control is not None:
            lines.append(("Cache-Control", self.control))
        return Asked(self.method, f"http://shop.example{self.path}", tuple(lines))


@dataclass(frozen=True)
class Difference:
    """Where the two readings part: on which question, and with all that was known."""

    question: str  # request, chosen, age, storing, update, failure or fields
    ours: str
    theirs: str
    asked: Asked
    now: float
    kept: Kept | None = None
    answered: Answered | None = None
    history: tuple[Kept, ...] = ()


def head_of(asked: Asked) -> RequestHead:
    return RequestHead(asked.method.encode(), parse_uri(asked.url.encode()), 1, fields_of(asked.fields))


def fields_of(pairs: Pairs) -> Fields:
    return Fields((name.encode(), value.encode()) for name, value in pairs)


def select(candidates: list[StoredResponse], request: RequestHead) -> StoredResponse | None:
    """As the proxy does when it looks a key up."""
    return preferred(stored for stored in candidates if matches(stored, request, POLICY))


def named(outcome: OnRequest) -> str:
    match outcome:
        case UseStored():
            return "reuse" if outcome.ttl > 0 else "reuse-stale"
        case UseStaleAndRevalidate():
            return "reuse-stale"
        case Validate():
            return "validate"
        case Forward():
            return "forward"
        case OnlyIfCachedMiss():
            return "504"


@dataclass
class Two:
    """A cache that obeys edgeproxy's decisions, and the history that the second reading reads."""

    now: float = T0
    pairs: list[tuple[Kept, StoredResponse]] = field(default_factory=list)

    def differences(self, steps: list[Step]) -> Iterator[Difference]:
        for step in steps:
            self.now += self._seconds(step)
            yield from self._step(step)

    def _seconds(self, step: Step) -> float:
        if not isinstance(step.wait, Edge):
            return step.wait
        kept = oracle.choose(step.asked, [kept for kept, _ in self.pairs])
        if kept is None:
            return 0.0
        late = oracle.staleness(kept, self.now)
        own, wishes = oracle.governing(oracle.current(kept).fields)[0], oracle.said(step.asked.fields)
        end = {
            "freshness": 0,
            "default": 3600,
            "max-stale": oracle.number(wishes, "max-stale"),
            "min-fresh": -(oracle.number(wishes, "min-fresh") or 0),
            "max-age": (oracle.number(wishes, "max-age") or 0) - oracle.lifetime(oracle.current(kept)),
        }.get(step.wait.of, oracle.number(own, step.wait.of))
        return max(0.0, (end or 0) - late + step.wait.tick)

    def _step(self, step: Step) -> Iterator[Difference]:
        asked, history = step.asked, [kept for kept, _ in self.pairs]
        request = head_of(asked)
        candidates = [ours for kept, ours in self.pairs if kept.asked.url == asked.url]
        selected = select(candidates, request)
        outcome = on_request(request, selected, POLICY, self.now, vary_miss=bool(candidates))
        verdict = oracle.read(asked, history, self.now)
        kept = next((kept for kept, ours in self.pairs if ours is selected), None)
        seen = Difference("request", named(outcome), verdict.do, asked, self.now, kept, None, tuple(history))
        if kept is not oracle.choose(asked, history):
            yield replace(seen, question="chosen", theirs=f"{verdict.do} {verdict.clause}")
        elif named(outcome) != verdict.do:
            yield replace(seen, theirs=f"{verdict.do} {verdict.clause}")
        elif isinstance(outcome, UseStored | UseStaleAndRevalidate):
            if outcome.age != verdict.age:
                yield replace(seen, question="age", ours=str(outcome.age), theirs=str(verdict.age))
            yield from self._fields_differ(seen, outcome.stored)
        validated = outcome.stored if isinstance(outcome, Validate) else None
        if isinstance(outcome, UseStaleAndRevalidate):
            validated = outcome.stored
        if isinstance(outcome, Forward | Validate | UseStaleAndRevalidate):
            yield from self._ask_origin(step, request, validated)

    def _fields_differ(self, seen: Difference, stored: StoredResponse) -> Iterator[Difference]:
        assert seen.kept is not None
        theirs = oracle.current(seen.kept).fields
        for name in COMPARED:
            ours = [value.decode() for value in stored.fields.get_all(name.encode())]
            if ours != oracle.values(theirs, name):
                both = f"{name}: {ours}", f"{name}: {oracle.values(theirs, name)}"
                yield replace(seen, question="fields", ours=both[0], theirs=both[1])

    def _ask_origin(
        self, step: Step, request: RequestHead, validated: StoredResponse | None
    ) -> Iterator[Difference]:
        kept = next((kept for kept, ours in self.pairs if ours is validated), None)
        left = self.now
        if step.origin is None:
            if validated is not None and kept is not None:
                yield from self._compare_failure(step, request, kept, validated)
            return
        self.now += step.origin.delay
        conditional = validated is not None and bool(conditional_fields(validated))
        status = 304 if conditional and step.origin.confirms else step.origin.status
        answered = Answered(status, step.origin.fields(self.now), left, self.now)
        head = ResponseHead(status, b"", 1, fields_of(answered.fields))
        outcome = on_response(request, head, validated, POLICY, self.now, request_time=left)
        seen = Difference("storing", "", "", step.asked, self.now, kept, answered)
        match outcome:
            case UseStale():
                yield from self._failure_differs(seen, None, disconnected=False)
                return
            case Freshen():
                yield from self._freshened(seen, kept, validated, outcome)
                return
        if kept is not None and str(status) in oracle.ERRORS.split():
            yield from self._failure_differs(seen, "refused", disconnected=False)
        refusal = oracle.refused_storage(step.asked, answered)
        if isinstance(outcome, Store) is not (refusal is None):
            ours = "stored" if isinstance(outcome, Store) else str(getattr(outcome, "reason", outcome))
            yield replace(seen, ours=ours, theirs=refusal or "allowed")
        if isinstance(outcome, Store):
            made = make_stored(request, head, b"", left, self.now, POLICY, Stamp(), step.asked.url.encode())
            self._forget(validated)
            self._keep(Kept(step.asked, answered), made)
        elif isinstance(outcome, Relay) and outcome.drop:
            self._forget(validated)

    def _compare_failure(
        self, step: Step, request: RequestHead, kept: Kept, stored: StoredResponse
    ) -> Iterator[Difference]:
        outcome = on_failure(request, stored, POLICY, self.now, disconnected=True)
        seen = Difference("failure", "", "", step.asked, self.now, kept)
        ours = None if isinstance(outcome, UseStale) else str(outcome.reason)
        yield from self._failure_differs(seen, ours, disconnected=True)

    def _failure_differs(
        self, seen: Difference, ours: str | None, *, disconnected: bool
    ) -> Iterator[Difference]:
        assert seen.kept is not None
        refusal = oracle.after_failure(seen.asked, seen.kept, self.now, disconnected=disconnected)
        if (ours is None) is not (refusal is None):
            yield replace(seen, question="failure", ours=ours or "served", theirs=refusal or "allowed")

    def _freshened(
        self, seen: Difference, kept: Kept | None, old: StoredResponse | None, outcome: Freshen
    ) -> Iterator[Difference]:
        assert kept is not None
        assert seen.answered is not None
        refusal = oracle.update_refused(kept, seen.answered)
        update = seen.answered
        if refusal is not None:
            yield replace(seen, question="update", ours=str(outcome.reason), theirs=refusal)
            if outcome.reason == "confirmed":  # only its clock was taken over
                clock = tuple(line for line in update.fields if line[0] in ("Date", "Age"))
                update = replace(update, fields=clock)
        new = replace(kept, updates=(*kept.updates, (seen.asked, update)))
        yield from self._fields_differ(replace(seen, kept=new), outcome.stored)
        now_is = oracle.current(new)
        as_get = replace(seen.asked, method="GET")
        refused = oracle.refused_storage(as_get, now_is)
        if (outcome.keep is None) is not (refused is None):
            yield replace(
                seen, answered=now_is, ours=str(outcome.keep or "stored"), theirs=refused or "allowed"
            )
        self._forget(old)
        if outcome.keep is None:
            self._keep(new, outcome.stored)

    def _keep(self, kept: Kept, made: StoredResponse) -> None:
        """In the place of what is stored for the same variant of the key."""
        place = made.key, made.variant
        self.pairs = [pair for pair in self.pairs if (pair[1].key, pair[1].variant) != place]
        self.pairs.append((kept, made))

    def _forget(self, gone: StoredResponse | None) -> None:
        self.pairs = [pair for pair in self.pairs if pair[1] is not gone]
