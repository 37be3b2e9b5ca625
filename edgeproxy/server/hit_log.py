"""Access log lines for hits of the fast path, of parts that were formatted once.

Must not know how lines are written. Of a line only the time is new with each hit: what the client
is called is formatted once a connection, the rest once a head and answer.
"""

import re
from collections.abc import Callable

from edgeproxy.clock import Clock
from edgeproxy.edge.hot import Hot
from edgeproxy.edge.ledger import Outcome
from edgeproxy.server.listening import Answers
from edgeproxy.telemetry.access_log import MAX_QUEUE, AccessLog, Record, client_part, rest_part, time_part

ENTRY_OVERHEAD = 400
"""Bytes that a remembered line costs beyond its head and itself."""
MOST_HEAD = 4096
"""Bytes of the longest head whose line is remembered."""

_LOGGED = re.compile(rb"\r\n(host|user-agent|referer|x-request-id):[ \t]*([^\r]*)", re.IGNORECASE)


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
        self._known: dict[bytes, tuple[Hot, bytes]] = {}
        self._old: dict[bytes, tuple[Hot, bytes]] = {}
        self._remembered = 0
        self._time = b""
        self._until = 0.0  # the monotonic second up to which that holds

    def __repr__(self) -> str:
        return f"<HitLog lines={len(self._known)}+{len(self._old)} of {self._log!r}>"

    def of(self, client: bytes, fast: Answers) -> Callable[[bytes], None]:
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

    def _learn(self, data: bytes, hot: Hot) -> tuple[Hot, bytes]:
        """The end of the line for this head, formatted; remembered for the next time."""
        known = self._old.get(data)
        if known is None or known[0] is not hot:
            known = (hot, self._end_of(data, hot))
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

    @staticmethod
    def _end_of(head: bytes, hot: Hot) -> bytes:
        method, _, rest = head.partition(b" ")
        fields = {name.lower(): value for name, value in _LOGGED.findall(head)}
        return rest_part(
            Record(
                time=0.0,
                client=b"",
                method=method,
                host=fields.get(b"host", b"").lower(),
                path=rest.partition(b" ")[0],
                status=hot.status,
                bytes=hot.sent,
                duration=0.0,
                route=hot.route,
                outcome=Outcome.HIT.value,
                request_id=fields.get(b"x-request-id", b""),
                referer=fields.get(b"referer", b""),
                user_agent=fields.get(b"user-agent", b""),
                reason="fresh",
            )
        )
