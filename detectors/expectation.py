"""`Expectation`: what is normal for a series now, and how far chance takes its values from that.

Three experts say what the value should be, and are weighed by their recent errors: the level; the level moved by what
the hour usually adds to it; and, of a series that is never negative, the level times what the hour usually makes of it.
What an hour usually is comes from the same hour on the days before, the same day of the week above all, once it was
seen for a whole hour; between the middles of two hours it changes evenly.

A value teaches no more than `CLIP` scales away from what was expected, so an incident hardly moves the normal. Only a
deviation to one side that lasts `ACCEPT_S` does: steps beyond `CLIP` scales count up, calm ones down (a CUSUM of signs:
Page 1954), and when the count is reached the recent mean is the new level. What an open episode withheld meanwhile is
then taught to its own hours of the week, so that a rise that comes every Monday is new only once. The other hours stay
as they were seen: against the new level they say as much as against the old one.

Averages are plain means while there is little history, and fade exponentially with a capped memory after, as River's
`stats.Mean` would with a weight.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, MutableSequence, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from detectors.memory import DAY_HOURS, DAY_S, HOUR_S, warm_steps
from detectors.surprise import SurpriseState
from detectors.tail import Tail

MIN_STEPS: Final = 30  # no memory is shorter than this many steps
LEVEL_S: Final = 2 * HOUR_S  # memory of the level
SCALE_S: Final = DAY_S
ERROR_S: Final = 7 * DAY_S  # memory of the experts' errors: a week, or after a weekend the level alone is believed, ...
ERROR_STEPS: Final = 48  # ... and how many steps it has at least
ERROR_CLIP: Final = 4.0  # scales; a larger error counts as one of this size
RECENT_SHARE: Final = 1 / 6  # of the time a new level must last, for how long it is remembered
ACCEPT_S: Final = 6 * HOUR_S  # how long a one-sided deviation must last to be the new normal, ...
ACCEPT_STEPS: Final = 6  # ... and for how many steps at least
CLIP: Final = 2.0  # scales; a larger surprise teaches as much as one of this size
SCALE_CLIP: Final = 6.0  # the spread learns from larger surprises than the level
FLOOR: Final = 0.02  # of the expected value: smaller deviations do not matter
MOST_HELD: Final = 8  # hours of one deviation that are withheld at most: what a new level takes, and some calm between
KNOWN_VISITS: Final = 0.9  # an hour seen less is not known: the last step of one may belong to the next
SLOTS: Final = 168  # hours of a week; hour 0 is a Thursday's, as the epoch began on one
MAX_VISITS: Final = 8.0  # visits of an hour of the week that are remembered
OWN_DAY: Final = 8.0  # how much more a visit on the same day of the week counts than one on another
MOST_RATIO: Final = 20.0  # how much an hour may make of the level
EXPERTS: Final = 3  # level, sum, product
TINY: Final = 1e-12  # added to errors, so that a ratio of two exists
BAND_P: Final = 1e-5  # low..high leaves out this much
BAND_LOW: Final = 4.0  # scales; low..high is never narrower ...
BAND_HIGH: Final = 40.0  # ... or wider than this to one side
LIMIT: Final = 1e15  # larger values are taken as this, so that squares stay finite

Usual = tuple[float | None, float | None, float | None]  # of the hour before, this one and the next; None: not known


class Band(NamedTuple):
    """What a value should be, and between what chance may put it; `scale` is the unit of surprise."""

    expected: float
    low: float
    high: float
    scale: float


def description(band: Band, level: float, steps: int, visits: float, own_visits: float) -> dict[str, Any]:
    """A band and where it comes from, as plain data.

    `season` is what the time of the week adds to the level, `noise` the unit of surprise; `low` and `high` are
    multiples of it away. All of these are in the value's unit.
    """
    return {
        "expected": band.expected,
        "level": level,
        "season": band.expected - level,
        "low": band.low,
        "high": band.high,
        "noise": band.scale,
        "steps": steps,
        "hours_of_day_seen": visits,
        "hours_of_week_seen": own_visits,
    }


def accept_steps(step_s: float) -> int:
    """How many steps a one-sided deviation must last to be the new normal."""
    return max(ACCEPT_STEPS, math.ceil(ACCEPT_S / step_s))


class Memories(NamedTuple):
    """How many steps each average remembers."""

    level: float
    recent: float
    variance: float
    errors: float


def memories(step_s: float) -> Memories:
    return Memories(
        max(MIN_STEPS, LEVEL_S / step_s),
        RECENT_SHARE * accept_steps(step_s),
        max(MIN_STEPS, SCALE_S / step_s),
        max(ERROR_STEPS, ERROR_S / step_s),
    )


def hour_share(step_s: float) -> float:
    """How much of an hour's visit one step is."""
    return min(1.0, step_s / HOUR_S)


class Withheld:
    """What an open episode withheld while the series deviated to one side, by hour: a mean, and of how many steps."""

    def __init__(self, hours: Iterable[tuple[int, float, int]] = ()) -> None:
        self._hours = {hour: (mean, steps) for hour, mean, steps in hours}

    def add(self, hour: int, value: float) -> None:
        """The oldest hours give way."""
        mean, steps = self._hours.get(hour, (0.0, 0))
        self._hours[hour] = mean + (value - mean) / (steps + 1), steps + 1
        if len(self._hours) > MOST_HELD:
            del self._hours[next(iter(self._hours))]

    def clear(self) -> None:
        self._hours.clear()

    def teach(self, means: MutableSequence[float], visits: MutableSequence[float], share: float) -> None:
        """To its own hours of the week, as if it had never been withheld; a step is this share of a visit."""
        for hour, (mean, steps) in self._hours.items():
            slot, seen = hour % SLOTS, min(1.0, steps * share)
            visits[slot] = min(float(visits[slot]) + seen, MAX_VISITS)
            before = float(means[slot])
            means[slot] = before + seen / float(visits[slot]) * (mean - before)
        self._hours.clear()

    def snapshot(self) -> tuple[tuple[int, float, int], ...]:
        return tuple((hour, *held) for hour, held in self._hours.items())


class NormalState(Struct, frozen=True, array_like=True):
    """A `LearnedNormal` as plain data. An average is its mean, `recent` also its weight; a tail its start and index."""

    step_s: float
    steps: int
    level: float
    season: float
    recent: tuple[float, float]
    variance: float
    errors: tuple[float, float, float]
    upper: tuple[float, float]
    lower: tuple[float, float]
    side_steps: int
    nonnegative: bool
    hour: int  # since the epoch: the one that `usual` belongs to
    usual: Usual  # what earlier visits say of the hour before it, of it and of the next one
    now: float | None  # what they say of the last step
    seen: bytes  # the hours of the week that were seen, one byte each; for each of these ...
    means: bytes  # ... its mean, float32
    visits: bytes  # ... and how often it was seen in whole hours, float32
    surprise: SurpriseState | None = None  # how surprising values are; None where nobody asks
    withheld: tuple[tuple[int, float, int], ...] = ()  # by an open episode: hours since the epoch, means, steps


class Expectation:
    """The model of one series, one value at a time."""

    def __init__(self, step_s: float) -> None:
        self.step_s = float(step_s)
        self.steps = 0
        self.level = self.season = self.variance = 0.0
        self.nonnegative = True
        self.now: float | None = None
        self.hour = -1  # since the epoch: the hour of the last value, ...
        self._usual: Usual = (None, None, None)  # ... and what earlier visits say of it and its neighbours
        self._errors = [0.0] * EXPERTS
        self._recent_n = self._recent = 0.0
        self._upper, self._lower = (Tail(BAND_P, BAND_LOW, BAND_HIGH) for _ in range(2))
        self._side_steps = 0
        self._withheld = Withheld()
        self._means, self._visits = _floats(SLOTS), _floats(SLOTS)  # by hour of the week
        self._warm_steps, self._accept_steps = warm_steps(step_s), accept_steps(step_s)
        self._memory, self._share = memories(step_s), hour_share(step_s)

    @property
    def warm(self) -> bool:
        return self.steps >= self._warm_steps

    def expect(self, time_s: float) -> Band:
        """What a value at `time_s` should be; nothing changes."""
        return self._band(self._experts(self.usual(time_s)))

    def usual(self, time_s: float) -> float | None:
        """What earlier visits say of that time of the week; None: nothing is known."""
        hour = int(time_s // HOUR_S)
        return self._between(self._usual if hour == self.hour else self._usual_at(hour), time_s, hour)

    def enter(self, time_s: float, value: float) -> None:
        """A value has come: what earlier visits say of its time is what counts."""
        hour = int(time_s // HOUR_S)
        if hour != self.hour:
            self._usual = self._usual_at(hour)  # from earlier visits: an hour does not teach itself
            self.hour = hour
        self.now = self._between(self._usual, time_s, hour)
        if self.steps == 0:
            self.level = value
            self.season = value if self.now is None else self.now

    def learn(self, value: float, *, teach: bool) -> Band:
        """Judge a value whose time was entered, then learn from it; the band is from before.

        Without `teach` it counts towards a new level, and teaches nothing until that is accepted.
        """
        experts = self._experts(self.now)
        band = self._band(experts)
        deviation = value - band.expected
        before = self._side_steps
        is_new = self._is_new_level(value, deviation, band.scale)
        if before * self._side_steps <= 0:
            self._withheld.clear()  # the deviation is over, or went over to the other side
        if self._side_steps and not teach:
            self._withheld.add(self.hour, value)
        if is_new:
            self._move()
        elif teach:
            self._learn(value, deviation, band.scale, experts)
        return band

    # -- what is expected ------------------------------------------------------------------------------------------

    def _usual_at(self, hour: int) -> Usual:
        """Going on to the next hour, what was known before the present one began stays: it does not teach itself."""
        if hour == self.hour + 1:
            return self._usual[1], self._usual[2], self._visited(hour + 1)
        return self._visited(hour - 1), self._visited(hour), self._visited(hour + 1)

    def _visited(self, hour: int) -> float | None:
        """The mean of this hour on the days seen, this day of the week's above all."""
        hour %= SLOTS
        total = weight = seen = 0.0
        for slot in range(hour % DAY_HOURS, SLOTS, DAY_HOURS):
            visits = self._visits[slot]
            seen += visits
            share = OWN_DAY * visits if slot == hour else visits
            total += share * self._means[slot]
            weight += share
        return total / weight if seen >= KNOWN_VISITS else None

    def _between(self, usual: Usual, time_s: float, hour: int) -> float | None:
        """Evenly from the middle of an hour to that of the next."""
        before, at, after = usual
        if at is None or self._share >= 1.0:
            return at
        part = (time_s - hour * HOUR_S) / HOUR_S - 0.5
        other = before if part < 0 else after
        return at if other is None else at + (other - at) * abs(part)

    def _experts(self, now: float | None) -> tuple[float, float, float | None]:
        level, season = self.level, self.season
        usual = level if now is None else now
        product = None
        if self.nonnegative and 0 < season < MOST_RATIO * level and level < MOST_RATIO * season:
            product = usual * (level / season)
        total = level + (usual - season)
        return level, 0.0 if self.nonnegative and total < 0 else total, product

    def _band(self, experts: tuple[float, float, float | None]) -> Band:
        level, total, product = experts
        by_level, by_sum, by_product = self._errors
        best = min(by_level, by_sum)
        if product is not None:
            best = min(best, by_product)
        one, two = _weight(best, by_level), _weight(best, by_sum)
        shift, weight = two * (total - level), one + two  # of experts that agree nothing is left but what they say
        if product is not None:
            three = _weight(best, by_product)
            shift += three * (product - level)
            weight += three
        expected = level + shift / weight
        if self.nonnegative and expected < 0:
            expected = 0.0
        scale = math.sqrt(self.variance) + (FLOOR * abs(expected) + 1e-9)
        low, high = expected - scale * self._lower.reach, expected + scale * self._upper.reach
        if self.nonnegative and low < 0:
            low = 0.0
        return Band(expected, low, high, scale)

    # -- learning --------------------------------------------------------------------------------------------------

    def _is_new_level(self, value: float, deviation: float, scale: float) -> bool:
        """Whether this value completes a one-sided deviation that lasted long enough."""
        self._recent_n = min(self._recent_n, self._memory.recent) + 1.0
        self._recent += 1.0 / self._recent_n * (value - self._recent)
        if not self.warm or abs(deviation) <= CLIP * scale:
            self._side_steps -= (self._side_steps > 0) - (self._side_steps < 0)  # calm steps count down
            return False
        side = 1 if deviation > 0 else -1
        self._side_steps = self._side_steps + side if self._side_steps * side >= 0 else side
        return abs(self._side_steps) >= self._accept_steps

    def _move(self) -> None:
        """To the recent mean: what the hours are then compared with is what this one usually is.

        What is never negative has grown or shrunk as a whole, nights as much as days, unless the sum shows anew that it
        has not.
        """
        by_level, by_sum, _ = self._errors
        if self._experts(self.now)[2] is not None:
            self._errors[1] = max(by_level, by_sum)
        self._withheld.teach(self._means, self._visits, self._share)
        self.level = self._recent
        self.season = self.level if self.now is None else self.now
        self._side_steps = 0

    def _learn(self, value: float, deviation: float, scale: float, experts: tuple[float, float, float | None]) -> None:
        steps, memory = self.steps, self._memory
        spread, taught = abs(deviation), value
        if steps >= MIN_STEPS:
            self._upper.learn(deviation / scale)
            self._lower.learn(-deviation / scale)
            spread = min(spread, SCALE_CLIP * scale)
            taught = value - deviation + max(-CLIP * scale, min(CLIP * scale, deviation))
        self._learn_errors(value, scale, experts)
        self.nonnegative = self.nonnegative and value >= 0
        self.variance += 1.0 / (min(steps, memory.variance) + 1.0) * (spread * spread - self.variance)
        gain = 1.0 / (min(steps, memory.level) + 1.0)
        self.season += gain * ((self.level if self.now is None else self.now) - self.season)
        self.level += gain * (taught - self.level)
        self._learn_hour(self.hour % SLOTS, taught)
        self.steps += 1

    def _learn_errors(self, value: float, scale: float, experts: tuple[float, float, float | None]) -> None:
        gain = 1.0 / (min(self.steps, self._memory.errors) + 1.0)
        most = ERROR_CLIP * scale if self.steps >= MIN_STEPS else math.inf
        errors = self._errors
        for i, expert in enumerate(experts):
            if expert is None:
                errors[i] = errors[0]  # it begins as good as the level
            else:
                errors[i] += gain * (min(abs(value - expert), most) - errors[i])

    def _learn_hour(self, slot: int, taught: float) -> None:
        visits = self._visits[slot] = min(self._visits[slot] + self._share, MAX_VISITS)
        self._means[slot] += self._share / visits * (taught - self._means[slot])

    # -- plain data ------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """What is expected at the last step, and why."""
        visits = [self._visits[slot] for slot in range(self.hour % DAY_HOURS, SLOTS, DAY_HOURS)]
        own = self._visits[self.hour % SLOTS]
        return description(self._band(self._experts(self.now)), self.level, self.steps, sum(visits), own)

    def snapshot(self, surprise: SurpriseState | None = None) -> NormalState:
        seen = [slot for slot in range(SLOTS) if self._visits[slot]]
        level, total, product = self._errors
        return NormalState(
            self.step_s,
            self.steps,
            self.level,
            self.season,
            (self._recent_n, self._recent),
            self.variance,
            (level, total, product),
            (self._upper.start, self._upper.xi),
            (self._lower.start, self._lower.xi),
            self._side_steps,
            self.nonnegative,
            self.hour,
            self._usual,
            self.now,
            bytes(seen),
            array("f", [self._means[slot] for slot in seen]).tobytes(),
            array("f", [self._visits[slot] for slot in seen]).tobytes(),
            surprise,
            self._withheld.snapshot(),
        )

    @classmethod
    def restore(cls, state: NormalState) -> Expectation:
        """The inverse."""
        one = cls(state.step_s)
        one.steps, one.level, one.season, one.variance = state.steps, state.level, state.season, state.variance
        one._recent_n, one._recent = state.recent
        one._errors = list(state.errors)
        one._upper.resume(*state.upper)
        one._lower.resume(*state.lower)
        one._side_steps, one.nonnegative = state.side_steps, state.nonnegative
        one.hour, one._usual, one.now = state.hour, state.usual, state.now
        _fill(one._means, state.seen, state.means)
        _fill(one._visits, state.seen, state.visits)
        one._withheld = Withheld(state.withheld)
        return one


def _weight(best: float, error: float) -> float:
    """Of an expert, against the best one's 1."""
    ratio = (best + TINY) / (error + TINY)
    return ratio * ratio * ratio


def _floats(size: int) -> array[float]:
    return array("f", bytes(4 * size))


def _fill(values: array[float], places: Sequence[int], packed: bytes) -> None:
    for place, value in zip(places, array("f", packed), strict=True):
        values[place] = value
