"""Access log lines for hits of the fast path, of parts that were formatted once.

Must not know how lines are written. Of a line only the time is new with each hit: what the client
is called is formatted once a connection, the rest once a head and answer.
"""

from collections.abc import Callable

import msgspec

from edgeproxy.clock import Clock
from edgeproxy.edge.fastpath import FastPath
from edgeproxy.edge.hot import Hot
from edgeproxy.edge.ledger import Outcome
from edgeproxy.edge.straight import Told
from edgeproxy.telemetry.access_log import MAX_QUEUE, AccessLog, Record, client_part, rest_part, time_part

ENTRY_OVERHEAD = 400
"""Bytes that a remembered line costs beyond its head and itself."""
MOST_HEAD = 4096
"""Bytes of the longest head whose line is remembered."""

_SHORT = 1024
_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b'"\\'))
"""What stands in JSON as it is."""


class HitLog:
    """The lines of all hits in one worker; `budget` in bytes is what remembered ones may take."""

    def __init__(self, log: AccessLog, clock: Clock, *, budget: int, reserve: Callable[[int], bool]) -> None:
        """`reserve` counts the budget where it belongs; False: nothing is to be remembered."""
        self._log = log
        self._clock = clock
        self._budget = budget
        self._reserve = reserve
        self._reserved = False
        # two generations, as of heads on the fast path
        self._known: dict[bytes, tuple[Hot | Told, bytes]] = {}
        self._old: dict[bytes, tuple[Hot | Told, bytes]] = {}
        self._remembered = 0
        self._time = b""
        self._until = 0.0  # the monotonic second up to which that holds

    def __repr__(self) -> str:
        return f"<HitLog lines={len(self._known)}+{len(self._old)} of {self._log!r}>"

    def of(self, client: bytes, fast: FastPath) -> Callable[[bytes], None]:
        """What logs a hit of this client, just answered by `fast`, given the bytes of its head."""
        queue, drop = self._log.queue, self._log.drop
        named, now = client_part(client), self._clock.monotonic

        def note(data: bytes) -> None:
            known = self._known.get(data)
            hot = fast.last
            if known is None or known[0] is not hot:
                if hot is None:
                    return
                known = self._learn(data, hot)
            moment = now()
            if moment >= self._until:
                self._restamp(moment)
            if len(queue) < MAX_QUEUE:
                queue.extend((self._time, named, known[1]))
            else:
                drop(1)

        return note

    def _restamp(self, moment: float) -> None:
        wall = self._clock.wall()
        self._time = time_part(wall)
        self._until = moment + 0.001 - wall % 0.001

    def _learn(self, data: bytes, hot: Hot | Told) -> tuple[Hot | Told, bytes]:
        """The end of the line for this head, formatted; remembered for the next time."""
        known = self._old.get(data)
        if known is None or known[0] is not hot:
            known = (hot, end_of(data, hot))
        size = len(data) + len(known[1]) + ENTRY_OVERHEAD
        if len(data) <= MOST_HEAD and (self._reserved or self._reserve_room()):
            self._known[data] = known
            self._remembered += size
            if self._remembered > self._budget // 2:
                self._old, self._known, self._remembered = self._known, {}, 0
        return known

    def _reserve_room(self) -> bool:
        self._reserved = self._reserve(self._budget)
        return self._reserved


def end_of(head: bytes, hot: Hot | Told) -> bytes:
    """The third part of the line for a hit: that of its `Record`, sooner where nothing has to be escaped."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0]
    lower = head.lower()
    host = _value(lower, lower, b"\r\nhost:")
    request_id = _value(head, lower, b"\r\nx-request-id:")
    referer = _value(head, lower, b"\r\nreferer:")
    agent = _value(head, lower, b"\r\nuser-agent:")
    told = b"".join((method, host, path, request_id, referer, agent))
    if len(told) > _SHORT or told.translate(None, _PLAIN):
        return rest_part(
            Record(
                time=0.0,
                client=b"",
                method=method,
                host=host,
                path=path,
                status=hot.status,
                bytes=hot.sent,
                duration=0.0,
                route=hot.route,
                outcome=Outcome.HIT.value,
                request_id=request_id,
                referer=referer,
                user_agent=agent,
                reason="fresh",
            )
        )
    more = b'"request_id":"%b",' % request_id if request_id else b""
    if referer:
        more += b'"referer":"%b",' % referer
    if agent:
        more += b'"user_agent":"%b",' % agent
    return (
        b'"method":"%b","host":"%b","path":"%b","status":%d,"bytes":%d,"duration":0.0,"route":%b,'
        b'"outcome":"hit",%b"reason":"fresh"}\n'
    ) % (method, host, path, hot.status, hot.sent, msgspec.json.encode(hot.route), more)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """The value of a field, the last where there are several; `name` is all up to its colon."""
    at = lower.rfind(name) + len(name)
    return head[at : head.find(b"\r", at)].strip(b" \t") if at >= len(name) else b""
