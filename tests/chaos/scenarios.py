"""What is tried: each scenario is a name, what is broken, and what clients may see of it.

To add one: a line in SCENARIOS; for a new way of an origin to misbehave, a function in `misbehaviour`, for
anything else a context manager in `faults`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import faults
from tests.chaos.bench import Bench
from tests.chaos.faults import Fault, clock_steps, dns_is, misbehaves, stops

IN_FLIGHT = "requests that the worker held are cut"
NO_DISK = "NO DISK COULD BE FILLED HERE: user namespaces are not allowed"
NO_CLOCK = "NO CLOCK COULD BE STEPPED HERE: there is no C compiler"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    `part` is what is broken: scenarios of different parts may come together, but for `all`. Clients may see
    failures only where `may_fail` says why. `kinds` are the URLs asked for: (c)ached for 2 s, (k)ept for an
    hour, (u)ncacheable, (n) cached for 1 s, stored already, and served stale on any error, (w)ide: ever
    new ones. `lacks` says why it cannot be tried here.
    """

    name: str
    title: str
    part: str
    fault: Fault
    may_fail: str = ""
    kinds: tuple[str, ...] = ("c", "c", "c", "k", "u")
    lacks: Callable[[Bench], str] = lambda bench: ""
    short: bool = True
    may_log: bool = False  # of tracebacks


def _origin(name: str, title: str, fault: Fault | None = None, short: bool = True) -> Scenario:
    broken = fault or misbehaves(name.replace("-", "_"))
    return Scenario(name, f"one origin of three {title}", "origin", broken, short=short)


SCENARIOS = (
    _origin("stops", "stops", fault=stops()),
    _origin("suspended", "is suspended (SIGSTOP)", fault=faults.origin_suspended, short=False),
    _origin(
        "accepts-nothing", "accepts nothing, its queue is full", fault=faults.origin_accepts_nothing,
        short=False,
    ),
    _origin("hangs", "takes requests and says nothing"),
    _origin("closes", "takes requests and closes", short=False),
    _origin("resets", "takes requests and resets", short=False),
    _origin("hangs-after-head", "hangs after the head"),
    _origin("resets-mid-body", "resets in the middle of bodies"),
    _origin("sends-less", "sends less than Content-Length"),
    _origin("sends-more", "sends more than Content-Length", short=False),
    _origin("garbage", "answers garbage"),
    _origin("bad-chunks", "breaks its chunked coding in the middle", short=False),
    _origin("big-head", "answers heads of 10 MB", short=False),
    _origin("errors", "answers 503"),
    _origin("drips-head", "drips its heads", short=False),
    _origin("drips-body", "drips its bodies"),
    Scenario(
        "all-stop", "all origins stop; asked for is what may be served stale", "origin", stops(3),
        kinds=("n",),
    ),
    Scenario(
        "all-errors", "all origins answer 503; the same", "origin", misbehaves("errors", all_of_them=True),
        kinds=("n",), short=False,
    ),
    Scenario(
        "all-stop-mixed", "all origins stop; all is asked for", "origin", stops(3),
        "what is not stored cannot be had", short=False,
    ),
    Scenario("dns-silent", "DNS answers nothing", "dns", dns_is("silent")),
    Scenario("dns-broken", "DNS answers SERVFAIL", "dns", dns_is("broken"), short=False),
    Scenario("dns-empty", "DNS answers NXDOMAIN", "dns", dns_is("empty"), short=False),
    Scenario("origin-moves", "an origin moves to another address", "dns", faults.origin_moves, short=False),
    Scenario("redis-killed", "Redis is killed, and back empty", "redis", faults.redis_killed, short=False),
    Scenario("redis-paused", "Redis hangs", "redis", faults.redis_paused),
    Scenario("redis-emptied", "Redis is flushed", "redis", faults.redis_emptied, short=False),
    Scenario("redis-full", "Redis is full", "redis", faults.redis_full),
    Scenario(
        "worker-killed", "a worker of two is killed", "node", faults.worker_killed, IN_FLIGHT,
        short=False,
    ),
    Scenario("worker-late", "a worker of two is suspended for a moment", "node", faults.worker_late),
    Scenario("worker-hung", "a worker of two hangs", "node", faults.worker_hung, IN_FLIGHT, short=False),
    Scenario(
        "disk-full", "the disk is full", "disk", faults.disk_full, kinds=("c", "k", "u", "w", "w", "w"),
        lacks=lambda bench: "" if bench.can_fill_disk else NO_DISK,
    ),
    Scenario(
        "clock-steps", "the clock steps an hour ahead, then an hour back", "clock", clock_steps(3600, -3600),
        lacks=lambda bench: "" if bench.can_step_clock else NO_CLOCK,
    ),
    Scenario(
        "clock-and-worker", "the clock steps an hour, then a worker is killed", "node",
        faults.clock_steps_and_worker_ends, IN_FLIGHT,
        lacks=lambda bench: "" if bench.can_step_clock else NO_CLOCK,
        short=False,
    ),
    Scenario(
        "files", "no file descriptors are left", "node", faults.descriptors_exhausted,
        "connections beyond what may be open wait, or are closed", short=False,
    ),
    Scenario(
        "memory", "no memory is left", "node", faults.memory_exhausted,
        "a worker without memory gives up requests, or ends and is replaced", may_log=True,
        short=False,
    ),
    Scenario(
        "supervisor-killed", "the supervisor is killed; another node starts in its place", "all",
        faults.supervisor_killed, "nobody listens until the new node does",
    ),
)  # fmt: skip
