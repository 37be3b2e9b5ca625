"""Knows how often an operator wants to read the same thing: one line a kind in ten seconds.

Must not know what the faults mean.
"""

import logging


class FaultLog:
    """Log lines of one tier, each kind at most once in `interval` seconds, the rest counted."""

    def __init__(self, logger: logging.Logger, interval: float = 10.0) -> None:
        self._logger = logger
        self._interval = interval
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<FaultLog held={self._held}>"

    def warn(self, kind: str, now: float, message: str) -> None:
        """Log `message` as a warning, or count it where its kind was logged just now."""
        if now - self._last.get(kind, -self._interval) < self._interval:
            self._held[kind] = self._held.get(kind, 0) + 1
            return
        held = self._held.pop(kind, 0)
        self._last[kind] = now
        self._logger.warning("%s%s", message, f" (and {held} more like this)" if held else "")
