"""No more calls than the other side allows, in any window of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Clock = Callable[[], float]  # seconds


class Limiter:
    """At most `most` calls in any `window_s` seconds of the clock. Unlike a bucket it bursts without exceeding that."""

    def __init__(self, most: int, window_s: float, clock: Clock) -> None:
        self._window_s, self._clock = window_s, clock
        self._taken: deque[float] = deque(maxlen=most)

    def take(self) -> float | None:
        """Take a call; None: it is had. Else the seconds until there will be one, and nothing is taken."""
        now_s = self._clock()
        if len(self._taken) == self._taken.maxlen:
            wait_s = self._taken[0] + self._window_s - now_s
            if wait_s > 0:
                return wait_s
        self._taken.append(now_s)
        return None
