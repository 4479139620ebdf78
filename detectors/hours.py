"""`Hours`: how many requests came in each hour of the last week, and how many of the next may be relied on.

A `LearnedNormal` says what is expected, and learns a first quiet night but slowly; whoever concludes anything from
silence needs the least that could be expected, and may know the week as it was.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from schemas.units import HOUR_US

DAYS: Final = 6  # before, whose same hour is looked at; the seventh is the same day of the week
WEEK: Final = 168  # hours
SIZE: Final = 176  # hours that are kept: a week, the hours beside, and as many as are asked of before
RECENT: Final = 3  # whole hours, in which there may have been less than before
DAY_US: Final = 24 * HOUR_US
NEVER_US: Final = 2**63 - 1


class HoursState(Struct, array_like=True):
    """As plain data."""

    first: int  # hour since the epoch in which it was first counted
    last: int
    counts: bytes  # float32 each; NaN: not known


class Hours:
    """Counts by hour since the epoch.

    >>> hours = Hours()
    >>> for hour in range(1000, 1060):
    ...     hours.add(hour, 600 if 9 <= hour % 24 < 18 else 0)
    >>> hours.usual(1060), hours.usual(1060 + 19)
    (600.0, 0.0)
    """

    __slots__ = ("_counts", "first", "last")

    def __init__(self, state: HoursState | None = None) -> None:
        self.first, self.last = (-1, -1) if state is None else (state.first, state.last)
        self._counts = array("f", bytes(4 * SIZE) if state is None else state.counts)

    def snapshot(self) -> HoursState:
        """`Hours(state)` goes on exactly where this one is."""
        return HoursState(self.first, self.last, self._counts.tobytes())

    def add(self, hour: int, count: int) -> None:
        """So many more in this hour."""
        if self.first < 0:
            self.first = self.last = hour
        for skipped in range(max(self.last, hour - SIZE) + 1, hour + 1):
            self._counts[skipped % SIZE] = 0
        self.last = max(self.last, hour)
        if hour > self.last - SIZE:
            self._counts[hour % SIZE] += count

    def lose(self, hour: int) -> None:
        """Nothing is to be known of the hours from the last one to this one: what happened was not normal."""
        last = self.last
        self.add(hour, 0)
        for lost in range(max(last, hour - SIZE + 1), hour + 1):
            self._counts[lost % SIZE] = math.nan

    def usual(self, hour: int) -> float:
        """How many may be relied on in this hour.

        The least of the same hour on the days before, as far as they are known, up to six; or that of the same hour
        a week before, if that is larger. Of an hour and the two beside it the least counts: clocks change, and nobody
        begins on the dot.
        """
        days = [known for day in range(1, DAYS + 1) if (known := self._least(hour - 24 * day)) is not None]
        return max(min(days, default=0.0), self._least(hour - WEEK) or 0.0)

    def expected(self, begin_us: int, end_us: int) -> float:
        """How many may be relied on from `begin_us` until `end_us`, of which the first day counts.

        Less, by as much as there were less in the last whole hours than could be relied on.
        """
        total = 0.0
        for _, so_far in self._sums(begin_us, min(end_us, begin_us + DAY_US)):
            total = so_far
        return total * self._share() if total > 0 else 0.0

    def passes_us(self, begin_us: int, count: float) -> int:
        """Until when at least no more than `count` are expected: where the hour begins in which that ends."""
        share = self._share()
        for hour, so_far in self._sums(begin_us, begin_us + DAY_US):
            if so_far * share > count:
                return max(begin_us, hour * HOUR_US)
        return NEVER_US

    def _sums(self, begin_us: int, end_us: int) -> Iterator[tuple[int, float]]:
        """Each hour, and how many came until its end in those that are relied on."""
        total = 0.0
        for hour in range(begin_us // HOUR_US, -(-end_us // HOUR_US)):
            start = hour * HOUR_US
            total += self.usual(hour) * (min(end_us, start + HOUR_US) - max(begin_us, start)) / HOUR_US
            yield hour, total

    def _share(self) -> float:
        recent = [hour for hour in range(self.last - RECENT, self.last) if self._knows(hour)]
        had, relied = sum(self._counts[hour % SIZE] for hour in recent), sum(map(self.usual, recent))
        return min(1.0, (had + 1) / (relied + 1))

    def _least(self, hour: int) -> float | None:
        beside = range(hour - 1, hour + 2)
        return min(self._counts[one % SIZE] for one in beside) if all(map(self._knows, beside)) else None

    def _knows(self, hour: int) -> bool:
        """Whether all of the hour is known: neither the first nor the last one is."""
        return max(self.first, self.last - SIZE) < hour < self.last and not math.isnan(self._counts[hour % SIZE])
