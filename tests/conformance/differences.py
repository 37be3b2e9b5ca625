"""Where edgeproxy parts from the second reading on purpose: each case narrow, with its reason.

What is not explained here is a bug in one of the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import oracle
from .oracle import Kept, Said
from .sequences import Difference, Edge, Origin, Step


@dataclass(frozen=True)
class Explained:
    """One deliberate difference: when it is met, why it is there, and steps that show it."""

    name: str
    why: str
    questions: str
    met: Callable[[Difference], bool]
    shown_by: tuple[Step, ...]

    def explains(self, difference: Difference) -> bool:
        return difference.question in self.questions.split() and self.met(difference)


def own(kept: Kept | None) -> Said:
    return [] if kept is None else oracle.governing(oracle.current(kept).fields)[0]


def late(difference: Difference) -> float:
    assert difference.kept is not None
    return oracle.staleness(difference.kept, difference.now)


def wishes(difference: Difference) -> Said:
    return oracle.wishes_of(difference.asked)


def stored_error(difference: Difference) -> bool:
    return difference.kept is not None and difference.kept.answered.status >= 500


def by_explicit_window(window: str) -> Callable[[Difference], bool]:
    """Whether a stale response beside s-maxage is served within the window that the origin itself gave."""

    def explains(difference: Difference) -> bool:
        directives = own(difference.kept)
        return (
            difference.ours in ("reuse-stale", "served")
            and "§5.2.2.10" in difference.theirs
            and oracle.has(directives, "s-maxage")
            and not oracle.has(directives, "must-revalidate", "proxy-revalidate")
            and late(difference) < (oracle.number(directives, window) or 0)
        )

    return explains


def at_the_end_of(window: str) -> Callable[[Difference], bool]:
    def explains(difference: Difference) -> bool:
        refused = difference.ours in ("validate", "504", "window-over", "refused")
        return refused and late(difference) == oracle.number(own(difference.kept), window)

    return explains


# --- storing


def is_useless(difference: Difference) -> bool:
    answered = difference.answered
    if difference.ours != "nothing-to-reuse" or answered is None:
        return False
    directives, _ = oracle.governing(answered.fields)
    dead = oracle.lifetime(answered) <= 0 or oracle.unqualified(directives, "no-cache")
    tags = oracle.values(answered.fields, "etag") + oracle.values(answered.fields, "last-modified")
    return dead and (not tags or answered.status >= 500)


# --- which stored response


def of_a_language(difference: Difference) -> bool:
    """Whether the only selecting field that differs is Accept-Language."""
    kept = difference.kept
    if kept is None:
        return False
    names = {name.lower() for name in oracle.members(oracle.current(kept).fields, "vary")} - {
        "accept-language"
    }
    answers = kept.updates[-1][0] if kept.updates else kept.asked
    alike = all(
        oracle.members(answers.fields, name) == oracle.members(difference.asked.fields, name)
        for name in names
    )
    asked = sorted(oracle.members(difference.asked.fields, "accept-language"))
    return alike and asked == sorted(oracle.members(answers.fields, "accept-language"))


# --- reuse


def window_after_max_stale(difference: Difference) -> bool:
    limit = oracle.number(wishes(difference), "max-stale")
    return (
        difference.ours == "reuse-stale"
        and difference.theirs.endswith("§5.2.1.2")
        and limit is not None
        and limit < late(difference) < (oracle.number(own(difference.kept), "stale-while-revalidate") or 0)
    )


def beyond_the_hour(difference: Difference) -> bool:
    """Whether a disconnected origin's stale response is refused since its window, or the hour, is over."""
    if difference.ours != "window-over":
        return False
    directives = own(difference.kept)
    stated = oracle.number(directives, "stale-if-error")
    return late(difference) >= (3600 if stated is None else stated)


WINDOW = "stale-while-revalidate=30"

EXPLAINED = [
    Explained(
        "head-is-not-stored",
        "A HEAD brings no content: what it could be stored for is answered by a stored GET (§4.3.5).",
        "storing",
        lambda d: (
            d.asked.method == "HEAD" and d.theirs == "allowed" and d.ours in ("method", "changed-by-head")
        ),
        (Step(method="HEAD"),),
    ),
    Explained(
        "set-cookie-is-not-stored",
        "§7.3 warns of it and leaves it to the cache: off by default, `allow_set_cookie` allows it.",
        "storing",
        lambda d: d.ours == "set-cookie" and d.theirs == "allowed",
        (Step(origin=Origin(cookie=True)),),
    ),
    Explained(
        "vary-star-is-not-stored",
        "§4.1: it never matches a request, and a response in its place would only be kept for nothing.",
        "storing",
        lambda d: d.ours == "vary-star" and d.theirs == "allowed",
        (Step(origin=Origin(vary="*")),),
    ),
    Explained(
        "useless-is-not-stored",
        "§3 allows it, but it is stale at once, gives no window, and has no validator to ask about.",
        "storing",
        is_useless,
        (Step(origin=Origin(control="max-age=0")),),
    ),
    Explained(
        "languages-have-no-order",
        "§4.1 allows a normalisation that the field's own semantics give: equal weights have no order.",
        "chosen",
        of_a_language,
        (
            Step(origin=Origin(vary="Accept-Language"), fields=(("Accept-Language", "en, de"),)),
            Step(fields=(("Accept-Language", "de,en"),)),
        ),
    ),
    Explained(
        "stale-while-revalidate-beside-s-maxage",
        "§5.2.2.10 makes s-maxage a prohibition; the window that the origin itself set beside it is its "
        "explicit permission. An operator's window is none.",
        "request",
        by_explicit_window("stale-while-revalidate"),
        (Step(origin=Origin(control=f"s-maxage=60, {WINDOW}")), Step(wait=61)),
    ),
    Explained(
        "stale-if-error-beside-s-maxage",
        "As stale-while-revalidate beside s-maxage.",
        "failure",
        by_explicit_window("stale-if-error"),
        (Step(origin=Origin(control="s-maxage=60, stale-if-error=30")), Step(wait=61, origin=None)),
    ),
    Explained(
        "stale-while-revalidate-ends-before-its-last-instant",
        "RFC 5861 §3's 'up to' is read as freshness is, whose end is not fresh: windows are half open.",
        "request",
        at_the_end_of("stale-while-revalidate"),
        (Step(origin=Origin(control=f"max-age=60, {WINDOW}")), Step(wait=Edge("stale-while-revalidate", 0))),
    ),
    Explained(
        "stale-if-error-ends-before-its-last-instant",
        "RFC 5861 §4's 'up to', in the same way.",
        "failure",
        at_the_end_of("stale-if-error"),
        (
            Step(origin=Origin(control="max-age=60, stale-if-error=30")),
            Step(wait=Edge("stale-if-error", 0), origin=Origin(status=503)),
        ),
    ),
    Explained(
        "an-error-is-never-stale",
        "A stored 5xx is used while fresh only: stale, it would keep a trouble alive that may be over.",
        "request failure",
        lambda d: (
            stored_error(d) and late(d) >= 0 and d.ours in ("validate", "504", "stored-error", "refused")
        ),
        (Step(origin=Origin(status=503)), Step(wait=61, control="max-stale")),
    ),
    Explained(
        "max-stale-leaves-the-origins-window",
        "§5.2.1.2 says what a client takes at least, and is advice; the origin's own window stays open.",
        "request",
        window_after_max_stale,
        (Step(origin=Origin(control=f"max-age=60, {WINDOW}")), Step(wait=75, control="max-stale=10")),
    ),
    Explained(
        "disconnected-has-an-end",
        "§4.2.4 sets no end to serving stale while disconnected; the origin's stale-if-error does, else an "
        "hour.",
        "failure",
        beyond_the_hour,
        (Step(), Step(wait=Edge("default", 0), origin=None)),
    ),
    Explained(
        "a-304-means-what-was-asked-about",
        "§4.3.4 identifies by validators that many origins leave out of a 304, weaken or strengthen: with "
        "none that contradicts, it is about the one response that the request named.",
        "update",
        lambda d: d.ours == "validated" and d.theirs.startswith("§4.3.4"),
        (Step(origin=Origin(etag='"1"')), Step(wait=60, origin=Origin(confirms=True))),
    ),
    Explained(
        "a-304-for-another-tag-confirms",
        "§4.3.4: it updates no field. It still answers that what was asked about holds: the age starts anew.",
        "update",
        lambda d: d.ours == "confirmed" and d.theirs.startswith("§4.3.4"),
        (Step(origin=Origin(etag='"1"')), Step(wait=60, origin=Origin(etag='"2"', confirms=True))),
    ),
]
