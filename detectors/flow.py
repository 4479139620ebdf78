"""`Flow`: the requests of one endpoint, or of a whole budget, as once-a-minute roll-ups tell of them, and its silences.

A silence is as long as the number of requests that could be relied on meanwhile (`hours.py`): a quiet night is none.
It says nothing as long as chance may bring it about: a Poisson count of mean ln 1e9 = 20.7 is 0 once in 1e9 times.
And nothing where it was as long before: the longest that ended by itself is remembered, and twice that is the limit.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from detectors.hours import Hours, HoursState
from detectors.inputs import MINUTE_US, Silence
from schemas.units import HOUR_US

CHANCE: Final = 20.72326583694641  # requests: ln 1e9
BEYOND: Final = 2.0  # times the longest silence that ended by itself
FADE: Final = 0.95  # of that one's length is left a day later
MOST_DAYS: Final = 60  # of fading at once


class FlowState(Struct, array_like=True):
    """As plain data."""

    partition: int
    since_us: int
    longest: float
    hours: HoursState


class Flow:
    """`since_us` is the end of the last minute that had requests, `partition` the one of the input that tells of it.

    `longest` is the longest silence that ended by itself, in requests.
    """

    __slots__ = ("_short", "hours", "longest", "partition", "since_us")

    def __init__(self, state: FlowState | None = None) -> None:
        self.partition, self.since_us, self.longest = -1, -1, 0.0
        self.hours = Hours()
        self._short: Silence | None = None  # one that cannot be too long yet; says nothing that the rest does not
        if state is not None:
            self.partition, self.since_us, self.longest = state.partition, state.since_us, state.longest
            self.hours = Hours(state.hours)

    def snapshot(self) -> FlowState:
        return FlowState(self.partition, self.since_us, self.longest, self.hours.snapshot())

    @property
    def limit(self) -> float:
        """How long a silence must be, in requests."""
        return max(CHANCE, BEYOND * self.longest)

    @property
    def known_us(self) -> int:
        """For how long it has been counted."""
        return (self.hours.last - self.hours.first) * HOUR_US

    def gap_us(self, minute_us: int) -> int:
        """For how long nothing came before the minute that ends then."""
        return 0 if self.since_us < 0 else max(0, minute_us - MINUTE_US - self.since_us)

    def is_short(self, silence: Silence) -> bool:
        """Whether no more requests than the limit could be relied on meanwhile.

        While it only grows longer that is not reckoned again before the hour in which it may change.
        """
        short = self._short
        if short is None or short.begin_us != silence.begin_us:
            short = self._short = Silence(silence.begin_us, self.hours.passes_us(silence.begin_us, self.limit))
        return silence.end_us <= short.end_us or self.hours.expected(*silence) <= self.limit

    def tell(self, minute_us: int, count: int) -> None:
        """So many came in the minute that ends then."""
        self._short = None
        hour = (minute_us - MINUTE_US) // HOUR_US
        for _ in range(min(MOST_DAYS, hour // 24 - self.hours.last // 24) if self.longest else 0):
            self.longest *= FADE
        self.hours.add(hour, count)
        self.since_us = max(self.since_us, minute_us)

    def remember(self, silence: Silence) -> None:
        """It ended by itself: call it before `tell`."""
        self._short = None
        self.longest = max(self.longest, self.hours.expected(*silence))

    def lose(self, minute_us: int) -> None:
        """The silence before that minute was none of its own: it teaches nothing."""
        self._short = None
        self.hours.lose((minute_us - MINUTE_US) // HOUR_US)
