"""When a fresh response is revalidated ahead of its end, so that it never expires in front of a client.

Must not know clocks, chance or requests: time, draw and count are arguments. Optimal probabilistic early
expiration (XFetch; Vattani, Chierichetti, Lowenstein 2015), for many requests judged at once.
"""

from math import exp, expm1, log, log1p

NEVER = 50.0
"""So many times the scale ahead of its end, not one request in 10^21 would revalidate."""


def early_chance(left: float, scale: float, requests: int, step: float = 0.0) -> float:
    """The chance, 0 to 1, that any of `requests` within the next `step` seconds revalidates early.

    `left` are the seconds of freshness left, `scale` is beta times the seconds that the origin takes. One
    request with t seconds left does so with chance exp(-t/scale), which is XFetch's rule
    `-scale * ln(rand) >= t`; that they come evenly over `step` gives the mean of it.
    """
    if scale <= 0.0 or requests <= 0:
        return 0.0
    ends = max(0.0, left - step)
    if ends >= NEVER * scale:
        return 0.0
    if left <= 0.0:
        return 1.0
    step = left - ends
    each = exp(-ends / scale)
    if step > 1e-9 * scale:  # else the mean is of no width, and cancels out
        each *= -expm1(-step / scale) * scale / step
    return 1.0 if each >= 1.0 else -expm1(requests * log1p(-each))


def revalidates_early(left: float, scale: float, requests: int, draw: float, step: float = 0.0) -> bool:
    """Whether to revalidate now, by a `draw` that is even over [0, 1); the rest as in `early_chance`."""
    return draw < early_chance(left, scale, requests, step)


def ahead_of(scale: float, requests: int) -> float:
    """How many seconds ahead of its end a response is revalidated in the mean, where `requests` draw at once.

    The mean of the largest of so many exponential draws: scale * (1 + 1/2 + ... + 1/n), close to
    scale * (ln n + 0.577).
    """
    if requests <= 0:
        return 0.0
    if requests < 100:
        return scale * sum(1.0 / n for n in range(1, requests + 1))
    return scale * (log(requests) + 0.5772156649 + 0.5 / requests)
