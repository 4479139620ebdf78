"""`Trend`: whether the cost of an endpoint's requests has risen for good, from one number an hour: its logarithm.

Of each hour the usual value is known from the weeks and days before: the mean of the same hour on days of the same
kind (Monday to Friday, or the weekend; UTC), the same day of the week counting for more. A weekend before which none
was seen teaches, and is not judged; nor is anything in the first `WARM_HOURS` that could be.

What is left, in units of its usual size, goes to River's Page-Hinkley test, which adds up what is above `DELTA` and
confirms a rise when the sum, from its lowest point on, exceeds `THRESHOLD`. That lowest point is when the rise began.
One hour counts for `CLIP` at most: a rise has lasted `THRESHOLD / (CLIP - DELTA)` = 5 hours at least. On noise of
20 % there is one false alarm in ten years or more, and a rise by 30 % is noticed after 18 hours (half of the cases).
"""

from __future__ import annotations

import math
from struct import Struct as Packing
from typing import Final

from msgspec import Struct
from river import stats
from river.drift import PageHinkley

DAY_H: Final = 24
SLOTS: Final = 7 * DAY_H  # hours of a week; hour 0 is a Thursday's, as the epoch began on one
WEEKEND: Final = frozenset({2, 3})  # Saturday and Sunday
OWN_DAY: Final = 8.0  # how much more a visit on the same day of the week counts than one on another
MOST_VISITS: Final = 8  # of an hour of the week that are remembered
WARM_HOURS: Final = 24  # that could have been judged, before any is
CLIP: Final = 2.5  # usual sizes: one hour counts for no more
LEARN_CLIP: Final = 3.0  # usual sizes: one hour teaches no more
DELTA: Final = 0.5  # usual sizes: half of what a rise by 30 % is above noise of 20 %
THRESHOLD: Final = 10.0
LEAST_SIZE: Final = 0.1  # of the logarithm: deviations by less than 10 % are never unusual
FIRST_SIZE: Final = 0.2  # taken for the usual size before any is known, ...
FIRST_WEIGHT: Final = 24  # ... as if it had been seen in so many hours
SIZE_HOURS: Final = 168  # memory of the usual size
MEAN_HOURS: Final = 168.0  # hours that the test's mean begins with: nothing above usual
RECENT_HOURS: Final = 6  # memory of how far above usual the cost is during a rise

FLOAT: Final = Packing("<f")
TestState = tuple[float, float, float, float]  # of River's test: weight and mean of all values, the sum, its lowest
UNTESTED: Final[TestState] = (MEAN_HOURS, 0.0, 0.0, math.inf)


class DriftTest(PageHinkley):
    """River's test with its state as plain data."""

    def __init__(self, state: TestState = UNTESTED) -> None:
        super().__init__(min_instances=1, delta=DELTA, threshold=THRESHOLD, alpha=1.0, mode="up")
        mean = _Mean()
        mean.n, mean.mean, self._sum_increase, self._min_increase = state
        self._x_mean = mean

    def take(self, value: float) -> bool:
        """Whether this value confirms a rise."""
        PageHinkley.update(self, value)
        return bool(self.drift_detected)

    @property
    def state(self) -> TestState:
        return self._x_mean.n, self._x_mean.get(), self._sum_increase, self._min_increase

    @property
    def is_lowest(self) -> bool:
        """Whether its sum has never been lower."""
        return bool(self._sum_increase <= self._min_increase)


class _Mean(stats.Mean):
    @property
    def mean(self) -> float:
        return float(self._mean)

    @mean.setter
    def mean(self, mean: float) -> None:
        self._mean = mean


class Trend(Struct, array_like=True):
    """One endpoint. All times are in hours since the epoch; values are natural logarithms."""

    means: bytes = bytes(SLOTS * FLOAT.size)  # by hour of the week
    visits: bytes = bytes(SLOTS)
    judged: int = 0  # hours of which the usual value was known
    variance: float = FIRST_SIZE * FIRST_SIZE
    test: TestState = UNTESTED
    since: int = -1  # the first hour above the test's lowest point, -1: none ...
    above: float = 0.0  # ... and what is above usual since then, on the average ...
    hours: int = 0  # ... of so many hours
    confirmed: int = -1  # the hour in which a rise was confirmed, -1: there is none

    def update(self, hour: int, value: float) -> None:
        """Take the value of an hour."""
        usual = self.usual(hour)
        if usual is None:
            self._learn(hour % SLOTS, value)
            return
        excess = value - usual
        if self.confirmed >= 0:
            self.hours = min(self.hours, RECENT_HOURS - 1) + 1
            self.above += (excess - self.above) / self.hours
            return
        size = max(LEAST_SIZE, math.sqrt(self.variance))
        self.judged += 1
        if self.judged > WARM_HOURS:
            self._test(hour, excess, max(-CLIP, min(CLIP, excess / size)))
        if self.confirmed < 0:
            taught = max(-LEARN_CLIP * size, min(LEARN_CLIP * size, excess))
            self.variance += (taught * taught - self.variance) / min(self.judged + FIRST_WEIGHT, SIZE_HOURS)
            self._learn(hour % SLOTS, usual + taught)

    def usual(self, hour: int) -> float | None:
        """What is known of an hour; None: nothing."""
        day, hour_of_day = divmod(hour % SLOTS, DAY_H)
        total = weight = 0.0
        for other in range(7):
            slot = other * DAY_H + hour_of_day
            if self.visits[slot] and (other in WEEKEND) == (day in WEEKEND):
                share = self.visits[slot] * (OWN_DAY if other == day else 1.0)
                total += share * self._mean(slot)
                weight += share
        return total / weight if weight else None

    def begin_anew(self) -> None:
        """The rise is over."""
        self.test = UNTESTED
        self.since, self.above, self.hours, self.confirmed = -1, 0.0, 0, -1

    def accept(self) -> None:
        """What it has risen to is usual from now on."""
        self.means = b"".join(FLOAT.pack(self._mean(slot) + self.above) for slot in range(SLOTS))
        self.begin_anew()

    def _test(self, hour: int, excess: float, units: float) -> None:
        test = DriftTest(self.test)
        is_confirmed = test.take(units)
        self.test = test.state
        if test.is_lowest:
            self.since, self.above, self.hours = -1, 0.0, 0
            return
        self.since = hour if self.since < 0 else self.since
        self.hours += 1
        self.above += (excess - self.above) / self.hours
        if is_confirmed:
            self.confirmed = hour

    def _learn(self, slot: int, value: float) -> None:
        visits = min(self.visits[slot] + 1, MOST_VISITS)
        mean = self._mean(slot)
        self.visits = _with(self.visits, slot, bytes([visits]))
        self.means = _with(self.means, slot * FLOAT.size, FLOAT.pack(mean + (value - mean) / visits))

    def _mean(self, slot: int) -> float:
        return float(FLOAT.unpack_from(self.means, slot * FLOAT.size)[0])


def _with(whole: bytes, place: int, part: bytes) -> bytes:
    return whole[:place] + part + whole[place + len(part) :]
