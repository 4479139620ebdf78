"""`LearnedNormal`: what is expected now, learned online from one value per closed step.

A robust level, moved by the hour of the day and of the week once these have been seen. A value teaches no more
than `CLIP` scales away from what was expected, so an incident hardly moves the normal; a deviation to one side
that lasts `ACCEPT_S` is a new level and becomes the normal.

The averages are River's (`river.stats.Mean`), with a capped memory: plain means while there is little history,
exponentially fading ones after.
"""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

from msgspec import Struct
from river import stats

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
WARM_STEPS: Final = 60  # steps before anything is judged
MIN_STEPS: Final = 30  # no memory is shorter than this many steps
LEVEL_S: Final = 2 * HOUR_S  # memory of the level
SCALE_S: Final = 6 * HOUR_S  # memory of the spread
RECENT_SHARE: Final = 1 / 6  # of the time a new level must last, for how long it is remembered
ACCEPT_S: Final = 6 * HOUR_S  # how long a one-sided deviation must last to be the new normal, ...
ACCEPT_STEPS: Final = 12  # ... and for how many steps at least
CLIP: Final = 3.0  # scales; a larger surprise teaches as much as one of this size
SCALE_CLIP: Final = 6.0  # the spread learns from larger surprises than the level
FLOOR: Final = 0.02  # of the expected value: smaller deviations do not matter
SLOTS: Final = 168  # hours of a week; hour 0 is a Thursday's, as the epoch began on one
MAX_VISITS: Final = 8.0  # visits of an hour of the week that are remembered
OWN_DAY: Final = 8.0  # how much more a visit on the same day of the week counts than one on another
TAIL_P: Final = 0.02  # the tail begins at this quantile, ...
BAND_P: Final = 1e-5  # ... and low..high leaves out this much of it
TAIL_GAIN: Final = 0.02
TAIL_RISE: Final = math.exp(TAIL_GAIN * (1 - TAIL_P / 2))  # of its start, with a value beyond it ...
TAIL_FALL: Final = math.exp(-TAIL_GAIN * TAIL_P / 2)  # ... and without
TAIL_FLOOR: Final = 1.5  # scales
TAIL_START: Final = 2.3  # scales: about the 1 % quantile of a normal distribution
XI_START: Final = 0.15  # Pareto index of the tail, ...
XI_LOW: Final = 0.05  # ... which never falls below ...
XI_HIGH: Final = 0.6  # ... or rises above these
BAND_LOW: Final = 4.0  # scales; low..high is never narrower ...
BAND_HIGH: Final = 40.0  # ... or wider than this to one side
LIMIT: Final = 1e15  # larger values are taken as this, so that squares stay finite


class Judgement(NamedTuple):
    """`score` > 1 means that the value lies outside `low`..`high`; all but the score are in the value's unit."""

    score: float
    expected: float
    low: float
    high: float
    warm: bool


Band = tuple[float, float, float, float]  # expected, low, high, scale


def accept_steps(step_s: float) -> int:
    """How many steps a one-sided deviation must last to be the new normal."""
    return max(ACCEPT_STEPS, math.ceil(ACCEPT_S / step_s))


def memories(step_s: float) -> dict[str, float]:
    """How many steps each average remembers."""
    level, variance = max(MIN_STEPS, LEVEL_S / step_s), max(MIN_STEPS, SCALE_S / step_s)
    return {"level": level, "season": level, "recent": RECENT_SHARE * accept_steps(step_s), "variance": variance}


def hour_share(step_s: float) -> float:
    """How much of an hour's visit one step is."""
    return min(1.0, step_s / HOUR_S)


class FadingMean(stats.Mean):
    """River's running mean with a memory of at most `memory` values."""

    def __init__(self, memory: float) -> None:
        super().__init__()
        self.memory = memory

    def update(self, x: float, w: float = 1.0) -> None:
        # River's own formula, written out: a call less, four times a step
        self.n = n = min(self.n, self.memory) + w
        self._mean += w / n * (x - self._mean)

    def resume(self, weight: float, mean: float) -> None:
        """Become the mean of values of this weight."""
        self.n, self._mean = weight, mean


def next_xi(xi: float, residual: float, start: float) -> float:
    """The Pareto index of a tail after one residual beyond its start."""
    excess = min(math.log(residual / start), 1.5)  # one value of any size moves the index this much
    return min(XI_HIGH, max(XI_LOW, xi + TAIL_GAIN * (excess - xi)))


def stretch(xi: float) -> float:
    """The `BAND_P` quantile of a tail, in multiples of its start."""
    return float((TAIL_P / BAND_P) ** xi)


class Tail:
    """How far beyond its usual spread one side reaches: a quantile and a Pareto index, learned value by value."""

    __slots__ = ("_stretch", "reach", "start", "xi")

    def __init__(self, start: float = TAIL_START, xi: float = XI_START) -> None:
        self.start, self.xi = start, xi
        self._measure()

    def learn(self, residual: float) -> None:
        """Take one residual of this side (in scales; not positive if the value lay on the other side)."""
        if residual > self.start:
            self.xi = next_xi(self.xi, residual, self.start)
            self.start *= TAIL_RISE
            self._measure()
        else:
            self.start = start = max(TAIL_FLOOR, self.start * TAIL_FALL)
            self.reach = min(BAND_HIGH, max(BAND_LOW, start * self._stretch))

    def _measure(self) -> None:
        """`reach` is the `BAND_P` quantile, in scales."""
        self._stretch = stretch(self.xi)
        self.reach = min(BAND_HIGH, max(BAND_LOW, self.start * self._stretch))


class NormalState(Struct, frozen=True, array_like=True):
    """A `LearnedNormal` as plain data. An average is its weight and its mean, a tail its start and its index."""

    step_s: float
    steps: int
    level: tuple[float, float]
    season: tuple[float, float]
    recent: tuple[float, float]
    variance: tuple[float, float]
    upper: tuple[float, float]
    lower: tuple[float, float]
    side_steps: int
    nonnegative: bool
    hour: int  # since the epoch: the one that `usual` belongs to
    usual: float | None  # what earlier visits say of this hour; None: nothing
    seen: bytes  # the hours of the week that were seen, one byte each; for each of these ...
    means: bytes  # ... its mean, float32
    visits: bytes  # ... and how often it was seen in whole hours, float32


class LearnedNormal:
    """What is expected now of one series, given every `step_s` seconds; gaps are allowed.

    >>> normal = LearnedNormal(step_s=60)
    >>> for minute in range(120):
    ...     judgement = normal.update(60.0 * minute, 100.0 + minute % 3)
    >>> judgement.warm, judgement.score < 1
    (True, True)
    >>> normal.update(60.0 * 120, 900.0).score > 1
    True
    """

    def __init__(self, step_s: float = 60.0) -> None:
        self.step_s = float(step_s)
        self.steps = 0
        self._accept_steps, memory = accept_steps(step_s), memories(step_s)
        self._level, self._season = FadingMean(memory["level"]), FadingMean(memory["season"])
        self._recent, self._variance = FadingMean(memory["recent"]), FadingMean(memory["variance"])
        self._upper, self._lower = Tail(), Tail()
        self._side_steps = 0
        self._nonnegative = True
        self._means, self._visits = _floats(SLOTS), _floats(SLOTS)  # by hour of the week
        self._hour = -1  # since the epoch: the hour of the last value ...
        self._usual: float | None = None  # ... and what earlier visits say of it
        self._cached: Band | None = None
        self._share = hour_share(step_s)

    def expect(self, time_s: float) -> Judgement:
        """What a value at `time_s` (seconds since the epoch) should be; the score is 0."""
        expected, low, high, _ = self._band(int(time_s // HOUR_S))
        return Judgement(0.0, expected, low, high, self.steps >= WARM_STEPS)

    def update(self, time_s: float, value: float, *, teach: bool = True) -> Judgement:
        """Judge the value of the step that ends at `time_s`, then learn from it.

        `teach=False`, during an incident: the value counts towards a new level, and teaches nothing else.
        A value that is not finite is ignored.
        """
        hour = int(time_s // HOUR_S)
        if hour != self._hour:
            usual = self._usual_at(hour)  # from earlier visits: an hour does not teach itself
            self._hour, self._usual, self._cached = hour, usual, None
        expected, low, high, scale = self._band(hour)
        warm = self.steps >= WARM_STEPS
        if not math.isfinite(value):
            return Judgement(0.0, expected, low, high, warm)
        value = min(LIMIT, max(-LIMIT, value))
        deviation = value - expected
        self._cached = None
        if self._is_new_level(value, deviation, scale):
            self._move(self._recent.get() - expected)
        elif teach:
            self._learn(hour, value, deviation, scale)
        reach = high - expected if deviation > 0 else expected - low
        score = abs(deviation) / reach if warm and reach > 0 else 0.0
        return Judgement(score, expected, low, high, warm)

    def _band(self, hour: int) -> Band:
        """For an hour; kept until something is learned, because it is asked twice a step."""
        if hour != self._hour:
            return self._band_if(self._usual_at(hour))
        if self._cached is None:
            self._cached = self._band_if(self._usual)
        return self._cached

    def _band_if(self, usual: float | None) -> Band:
        level = self._level.get()
        expected = level + (level if usual is None else usual) - self._season.get()
        scale = math.sqrt(self._variance.get())
        if self._nonnegative and expected < 0:
            expected = 0.0
        scale += FLOOR * abs(expected) + 1e-9
        low, high = expected - scale * self._lower.reach, expected + scale * self._upper.reach
        if self._nonnegative and low < 0:
            low = 0.0
        return expected, low, high, scale

    def _usual_at(self, hour: int) -> float | None:
        """The mean of this hour on the days seen, this day of the week's above all."""
        hour %= SLOTS
        total = weight = seen = 0.0
        for slot in range(hour % 24, SLOTS, 24):
            visits = self._visits[slot]
            seen += visits
            share = OWN_DAY * visits if slot == hour else visits
            total += share * self._means[slot]
            weight += share
        return total / weight if seen >= 1.0 else None

    def _is_new_level(self, value: float, deviation: float, scale: float) -> bool:
        """Whether this value completes a one-sided deviation that lasted long enough."""
        self._recent.update(value)
        if self.steps < WARM_STEPS or abs(deviation) <= CLIP * scale:
            self._side_steps -= (self._side_steps > 0) - (self._side_steps < 0)  # calm steps count down
            return False
        side = 1 if deviation > 0 else -1
        self._side_steps = self._side_steps + side if self._side_steps * side >= 0 else side
        return abs(self._side_steps) >= self._accept_steps

    def _move(self, shift: float) -> None:
        """Level and hours together: an hour that stayed behind would be expected at the old level."""
        self._level.resume(self._level.n, self._level.get() + shift)
        self._season.resume(self._season.n, self._season.get() + shift)
        for slot in range(SLOTS):
            self._means[slot] += shift if self._visits[slot] else 0.0
        if self._usual is not None:
            self._usual += shift
        self._side_steps = 0

    def _learn(self, hour: int, value: float, deviation: float, scale: float) -> None:
        spread, taught = abs(deviation) if self.steps else 0.0, value
        if self.steps >= MIN_STEPS:
            self._upper.learn(deviation / scale)
            self._lower.learn(-deviation / scale)
            spread = min(spread, SCALE_CLIP * scale)
            taught = value - deviation + max(-CLIP * scale, min(CLIP * scale, deviation))
        self._nonnegative = self._nonnegative and value >= 0
        self._variance.update(spread * spread)
        self._season.update(self._level.get() if self._usual is None else self._usual)
        self._level.update(taught)
        self._learn_hour(hour % SLOTS, taught)
        self.steps += 1

    def _learn_hour(self, slot: int, taught: float) -> None:
        visits = self._visits[slot] = min(self._visits[slot] + self._share, MAX_VISITS)
        self._means[slot] += self._share / visits * (taught - self._means[slot])

    def snapshot(self) -> NormalState:
        """All of it as plain data: `restore` goes on exactly where this one is."""
        seen = [slot for slot in range(SLOTS) if self._visits[slot]]
        return NormalState(
            self.step_s,
            self.steps,
            (self._level.n, self._level.get()),
            (self._season.n, self._season.get()),
            (self._recent.n, self._recent.get()),
            (self._variance.n, self._variance.get()),
            (self._upper.start, self._upper.xi),
            (self._lower.start, self._lower.xi),
            self._side_steps,
            self._nonnegative,
            self._hour,
            self._usual,
            bytes(seen),
            array("f", [self._means[slot] for slot in seen]).tobytes(),
            array("f", [self._visits[slot] for slot in seen]).tobytes(),
        )

    @classmethod
    def restore(cls, state: NormalState) -> LearnedNormal:
        normal = cls(state.step_s)
        normal.steps, normal._side_steps = state.steps, state.side_steps
        normal._nonnegative = state.nonnegative
        normal._hour, normal._usual = state.hour, state.usual
        normal._level.resume(*state.level)
        normal._season.resume(*state.season)
        normal._recent.resume(*state.recent)
        normal._variance.resume(*state.variance)
        normal._upper, normal._lower = Tail(*state.upper), Tail(*state.lower)
        means, visits = array("f", state.means), array("f", state.visits)
        for i, slot in enumerate(state.seen):
            normal._means[slot], normal._visits[slot] = means[i], visits[i]
        return normal


def _floats(size: int) -> array[float]:
    return array("f", bytes(4 * size))
