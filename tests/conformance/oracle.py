"""A second reading of RFC 9111 and its family (5861, 8246, 9213), to hold edgeproxy's against.

Written from the RFCs alone, plain and slow, and on purpose of another make: messages are pairs of strings,
nothing is precomputed, each answer is worked out anew from the exchanges. Must not know edgeproxy, nor what
an operator may configure. Where an RFC says MAY, this says yes.
"""

import calendar
import math
import time
from dataclasses import dataclass

Pairs = tuple[tuple[str, str], ...]
Said = list[tuple[str, str | None]]
"""Directives in order, each with its argument."""

FOREVER = 2**31  # RFC 9111 §1.2.2
HOP_BY_HOP = ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
# RFC 9110 §15: the final status codes that it defines, less 206, whose parts this reading does not combine.
DEFINED = [200, 201, 202, 203, 204, 205, *range(300, 306), 307, 308, *range(400, 418), 421, 422, 426]
DEFINED += range(500, 506)
BY_DEFAULT = "200 203 204 206 300 301 308 404 405 410 414 501"  # RFC 9110 §15.1
ERRORS = "500 502 503 504"  # RFC 5861 §4


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    url: str
    fields: Pairs


@dataclass(frozen=True)
class Answered:
    """A response, the wall seconds when its request left, and when it came."""

    status: int
    fields: Pairs
    left: float
    came: float


@dataclass(frozen=True)
class Kept:
    """A stored exchange, and each later answer that updated it, with the request that brought it."""

    asked: Asked
    answered: Answered
    updates: tuple[tuple[Asked, Answered], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What to do: reuse, reuse-stale, validate, forward or 504; with what, how old, and by which clause."""

    do: str
    clause: str
    kept: Kept | None = None
    age: int | None = None


# --- messages


def values(fields: Pairs, name: str) -> list[str]:
    return [value for found, value in fields if found.lower() == name]


def members(fields: Pairs, name: str) -> list[str]:
    """The members of a list-based field, all its lines together (RFC 9110 §5.6.1)."""
    found, member, quoted, escaped = [], "", False, False
    for sign in ",".join(values(fields, name)):
        if sign == "," and not quoted:
            found.append(member.strip(" \t"))
            member = ""
            continue
        if sign == '"' and not escaped:
            quoted = not quoted
        escaped = sign == "\\" and quoted and not escaped
        member += sign
    return [one for one in [*found, member.strip(" \t")] if one]


def seconds_of_date(text: str) -> int | None:
    """An HTTP-date (RFC 9110 §5.6.7) as seconds since 1970."""
    for form in ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"):
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    return None


def said(fields: Pairs, name: str = "cache-control") -> Said:
    directives: Said = []
    for member in members(fields, name):
        word, equals, argument = member.partition("=")
        if argument[:1] == '"' and argument[-1:] == '"' and len(argument) > 1:
            argument = argument[1:-1].replace("\\", "")
        directives.append((word.lower(), argument if equals else None))
    return directives


def governing(fields: Pairs) -> tuple[Said, bool]:
    """The directives for a CDN's cache, and whether a targeted field gave them (RFC 9213 §2.2)."""
    # Of a key the last member counts (RFC 9651 §3.2).
    last = dict(member.partition("=")[::2] for member in members(fields, "cdn-cache-control"))
    for word, argument in last.items():
        wants_number = word in ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")
        if wants_number != argument.isdecimal() or not (wants_number or argument[:1] in ("", '"')):
            return said(fields), False  # of a wrong type: the field is ignored (§2.1)
    targeted = [(word, argument.strip('"') or None) for word, argument in last.items()]
    return (targeted, True) if targeted else (said(fields), False)


def first(directives: Said, name: str) -> tuple[str | None] | None:
    return next(((argument,) for found, argument in directives if found == name), None)


def has(directives: Said, *names: str) -> bool:
    return any(found in names for found, _ in directives)


def unqualified(directives: Said, name: str) -> bool:
    return any(found == name and not argument for found, argument in directives)


def number(directives: Said, name: str) -> int | None:
    """Delta-seconds; None where absent or invalid."""
    found = first(directives, name)
    if found is None or found[0] is None or not found[0].isdecimal():
        return None
    return min(int(found[0]), FOREVER)


def withheld(fields: Pairs) -> set[str]:
    """The fields that no-cache and private name (RFC 9111 §5.2.2.4, §5.2.2.7)."""
    listed = [arg for name, arg in governing(fields)[0] if name in ("no-cache", "private") and arg]
    return {part.strip().lower() for part in ",".join(listed).split(",")} - {""}


# --- the stored response


def current(kept: Kept) -> Answered:
    """The stored response as its updates have left it (RFC 9111 §3.1, §3.2)."""
    now_is = kept.answered
    fields = with_date(kept.answered)
    for _, update in kept.updates:
        new = with_date(update)
        # Old Age, of the old answer's hop, says nothing of this one.
        names = {name.lower() for name, _ in new} | {"age"}
        content = ("content-length", "content-encoding", "content-range", "set-cookie")
        fields = tuple(line for line in fields if line[0].lower() not in names or line[0].lower() in content)
        fields += tuple(line for line in new if line[0].lower() not in content)
        now_is = Answered(kept.answered.status, (), update.left, update.came)
    hidden = withheld(fields) | set(HOP_BY_HOP)
    shown = tuple(line for line in fields if line[0].lower() not in hidden)
    return Answered(kept.answered.status, shown, now_is.left, now_is.came)


def with_date(answered: Answered) -> Pairs:
    """RFC 9110 §6.6.1: what comes without Date gets that of its arrival."""
    if values(answered.fields, "date"):
        return answered.fields
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(math.floor(answered.came)))
    return (*answered.fields, ("Date", stamp))


def dated(answered: Answered) -> float:
    written = values(with_date(answered), "date")[0]
    read = seconds_of_date(written)
    return answered.came if read is None else read


def age_at(answered: Answered, now: float) -> float:
    """RFC 9111 §4.2.3. Dates are in whole seconds: so is the clock that they are compared with."""
    age_field = members(answered.fields, "age")
    age_value = int(age_field[0]) if age_field and age_field[0].isdecimal() else 0
    apparent_age = max(0.0, math.floor(answered.came) - dated(answered))
    corrected_age_value = min(age_value, FOREVER) + (answered.came - answered.left)
    return max(apparent_age, corrected_age_value) + (now - answered.came)


def explicit(answered: Answered) -> float | None:
    """The first of RFC 9111 §4.2.1's list that is there; what is invalid counts as stale."""
    directives, targeted = governing(answered.fields)
    for name in ("s-maxage", "max-age"):
        if has(directives, name):
            return number(directives, name) or 0
    expires = values(answered.fields, "expires")
    if targeted or not expires:
        return None
    until = seconds_of_date(expires[0])
    return 0 if until is None else max(0, until - dated(answered))


def lifetime(answered: Answered) -> float:
    stated = explicit(answered)
    if stated is not None:
        return stated
    modified = values(answered.fields, "last-modified")
    since = seconds_of_date(modified[0]) if modified else None
    allowed = str(answered.status) in BY_DEFAULT.split() or has(governing(answered.fields)[0], "public")
    # §4.2.2 leaves it to the cache: the "typical setting" of a tenth, for a day at most.
    return max(0.0, min((dated(answered) - since) * 0.1, 86400)) if allowed and since is not None else 0.0


def staleness(kept: Kept, now: float) -> float:
    """Seconds since its end of freshness; negative before."""
    answered = current(kept)
    return age_at(answered, now) - lifetime(answered)


# --- §3: storing


def refused_storage(asked: Asked, answered: Answered) -> str | None:
    """Which clause of §3 forbids a shared cache to store this; None where none does."""
    directives, _ = governing(answered.fields)
    if asked.method not in ("GET", "HEAD"):
        return "method"
    if not 200 <= answered.status <= 599:
        return "not final"
    if answered.status in (206, 304):
        return "206 or 304 not understood"
    if has(directives, "must-understand"):
        if answered.status not in DEFINED:
            return "must-understand"
    elif has(directives, "no-store"):
        return "no-store"
    if has(said(asked.fields), "no-store"):
        return "request no-store"
    if unqualified(directives, "private"):
        return "private"
    if values(asked.fields, "authorization") and not shared_though_authorized(answered):
        return "§3.5"
    by_default = str(answered.status) in BY_DEFAULT.split()
    if not (has(directives, "public") or explicit(answered) is not None or by_default):
        return "nothing that allows it"
    return None


def shared_though_authorized(answered: Answered) -> bool:
    return has(governing(answered.fields)[0], "must-revalidate", "public", "s-maxage")


# --- §4: reuse


def fields_match(kept: Kept, asked: Asked) -> bool:
    """§4.1; the request that last confirmed the response is the one that it answers now."""
    answers = kept.updates[-1][0] if kept.updates else kept.asked
    names = [name.lower() for name in members(current(kept).fields, "vary")]
    return "*" not in names and all(
        (bool(values(answers.fields, name)), members(answers.fields, name))
        == (bool(values(asked.fields, name)), members(asked.fields, name))
        for name in names
    )


def choose(asked: Asked, history: list[Kept]) -> Kept | None:
    """§4, §4.1: the most recent by Date; one that forgot Vary only where none with Vary matches."""
    of_target = [kept for kept in history if kept.asked.url == asked.url]
    matching = [kept for kept in of_target if fields_match(kept, asked)]
    negotiated = [kept for kept in matching if values(current(kept).fields, "vary")]
    found = None
    for kept in negotiated or matching:
        if found is None or recency(kept) >= recency(found):
            found = kept
    return found


def recency(kept: Kept) -> tuple[float, float]:
    answered = current(kept)
    return dated(answered), answered.came


def read(asked: Asked, history: list[Kept], now: float) -> Verdict:
    """What a request gets from these stored exchanges."""
    if asked.method not in ("GET", "HEAD"):
        return Verdict("forward", "§4: method")
    verdict = _read(asked, choose(asked, history), now)
    if has(said(asked.fields), "only-if-cached") and not verdict.do.startswith("reuse"):
        return Verdict("504", f"§5.2.1.7, for {verdict.clause}", verdict.kept)
    return verdict


def _read(asked: Asked, kept: Kept | None, now: float) -> Verdict:
    if kept is None:
        return Verdict("forward", "§4: nothing matches")
    answered = current(kept)
    if ever_authorized(kept) and not shared_though_authorized(answered):
        return Verdict("forward", "§3.5")
    refusal = refused_reuse(asked, kept, now)
    stale = staleness(kept, now) >= 0
    if refusal is None and stale:
        refusal = refused_stale(asked, kept, now)
    if refusal:
        return Verdict("validate", refusal, kept)
    age = math.floor(age_at(answered, now))
    return Verdict("reuse-stale" if stale else "reuse", "§4", kept, age)


def ever_authorized(kept: Kept) -> bool:
    return any(
        values(asked.fields, "authorization") for asked in [kept.asked, *(who for who, _ in kept.updates)]
    )


def wishes_of(asked: Asked) -> Said:
    """§5.2.1, and §5.4 for Pragma where there is no Cache-Control."""
    if not values(asked.fields, "cache-control") and "no-cache" in members(asked.fields, "pragma"):
        return [("no-cache", None)]
    return said(asked.fields)


def refused_reuse(asked: Asked, kept: Kept, now: float) -> str | None:
    """What keeps it from reuse without validation, be it fresh or stale."""
    wishes, answered = wishes_of(asked), current(kept)
    directives, _ = governing(answered.fields)
    age, late = age_at(answered, now), staleness(kept, now)
    if unqualified(directives, "no-cache"):
        return "§5.2.2.4"
    if has(wishes, "no-cache"):
        return "§5.2.1.4"
    most, least = number(wishes, "max-age"), number(wishes, "min-fresh")
    # RFC 8246 §2.1: what is immutable is not validated while fresh, but for a signal as clear as no-cache.
    if most is not None and age > most and not (has(directives, "immutable") and late < 0):
        return "§5.2.1.1"
    if least is not None and -late < least:
        return "§5.2.1.3"
    return None


def refused_stale(asked: Asked, kept: Kept, now: float) -> str | None:
    """What keeps it from being served stale without a failed validation (§4.2.4)."""
    wishes, late = wishes_of(asked), staleness(kept, now)
    directives, _ = governing(current(kept).fields)
    if has(directives, "must-revalidate", "proxy-revalidate", "s-maxage"):
        return "§5.2.2.2, §5.2.2.8, §5.2.2.10"
    limit = first(wishes, "max-stale")
    if limit is not None and (limit[0] is None or number(wishes, "max-stale") is not None):
        return None if limit[0] is None or late <= int(limit[0]) else "§5.2.1.2"
    if limit is None and number(wishes, "max-age") is not None:
        return "§5.2.1.1: nothing stale without max-stale"
    return None if late <= (number(directives, "stale-while-revalidate") or -1) else "§4.2.4"


# --- §4.3: validation, and its failure


def update_refused(kept: Kept, update: Answered) -> str | None:
    """Why a 304 (§4.3.4), or a 200 to HEAD (§4.3.5), does not update the stored response it is about."""
    own, new = current(kept).fields, update.fields
    if update.status == 200:
        agree = all(
            values(new, name)[:1] in ([], values(own, name)[:1]) for name in ("etag", "last-modified")
        )
        return None if agree and 200 <= kept.answered.status <= 299 else "§4.3.5"
    tag, mine = values(new, "etag"), values(own, "etag")
    if tag and not tag[0].startswith("W/"):
        return None if tag == mine[:1] else "§4.3.4: strong"
    if tag or values(new, "last-modified"):
        same_tag = bool(tag and mine) and tag[0][2:] == mine[0].removeprefix("W/")
        dates = values(new, "last-modified"), values(own, "last-modified")
        return None if same_tag or (not tag and dates[0] == dates[1]) else "§4.3.4: weak"
    return "§4.3.4: no validator" if mine or values(own, "last-modified") else None


def after_failure(asked: Asked, kept: Kept, now: float, *, disconnected: bool) -> str | None:
    """Why a stored response may not stand in for an origin that failed (§4.2.4, §4.3.3, RFC 5861 §4)."""
    directives, _ = governing(current(kept).fields)
    late = staleness(kept, now)
    if unqualified(directives, "no-cache"):
        return "§5.2.2.4"
    if has(wishes_of(asked), "no-cache"):
        return "§5.2.1.4"
    if late < 0:
        return None  # the request's other wishes are advice (§5.2.1)
    if has(directives, "must-revalidate", "proxy-revalidate", "s-maxage"):
        return "§5.2.2.2, §5.2.2.8, §5.2.2.10"
    if disconnected or late <= (number(directives, "stale-if-error") or -1):
        return None
    return "§4.2.4"
