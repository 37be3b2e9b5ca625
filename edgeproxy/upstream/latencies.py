"""How long the heads of an upstream's answers took lately.

Must not know what is made of it. Times are in seconds.
"""

KEPT = 256
RECKON_EVERY = 32
ENOUGH = 20
"""With fewer answers nobody knows what is usual."""


class Latencies:
    """A percentile of the last answers' times; `percentile` between 0 and 1.

    To add one costs a store; the percentile is reckoned anew after every few.
    """

    __slots__ = ("_at", "_kept", "_percentile", "_since", "usual")

    def __init__(self, percentile: float) -> None:
        self._percentile = percentile
        self._kept: list[float] = []
        self._at = 0
        self._since = 0
        self.usual: float | None = None

    def __repr__(self) -> str:
        return f"<Latencies of {len(self._kept)}, usual {self.usual}>"

    def add(self, seconds: float) -> None:
        """An answer's head came after that time."""
        kept = self._kept
        if len(kept) < KEPT:
            kept.append(seconds)
        else:
            kept[self._at] = seconds
            self._at = (self._at + 1) % KEPT
        self._since += 1
        if len(kept) >= ENOUGH and (self._since >= RECKON_EVERY or self.usual is None):
            self._since = 0
            self.usual = sorted(kept)[min(int(self._percentile * len(kept)), len(kept) - 1)]
