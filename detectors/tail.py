"""How far beyond its usual spread one side of a residual reaches: a quantile and a Pareto index, learned online.

The tail begins at its `TAIL_P` / 2 quantile, found by stochastic approximation: a value beyond it moves it up, any
other down, so that it stays where so many lie beyond. Of these the mean log excess is the tail's index xi, and the
quantile at a smaller probability p is start x (TAIL_P / p) ^ xi (Hill 1975, Weissman 1978).
"""

from __future__ import annotations

import math
from typing import Final

TAIL_P: Final = 0.02  # of both sides together
TAIL_GAIN: Final = 0.02
TAIL_RISE: Final = math.exp(TAIL_GAIN * (1 - TAIL_P / 2))  # of its start, with a value beyond it ...
TAIL_FALL: Final = math.exp(-TAIL_GAIN * TAIL_P / 2)  # ... and without
TAIL_FLOOR: Final = 1.5  # scales
TAIL_START: Final = 2.3  # scales: about the 1 % quantile of a normal distribution
XI_START: Final = 0.15  # Pareto index of the tail, ...
XI_LOW: Final = 0.05  # ... which never falls below ...
XI_HIGH: Final = 0.6  # ... or rises above these
EXCESS: Final = 1.5  # the largest log excess: one value of any size moves the index this much


def next_xi(xi: float, residual: float, start: float) -> float:
    """The Pareto index of a tail after one residual beyond its start."""
    excess = min(math.log(residual / start), EXCESS)
    return min(XI_HIGH, max(XI_LOW, xi + TAIL_GAIN * (excess - xi)))


def stretch(xi: float, p: float) -> float:
    """The quantile of a tail at `p`, in multiples of its start."""
    return float((TAIL_P / p) ** xi)


class Tail:
    """One side. `reach` is the quantile at `p`, in scales, within `low`..`high`."""

    __slots__ = ("_high", "_low", "_p", "_stretch", "reach", "start", "xi")

    def __init__(self, p: float, low: float, high: float, start: float = TAIL_START, xi: float = XI_START) -> None:
        self._p, self._low, self._high = p, low, high
        self.resume(start, xi)

    def resume(self, start: float, xi: float) -> None:
        """Become the tail that had these."""
        self.start, self.xi = start, xi
        self._stretch = stretch(xi, self._p)
        self._measure()

    def learn(self, residual: float, rise: float = TAIL_RISE, fall: float = TAIL_FALL) -> None:
        """Take one residual of this side (in scales; not positive if the value lay on the other side)."""
        start = self.start
        if residual > start:
            self.xi = next_xi(self.xi, residual, start)
            self._stretch = stretch(self.xi, self._p)
            self.start = start * rise
        else:
            self.start = max(TAIL_FLOOR, start * fall)
        self._measure()

    def _measure(self) -> None:
        self.reach = min(self._high, max(self._low, self.start * self._stretch))
