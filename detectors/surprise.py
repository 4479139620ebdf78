"""`Surprise`: how far a value lies from what was to be expected the moment before, in thresholds. Above 1: anomalous.

    score = relief x ((1 - LOCAL) |r0| / t0 + LOCAL |r1| / t1)

- r0 = (x - m) / s. The forecast m is the mean of five experts, weighed by their recent errors as (best / own)^3: a slow
  level, a level, the last few values, and the level moved by what the hour of the week adds to it, or makes of it.
- s^2 = (V + HOUR_WEIGHT H) / (1 + HOUR_WEIGHT) + floor^2: V is the mean square of recent errors, which one large error
  raises for some time, so that its echo is silent; H that of this hour on earlier days; the floor is what is too small
  to matter: a share of the forecast, of the range of the last days, and of the mean size. A series of whole numbers
  that was never negative counts something, so chance alone gives it a variance of its mean: COUNTS (m + 1/2) more.
- r1 is the same for a plain local mean and variance.
- t = sqrt(THETA z): halfway between a fixed threshold and z, the quantile at ALPHA of this residual's own tail on this
  side. Only the first of several surprises in a row teaches the tail.
- `relief`: a step of an hour comes so much more seldom than one of a minute that a lower threshold raises fewer.

No gate keeps surprises from teaching, but they teach no more than one of `CLIP` scales. Half-lives are in steps unless
they end in `_S` (seconds); each average is a plain mean until it is as old as its half-life says.
"""

from __future__ import annotations

import math
from array import array
from typing import Final, NamedTuple

from msgspec import Struct

from detectors.memory import DAY_HOURS, DAY_S, HOUR_S, MINUTE_S, rate, warm_steps
from detectors.tail import TAIL_GAIN, TAIL_P, Tail

EARLY_STEPS: Final = 4  # in which nothing is clipped
EARLY_CLIP: Final = 6.0  # scales, before it is warm
GAP_STEPS: Final = 10  # after a longer gap the last values are stale
EXPERTS: Final = 5  # slow, level, last, sum, product
LAST: Final = 2  # the place of the expert that a gap makes stale
MOST_RATIO: Final = 20.0  # how much an hour may make of the level
TINY: Final = 1e-12  # added to errors, so that a ratio of two exists
CLIP: Final = 3.5  # scales; the forecast learns from a surprise no larger than this
SLOW_S: Final = DAY_S
RANGE_S: Final = 7 * DAY_S
RANGE_CLIP: Final = 3.0  # scales; the range grows no faster
SIZE_RATE: Final = 0.002
LEVEL_RATE: Final = rate(60)
LAST_RATE: Final = rate(2)
ERROR_RATE: Final = rate(220)
ERROR_CLIP: Final = 4.0  # scales
SCALE_RATE: Final = rate(30)
SCALE_CLIP: Final = 25.0  # scales
HOUR_WEIGHT: Final = 2.5  # of the hour's own variance against the recent one
HOUR_RATE: Final = 0.12  # how much one visit of an hour tells of its variance
HOUR_CLIP: Final = 3.0  # scales
FLOOR_SHARE: Final = 0.015  # of the forecast, ...
FLOOR_RANGE: Final = 0.011  # ... of the range of the last days ...
FLOOR_SIZE: Final = 0.001  # ... and of the mean size: smaller deviations do not matter
FLOOR_LEAST: Final = 1e-9
COUNTS: Final = 2.0  # times the variance that a count has by chance
COUNTS_LEAST: Final = 0.5  # of the mean: one of what was never seen is no surprise
LOCAL: Final = 0.25  # the share of the local residual
LOCAL_RATE: Final = rate(100)
LOCAL_SCALE_RATE: Final = rate(80)
THETA: Final = 3.5
ALPHA: Final = 7e-4
TAIL_LOW: Final = 2.5  # scales; a threshold is never made of less ...
TAIL_HIGH: Final = 24.0  # ... or more
FIRST_GAIN: Final = 0.3  # of the tails, and how soon ...
GAIN_FALL: Final = 0.03  # ... it falls to that of every day
HOUR_RELIEF: Final = 0.2  # how much a step of an hour adds to the score; one of a minute nothing; by the logarithm


def relief(step_s: float) -> float:
    """What the score is multiplied by.

    >>> relief(1), relief(60), relief(3600)
    (1.0, 1.0, 1.2)
    """
    share = math.log(max(1.0, step_s / MINUTE_S)) / math.log(HOUR_S / MINUTE_S)
    return 1.0 + HOUR_RELIEF * min(1.0, share)


class SurpriseState(Struct, frozen=True, array_like=True):
    """A `Surprise` as plain data."""

    steps: int
    last_s: float  # the time of the last value that taught
    hour: int  # since the epoch: the one that `hour_sum` belongs to
    levels: tuple[float, float, float, float, float]  # slow, level, last, season, local
    spreads: tuple[float, float, float, float]  # variance, local variance, range, size
    errors: tuple[float, float, float, float, float]
    hour_sum: tuple[float, float]  # of squared errors of this hour, and how many
    counts: bool  # whether all values were whole and none negative
    run: int  # surprises in a row, negative: below the forecast
    tails: tuple[float, float, float, float]  # starts: forecast, upper and lower; local, upper and lower
    indices: tuple[float, float, float, float]
    hours: bytes  # the variance of each hour of the day, float32; 0: not known


class Look(NamedTuple):
    """What a value is seen to be: what was forecast by whom, and how far it lies from that, in scales."""

    experts: list[float | None]
    stale: bool
    forecast: float
    scale: float
    residual: float
    local_residual: float
    score: float


class Surprise:
    """The model of one series, one value at a time."""

    def __init__(self, step_s: float) -> None:
        self.steps = 0
        self._warm_steps, self._gap_s, self._days = warm_steps(step_s), GAP_STEPS * step_s, step_s / DAY_S
        self._relief = relief(step_s)
        self._slow_rate, self._range_fall = rate(SLOW_S / step_s), 1.0 - rate(RANGE_S / step_s)
        self._last_s = 0.0
        self._hour = -1
        self._slow = self._level = self._last = self._season = self._local = 0.0
        self._variance = self._local_variance = self._range = self._size = 0.0
        self._errors = [0.0] * EXPERTS
        self._hour_sum = self._hour_n = 0.0
        self._counts = True
        self._run = 0
        self._tails = tuple(Tail(ALPHA, TAIL_LOW, TAIL_HIGH) for _ in range(4))
        self._hours = array("f", bytes(4 * DAY_HOURS))

    def judge(self, time_s: float, value: float, usual: float | None, *, positive: bool) -> float:
        """The score of a value; nothing changes.

        `usual` is what the hour usually is, if that is known; `positive`: the series was never negative.
        """
        return self._look(time_s, value, usual, positive=positive).score

    def update(self, time_s: float, value: float, usual: float | None, *, positive: bool) -> float:
        """The same, and learn from the value."""
        if self.steps == 0:
            self._begin(value, usual)
        seen = self._look(time_s, value, usual, positive=positive)
        self._enter(int(time_s // HOUR_S))
        if seen.stale:
            self._last = self._local = seen.experts[LAST] = seen.forecast
        self._learn_run(seen, value - seen.forecast)
        self._learn_errors(value, seen.experts, seen.scale)
        self._learn_scales(value, value - seen.forecast, seen.scale)
        self._learn_levels(value, seen.forecast, seen.scale, usual)
        self._counts = self._counts and value >= 0 and float(value).is_integer()
        self._last_s = time_s
        self.steps += 1
        return seen.score

    def _look(self, time_s: float, value: float, usual: float | None, *, positive: bool) -> Look:
        experts = self._experts(usual, positive=positive)
        stale = self.steps > 0 and time_s - self._last_s > self._gap_s
        forecast = self._mixed(experts, stale=stale)
        local = forecast if stale else self._local
        floor = FLOOR_SHARE * abs(forecast) + FLOOR_RANGE * self._range + FLOOR_SIZE * self._size + FLOOR_LEAST
        least = floor * floor
        if self._counts:
            least += COUNTS * (max(0.0, forecast) + COUNTS_LEAST)
        scale = math.sqrt(self._spread(int(time_s // HOUR_S)) + least)
        residual = (value - forecast) / scale
        local_residual = (value - local) / math.sqrt(self._local_variance + least)
        score = self._score(residual, local_residual) if self.steps >= self._warm_steps else 0.0
        return Look(experts, stale, forecast, scale, residual, local_residual, score)

    def _begin(self, value: float, usual: float | None) -> None:
        self._slow = self._level = self._last = self._local = value
        self._season = value if usual is None else usual
        self._size = abs(value)

    def _enter(self, hour: int) -> None:
        """What the hour before was like is what it will be like tomorrow."""
        if hour == self._hour:
            return
        if self._hour_n > 0:
            slot, mean = self._hour % DAY_HOURS, self._hour_sum / self._hour_n
            known = self._hours[slot]
            weight = max(HOUR_RATE, 1.0 / (self.steps * self._days + 1.0)) if known > 0 else 1.0
            self._hours[slot] = known + weight * (mean - known)
            self._hour_sum = self._hour_n = 0.0
        self._hour = hour

    def _experts(self, usual: float | None, *, positive: bool) -> list[float | None]:
        level, season = self._level, self._season
        hour = level if usual is None else usual
        product = None
        if positive and usual is not None and season > 0:
            product = hour * (level / season if level < MOST_RATIO * season else MOST_RATIO)
        return [self._slow, level, self._last, level + (hour - season), product]

    def _mixed(self, experts: list[float | None], *, stale: bool) -> float:
        errors = self._errors
        usable = [i for i, expert in enumerate(experts) if expert is not None and not (stale and i == LAST)]
        best = min([errors[i] for i in usable]) + TINY
        total = weight = 0.0
        for i in usable:
            ratio = best / (errors[i] + TINY)
            ratio = ratio * ratio * ratio
            weight += ratio
            total += ratio * (experts[i] or 0.0)
        return total / weight

    def _spread(self, hour: int) -> float:
        known, recent = self._hours[hour % DAY_HOURS], self._variance
        return (recent + HOUR_WEIGHT * (known if known > 0 else recent)) / (1.0 + HOUR_WEIGHT)

    def _score(self, residual: float, local: float) -> float:
        tails = self._tails
        limit = math.sqrt(THETA * tails[0 if residual > 0 else 1].reach)
        local_limit = math.sqrt(THETA * tails[2 if local > 0 else 3].reach)
        return self._relief * ((1.0 - LOCAL) * (abs(residual) / limit) + LOCAL * (abs(local) / local_limit))

    # -- learning --------------------------------------------------------------------------------------------------

    def _learn_run(self, seen: Look, error: float) -> None:
        """Only the first surprise of a run teaches the tails: an incident counts once."""
        run = self._run
        if seen.score > 1.0:
            side = 1 if error > 0 else -1
            self._run = run + side if run * side > 0 else side
            if abs(self._run) > 1:
                return
        else:
            self._run -= (run > 0) - (run < 0)
        if self.steps < self._warm_steps:
            return
        gain = max(TAIL_GAIN, FIRST_GAIN / (1.0 + GAIN_FALL * (self.steps - self._warm_steps)))
        rise, fall = 1.0 + gain * (1.0 - TAIL_P / 2), 1.0 - gain * (TAIL_P / 2)
        residuals = (seen.residual, -seen.residual, seen.local_residual, -seen.local_residual)
        for tail, residual in zip(self._tails, residuals, strict=True):
            tail.learn(residual, rise, fall)

    def _gain(self, least: float) -> float:
        """A plain mean until this rate is reached."""
        return max(least, 1.0 / (self.steps + 1.0))

    def _learn_errors(self, value: float, experts: list[float | None], scale: float) -> None:
        errors, gain = self._errors, self._gain(ERROR_RATE)
        most = math.inf if self.steps < EARLY_STEPS else ERROR_CLIP * scale
        for i, expert in enumerate(experts):
            if expert is None:
                errors[i] = max(errors[0], errors[1])  # it begins no better than the levels
            else:
                errors[i] += gain * (min(abs(value - expert), most) - errors[i])

    def _learn_scales(self, value: float, error: float, scale: float) -> None:
        early = self.steps < EARLY_STEPS
        size = abs(error) if early else min(abs(error), SCALE_CLIP * scale)
        self._variance += self._gain(SCALE_RATE) * (size * size - self._variance)
        size = abs(error) if early else min(abs(error), HOUR_CLIP * scale)
        self._hour_sum += size * size
        self._hour_n += 1.0
        away = value - self._local
        if not early:
            most = SCALE_CLIP * math.sqrt(self._local_variance + scale * scale)
            away = max(-most, min(most, away))
        self._local_variance += self._gain(LOCAL_SCALE_RATE) * (away * away - self._local_variance)
        self._local += self._gain(LOCAL_RATE) * away

    def _learn_levels(self, value: float, forecast: float, scale: float, usual: float | None) -> None:
        steps, far = self.steps, abs(value - self._slow)
        reach = far if steps < EARLY_STEPS else min(far, self._range + RANGE_CLIP * scale)
        self._range = max(self._range * self._range_fall, reach)
        if steps >= EARLY_STEPS:
            most = (CLIP if steps >= self._warm_steps else EARLY_CLIP) * scale
            value = forecast + max(-most, min(most, value - forecast))
        self._size += self._gain(SIZE_RATE) * (abs(value) - self._size)
        self._slow += self._gain(self._slow_rate) * (value - self._slow)
        self._last += self._gain(LAST_RATE) * (value - self._last)
        gain = self._gain(LEVEL_RATE)
        self._season += gain * ((self._level if usual is None else usual) - self._season)
        self._level += gain * (value - self._level)

    # -- plain data ------------------------------------------------------------------------------------------------

    def snapshot(self) -> SurpriseState:
        slow, level, last, total, product = self._errors
        upper, lower, local_upper, local_lower = self._tails
        return SurpriseState(
            self.steps,
            self._last_s,
            self._hour,
            (self._slow, self._level, self._last, self._season, self._local),
            (self._variance, self._local_variance, self._range, self._size),
            (slow, level, last, total, product),
            (self._hour_sum, self._hour_n),
            self._counts,
            self._run,
            (upper.start, lower.start, local_upper.start, local_lower.start),
            (upper.xi, lower.xi, local_upper.xi, local_lower.xi),
            self._hours.tobytes(),
        )

    @classmethod
    def restore(cls, step_s: float, state: SurpriseState) -> Surprise:
        """The inverse."""
        one = cls(step_s)
        one.steps, one._last_s, one._hour, one._run = state.steps, state.last_s, state.hour, state.run
        one._counts = state.counts
        one._slow, one._level, one._last, one._season, one._local = state.levels
        one._variance, one._local_variance, one._range, one._size = state.spreads
        one._errors = list(state.errors)
        one._hour_sum, one._hour_n = state.hour_sum
        for tail, start, xi in zip(one._tails, state.tails, state.indices, strict=True):
            tail.resume(start, xi)
        one._hours = array("f", state.hours)
        return one
