"""Knows how entries of the fleet's log come to count in this node's table.

Must not know where entries come from, nor what Redis is.
"""

import logging
from collections.abc import Callable, Sequence

from edgeproxy.errors import EdgeProxyError
from edgeproxy.fleet.entries import Event, Purge, decode, decode_event
from edgeproxy.fleet.marks import Marks
from edgeproxy.fleet.purge_log import Counted
from edgeproxy.fleet.purge_table import UNSETTLED, PurgeTable
from edgeproxy.fleet.redis_log import Entry
from edgeproxy.fleet.rules import PurgeKind, PurgeRule
from edgeproxy.fleet.unsettled import Unsettled

MAX_TOLD = 10  # skipped entries in one batch that get a log line each

RulesOf = Callable[[Event], Sequence[PurgeRule]]
"""What an event means here; raises EdgeProxyError for what is no URL, no prefix or no host."""

_log = logging.getLogger("edgeproxy.purge_log")


def no_events(event: Event) -> Sequence[PurgeRule]:
    """For a node that is not told what an event means: it fears the worst."""
    return [PurgeRule(PurgeKind.EVERYTHING)]


class Applying:
    """Applies entries; those that wait for this node's word are gathered in `owed`."""

    def __init__(self, table: PurgeTable, unsettled: Unsettled, counted: Counted, rules_of: RulesOf) -> None:
        self._table = table
        self._unsettled = unsettled
        self._counted = counted
        self._rules_of = rules_of
        self._told = 0
        self.marks = Marks()
        self.owed: list[Purge] = []

    def __repr__(self) -> str:
        return f"<Applying {self.marks!r} owed={len(self.owed)}>"

    def begin_batch(self) -> None:
        """The next entries were read together."""
        self._told = 0

    def own(self, purge: Purge) -> bool:
        """A purge of this node, the moment it is given; whether its position is known already."""
        mark = self.marks.get(purge.since)
        if not purge.rules:
            self.marks.set(purge.id, self._table.mark(), None)
            return True
        position = UNSETTLED if mark is None or mark.position is None else mark.position
        self._apply(purge.rules, position, None if mark is None else mark.order)
        return position != UNSETTLED

    def entry(self, entry: Entry) -> None:
        """What was read from the log."""
        if entry.event is not None:
            self._event(entry)
            return
        purge = decode(entry.data)
        if purge is None:
            _log.warning(
                "purge %d is not understood by this version: all that is stored counts as purged",
                entry.position,
            )
            self._table.apply(PurgeRule(PurgeKind.EVERYTHING), entry.position)
        elif self._unsettled.take_back(purge.id, entry.position) is not None:
            mark = self.marks.get(purge.id)
            if mark is not None:
                mark.position = entry.position
        else:
            self._others(purge, entry.position)

    def _others(self, purge: Purge, position: int) -> None:
        if not purge.rules:
            self.marks.set(purge.id, self._table.mark(), position)
            return
        mark = self.marks.get(purge.since)
        if mark is not None and mark.position is not None:
            self._apply(purge.rules, mark.position, mark.order)
        else:
            self._apply(purge.rules, position, None)
        if purge.count:
            self.owed.append(purge)

    def _apply(self, rules: Sequence[PurgeRule], position: int, order: int | None) -> None:
        for rule in rules:
            self._table.apply(rule, position, order)
            self._counted(rule.kind)

    def _event(self, entry: Entry) -> None:
        try:
            rules = self._rules_of(decode_event(entry.event or b""))
        except (EdgeProxyError, ValueError) as error:
            self._told += 1
            if self._told <= MAX_TOLD:
                _log.warning(
                    "entry %d of the purge log, written by another service, is skipped: %s",
                    entry.position,
                    error,
                )
            return
        except Exception:  # it must not stop what comes after it
            _log.exception("entry %d of the purge log: all that is stored counts as purged", entry.position)
            rules = [PurgeRule(PurgeKind.EVERYTHING)]
        self._apply(rules, entry.position, None)
