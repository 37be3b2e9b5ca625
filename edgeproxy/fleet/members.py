"""Knows the fleet's nodes as this one last heard of them: who is there, how far each is, who fell silent.

Must not know how nodes are heard of (`redis_log`), nor what they agree on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeproxy.fleet.cards import NodeCard, decode_card, entry
from edgeproxy.fleet.redis_log import Roll


@dataclass(frozen=True, slots=True)
class Heard:
    """A node, `age` seconds after it was last heard of."""

    position: int
    age: float


class Members:
    """The nodes beside `node`; one that was silent for `lease` seconds has lapsed."""

    def __init__(
        self, node: str, lease: float, forget: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._node = node
        self._lease = lease
        self._forget = forget
        self._heard: dict[str, Heard] = {}
        self._told = self._monotonic()
        self._former: dict[str, float] = {}  # of a log that was lost, until when they may count as pending

    def __repr__(self) -> str:
        return f"<Members {sorted(self._heard)} lapsed={sorted(self._heard.keys() - self.present)}>"

    def hear(self, roll: Roll) -> None:
        """Take in what Redis says."""
        self._told = self._monotonic()
        self._heard = {
            name: Heard(position, roll.silent.get(name, self._forget))
            for name, position in roll.positions.items()
            if roll.silent.get(name, self._forget) <= self._forget
        }

    def log_changed(self) -> None:
        """The log is another one: until its nodes are heard of again, they may not have gone over to it."""
        until = self._monotonic() + self._forget
        self._former |= dict.fromkeys(self.others, until)
        self._heard = {}

    @property
    def others(self) -> dict[str, int]:
        """The position of each node but this, lapsed ones included."""
        return {name: heard.position for name, heard in self._heard.items() if name != self._node}

    @property
    def present(self) -> set[str]:
        """The nodes whose lease holds."""
        return {name for name, heard in self._heard.items() if heard.age <= self._lease}

    @property
    def former(self) -> set[str]:
        """Nodes of a log that was lost, not heard of since."""
        now = self._monotonic()
        self._former = {
            name: until
            for name, until in self._former.items()
            if until > now and name not in self._heard and name != self._node
        }
        return set(self._former)

    def awaited(self, position: int) -> bool:
        """Whether a node whose lease holds has not applied that position."""
        present = self.present
        return any(at < position for name, at in self.others.items() if name in present)

    def describe(self, cards: dict[str, bytes], now: float) -> list[dict[str, Any]]:
        """The nodes whose lease holds, for the admin API; `now` in wall seconds."""
        since_told = self._monotonic() - self._told
        told = []
        for name in sorted(self.present - {self._node}):
            card, heard = decode_card(cards.get(name, b"")), self._heard[name]
            if heard.age + since_told <= self._lease:
                told.append(entry(name, card, now - heard.age - since_told, heard.position))
        return told


def replaced_by(name: str, card: NodeCard, cards: dict[str, bytes]) -> list[str]:
    """The nodes that cannot live any more, now that the one with this card does."""
    if not card.place:
        return []
    return [other for other, data in cards.items() if other != name and decode_card(data).place == card.place]
