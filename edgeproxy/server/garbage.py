"""How rarely the garbage collector looks at how little, and how long that holds the worker up.

Must not know what is stored: stored responses are nothing that it looks at (`store.memory`).
"""

import gc
import time
from typing import Literal

from edgeproxy.telemetry.counters import Counters, Histogram

THRESHOLDS = (20_000, 20, 50)
"""Allocations between two looks at what is young, and of those between two at what is older; 700 costs a
request a fifth."""


def settle() -> None:
    """To be called once all is built: what is there now stays, and need not be looked at again."""
    gc.collect()
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()


class Pauses:
    """Counts the collector's pauses, by generation, until closed."""

    def __init__(self, counters: Counters) -> None:
        self._by_generation: list[Histogram] = [
            counters.histogram("edgeproxy_gc_pause_seconds", str(generation)) for generation in range(3)
        ]
        self._began = 0.0
        gc.callbacks.append(self._note)

    def __repr__(self) -> str:
        return "<Pauses of the garbage collector>"

    def close(self) -> None:
        """Count no more."""
        gc.callbacks.remove(self._note)

    def _note(self, phase: Literal["start", "stop"], told: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._by_generation[told["generation"]].observe(time.perf_counter() - self._began)
