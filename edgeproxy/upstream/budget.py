"""How many retries an upstream can bear, so that an outage is not multiplied.

Must not know why a request is tried again.
"""

from collections import deque

WINDOW = 10
FLOOR_PER_SECOND = 10


class RetryBudget:
    """Retries allowed over the last ten seconds: a share of the requests, or ten a second if larger.

    `requests` is counted up by the caller, cheaply; `tick` is called once a second.
    """

    __slots__ = ("_old_requests", "_old_retries", "_past", "floor", "requests", "retries", "share")

    def __init__(self, share: float, floor: int = WINDOW * FLOOR_PER_SECOND) -> None:
        self.share = share
        self.floor = floor
        # this second
        self.requests = 0
        self.retries = 0
        # the seconds before it
        self._past: deque[tuple[int, int]] = deque()
        self._old_requests = 0
        self._old_retries = 0

    def __repr__(self) -> str:
        used, allowed = self._old_retries + self.retries, self.allowed
        return f"<RetryBudget {used}/{allowed}>"

    @property
    def allowed(self) -> int:
        """Retries that the window may hold now."""
        return max(self.floor, int(self.share * (self._old_requests + self.requests)))

    def take(self) -> bool:
        """Claim one retry; False when the budget is spent."""
        if self.share <= 0 or self._old_retries + self.retries >= self.allowed:
            return False
        self.retries += 1
        return True

    def tick(self) -> None:
        """A second has passed."""
        self._past.append((self.requests, self.retries))
        self._old_requests += self.requests
        self._old_retries += self.retries
        self.requests = self.retries = 0
        if len(self._past) >= WINDOW:
            requests, retries = self._past.popleft()
            self._old_requests -= requests
            self._old_retries -= retries
