"""`NormalBank`: the `LearnedNormal`s of many series that step together, as columns.

The formulas are those of `Expectation` and `Surprise`, in the same order of operations, so that every number is the
same bit for bit. Additions, multiplications, divisions and square roots alone are left to NumPy: its logarithms and
powers differ between processors, and a decision must not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import structs

from detectors import expectation
from detectors.expectation import BAND_P, Band, Expectation, NormalState, Usual, Withheld, description
from detectors.memory import DAY_HOURS, HOUR_S, warm_steps
from detectors.surprise import SurpriseState
from detectors.surprise_bank import SurpriseBank
from detectors.table import Flags, Floats, Ints, Rows, Table
from detectors.tail import TAIL_FALL, TAIL_RISE, stretch
from detectors.tail_columns import learn_tail, reach

ROW: Final = np.dtype([
    ("steps", "i4"), ("side_steps", "i4"), ("hour", "i4"), ("nonnegative", "?"),
    ("level", "f8"), ("season", "f8"), ("recent_n", "f8"), ("recent", "f8"), ("variance", "f8"),
    ("by_level", "f8"), ("by_sum", "f8"), ("by_product", "f8"),
    ("before", "f8"), ("at", "f8"), ("after", "f8"), ("now", "f8"),
    ("upper", "f8"), ("upper_xi", "f8"), ("upper_stretch", "f8"),
    ("lower", "f8"), ("lower_xi", "f8"), ("lower_stretch", "f8"),
], align=True)  # fmt: skip
"""A `NormalState` but for its hours; what is usual is NaN where nothing is known."""

HOURS: Final = np.dtype([("means", "f4", expectation.SLOTS), ("visits", "f4", expectation.SLOTS)])
DAYS: Final = np.arange(0, expectation.SLOTS, DAY_HOURS)
AT_ONCE: Final = 4096  # series whose rows stay in the processor's cache while they are worked on


class Expected(NamedTuple):
    """What the present step of each series should be, as in `Judgement`."""

    expected: Floats
    high: Floats
    warm: Flags
    low: Floats


class Judgements(NamedTuple):
    """A `Judgement` of each series."""

    score: Floats
    expected: Floats
    low: Floats
    high: Floats
    warm: Flags


class Experts(NamedTuple):
    """What each expert says; the product has a say where `has_product`."""

    level: Floats
    total: Floats
    product: Floats
    has_product: Flags

    def at(self, some: Ints) -> Experts:
        return Experts(self.level[some], self.total[some], self.product[some], self.has_product[some])


class NormalBank:
    """A `LearnedNormal` for each number from 0 on, all with the same step.

    `scored`: it also says how surprising values are. Rules that compare with the normal alone do without.
    """

    def __init__(self, step_s: float, *, scored: bool = False) -> None:
        self.step_s = float(step_s)
        self._share, self._accept_steps = expectation.hour_share(step_s), expectation.accept_steps(step_s)
        self._memory, self._warm_steps = expectation.memories(step_s), warm_steps(step_s)
        self._table = Table(ROW, _row(Expectation(step_s).snapshot()))
        self._hours = Table(HOURS, (0.0, 0.0))
        self._surprise = SurpriseBank(step_s) if scored else None
        self._withheld: dict[int, Withheld] = {}  # by number: of the few whose open episode deviates to one side

    def add(self, count: int) -> None:
        """The next numbers are new series."""
        self._table.add(count)
        self._hours.add(count)
        if self._surprise is not None:
            self._surprise.add(count)

    def keep(self, numbers: Ints) -> None:
        """Only these remain, numbered in this order."""
        self._table.keep(numbers)
        self._hours.keep(numbers)
        kept = ((new, self._withheld.get(old)) for new, old in enumerate(numbers.tolist())) if self._withheld else ()
        self._withheld = {number: withheld for number, withheld in kept if withheld is not None}
        if self._surprise is not None:
            self._surprise.keep(numbers)

    def expect(self, numbers: Ints, time_s: float | None = None) -> Expected:
        """What these series should be at a time; None: at that of their last step."""
        rows = self._table.take(numbers)
        if time_s is not None:
            self._turn(rows, numbers, time_s)
        expected, low, high = _limits(rows, *_band(rows, _experts(rows)))
        return Expected(expected, high, rows["steps"] >= self._warm_steps, low)

    def update(self, numbers: Ints, time_s: float, values: Floats, teach: Flags) -> None:
        """`LearnedNormal.update` for each of these series; the values are finite."""
        for start in range(0, len(numbers), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            self._update(numbers[some], time_s, values[some], teach[some])

    def judge(self, numbers: Ints, time_s: float, values: Floats, teach: Flags) -> Judgements:
        """The same, and what `LearnedNormal.update` returns. The score is 0 where nobody asks for it."""
        parts = [
            self._update(numbers[some], time_s, values[some], teach[some], judge=True)
            for some in (slice(start, start + AT_ONCE) for start in range(0, max(1, len(numbers)), AT_ONCE))
        ]
        return Judgements(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def describe(self, number: int) -> dict[str, Any]:
        """What is expected of a series at its last step, and why: `LearnedNormal.describe`."""
        rows, visits = self._table.take(np.array([number])), self._hours.rows["visits"][number].tolist()
        expected, low, high = (column.item() for column in _limits(rows, *_band(rows, _experts(rows))))
        scale, hour = _band(rows, _experts(rows))[1].item(), int(rows["hour"][0])
        seen = sum(visits[hour % DAY_HOURS :: DAY_HOURS])
        band = Band(expected, low, high, scale)
        return description(band, rows["level"].item(), rows["steps"].item(), seen, visits[hour % expectation.SLOTS])

    # -- one step --------------------------------------------------------------------------------------------------

    def _update(
        self, numbers: Ints, time_s: float, values: Floats, teach: Flags, *, judge: bool = False
    ) -> tuple[Floats, Floats, Floats, Floats, Flags]:
        rows = self._table.take(numbers)
        values = np.minimum(expectation.LIMIT, np.maximum(-expectation.LIMIT, values))
        self._enter(rows, numbers, time_s, values)
        warm = rows["steps"] >= self._warm_steps
        score = self._scores(rows, numbers, time_s, values, teach) if judge or self._surprise is not None else values
        experts = _experts(rows)
        expected, scale = _band(rows, experts)
        low, high = _limits(rows, expected, scale)[1:] if judge else (expected, expected)
        deviation = values - expected
        moved = self._is_new_level(rows, numbers, values, deviation, scale)
        self._withhold(rows, numbers, values, teach)
        for i in np.flatnonzero(moved).tolist():  # seldom
            self._move(rows[i], int(numbers[i]), has_product=bool(experts.has_product[i]))
        learns = teach & ~moved
        if learns.all():
            self._learn(rows, numbers, values, deviation, scale, experts)
        elif learns.any():
            some = np.flatnonzero(learns)
            taught = rows[some]
            self._learn(taught, numbers[some], values[some], deviation[some], scale[some], experts.at(some))
            rows[some] = taught
        self._table.put(numbers, rows)
        return score, expected, low, high, warm

    def _scores(self, rows: Rows, numbers: Ints, time_s: float, values: Floats, teach: Flags) -> Floats:
        if self._surprise is None:
            return np.zeros(len(numbers))
        scores = self._surprise.update(numbers, time_s, values, rows["now"], rows["nonnegative"], teach)
        return np.where(rows["steps"] >= self._warm_steps, scores, 0.0)

    def _enter(self, rows: Rows, numbers: Ints, time_s: float, values: Floats) -> None:
        self._turn(rows, numbers, time_s)
        first = np.flatnonzero(rows["steps"] == 0)
        if len(first):
            now = rows["now"][first]
            rows["level"][first] = values[first]
            rows["season"][first] = np.where(np.isnan(now), values[first], now)

    def _turn(self, rows: Rows, numbers: Ints, time_s: float) -> None:
        """What earlier visits say of this time is what counts from now on."""
        hour = int(time_s // HOUR_S)
        entered = np.flatnonzero(rows["hour"] != hour)
        if len(entered):
            self._enter_hour(rows, numbers, entered, hour)
        rows["now"] = rows["at"]
        if self._share < 1.0:
            part = (time_s - hour * HOUR_S) / HOUR_S - 0.5
            at, other = rows["at"], rows["before" if part < 0 else "after"]
            rows["now"] = np.where(np.isnan(other), at, at + (other - at) * abs(part))

    def _enter_hour(self, rows: Rows, numbers: Ints, entered: Ints, hour: int) -> None:
        going_on = rows["hour"][entered] == hour - 1
        on, anew = entered[going_on], entered[~going_on]
        rows["before"][on], rows["at"][on] = rows["at"][on], rows["after"][on]
        if len(anew):
            rows["before"][anew] = self._visited(hour - 1, numbers[anew])
            rows["at"][anew] = self._visited(hour, numbers[anew])
        rows["after"][entered] = self._visited(hour + 1, numbers[entered])
        rows["hour"][entered] = hour

    def _visited(self, hour: int, numbers: Ints) -> Floats:
        slot = hour % expectation.SLOTS
        total, weight, seen = np.zeros((3, len(numbers)))
        for day in (DAYS + slot % DAY_HOURS).tolist():
            visits = self._hours.rows["visits"][numbers, day].astype(np.float64)
            seen += visits
            share = expectation.OWN_DAY * visits if day == slot else visits
            total += share * self._hours.rows["means"][numbers, day]
            weight += share
        usual: Floats = np.divide(
            total, weight, out=np.full(len(numbers), np.nan), where=seen >= expectation.KNOWN_VISITS
        )
        return usual

    def _is_new_level(self, rows: Rows, numbers: Ints, values: Floats, deviation: Floats, scale: Floats) -> Flags:
        count = np.minimum(rows["recent_n"], self._memory.recent) + 1.0
        rows["recent_n"] = count
        rows["recent"] += 1.0 / count * (values - rows["recent"])
        steps, before = rows["steps"], rows["side_steps"]
        calm = (steps < self._warm_steps) | (np.abs(deviation) <= expectation.CLIP * scale)
        side = np.where(deviation > 0, 1, -1)
        aside = np.where(before * side >= 0, before + side, side)
        after: Ints = np.where(calm, before - np.sign(before), aside)
        if self._withheld:
            for number in numbers[before * after <= 0].tolist():
                self._withheld.pop(number, None)
        rows["side_steps"] = after
        lasted: Flags = ~calm & (np.abs(after) >= self._accept_steps)
        return lasted

    def _withhold(self, rows: Rows, numbers: Ints, values: Floats, teach: Flags) -> None:
        for i in np.flatnonzero(~teach & (rows["side_steps"] != 0)).tolist():  # few: those with an open episode
            self._withheld.setdefault(int(numbers[i]), Withheld()).add(int(rows["hour"][i]), float(values[i]))

    def _move(self, row: np.void, number: int, *, has_product: bool) -> None:
        """To a new level; `row` is a view."""
        if has_product:
            row["by_sum"] = max(row["by_sum"], row["by_level"])
        hours = self._hours.rows[number]
        self._withheld.pop(number, Withheld()).teach(hours["means"], hours["visits"], self._share)
        row["level"] = row["recent"]
        row["season"] = row["level"] if math.isnan(row["now"]) else row["now"]
        row["side_steps"] = 0

    def _learn(  # noqa: PLR0913, PLR0917 -- columns of one length
        self, rows: Rows, numbers: Ints, values: Floats, deviation: Floats, scale: Floats, experts: Experts
    ) -> None:
        steps, memory = rows["steps"], self._memory
        settled = steps >= expectation.MIN_STEPS
        residual = deviation / scale
        learn_tail(rows, "upper", residual, settled, BAND_P, TAIL_RISE, TAIL_FALL)
        learn_tail(rows, "lower", -residual, settled, BAND_P, TAIL_RISE, TAIL_FALL)
        size, most = np.abs(deviation), expectation.CLIP * scale
        spread = np.where(settled, np.minimum(size, expectation.SCALE_CLIP * scale), size)
        clipped = values - deviation + np.maximum(-most, np.minimum(most, deviation))
        taught = np.where(settled, clipped, values)
        self._learn_errors(rows, values, np.where(settled, expectation.ERROR_CLIP * scale, np.inf), experts)
        rows["nonnegative"] &= values >= 0
        rows["variance"] += 1.0 / (np.minimum(steps, memory.variance) + 1.0) * (spread * spread - rows["variance"])
        gain = 1.0 / (np.minimum(steps, memory.level) + 1.0)
        now = rows["now"]
        rows["season"] += gain * (np.where(np.isnan(now), rows["level"], now) - rows["season"])
        rows["level"] += gain * (taught - rows["level"])
        self._learn_hour(numbers, rows["hour"], taught)
        rows["steps"] += 1

    def _learn_errors(self, rows: Rows, values: Floats, most: Floats, experts: Experts) -> None:
        gain = 1.0 / (np.minimum(rows["steps"], self._memory.errors) + 1.0)
        for name, said in (("by_level", experts.level), ("by_sum", experts.total)):
            rows[name] += gain * (np.minimum(np.abs(values - said), most) - rows[name])
        error = rows["by_product"]
        learned = error + gain * (np.minimum(np.abs(values - experts.product), most) - error)
        rows["by_product"] = np.where(experts.has_product, learned, rows["by_level"])

    def _learn_hour(self, numbers: Ints, hours: Ints, taught: Floats) -> None:
        means, all_visits = self._hours.rows["means"], self._hours.rows["visits"]
        slot = int(hours[0]) % expectation.SLOTS  # they step together
        visits = np.minimum(all_visits[numbers, slot].astype(np.float64) + self._share, expectation.MAX_VISITS)
        all_visits[numbers, slot] = visits
        # the share of what is stored, as `LearnedNormal` takes it
        weight = self._share / visits
        mean = means[numbers, slot].astype(np.float64)
        means[numbers, slot] = mean + weight * (taught - mean)

    # -- plain data ------------------------------------------------------------------------------------------------

    def snapshots(self, numbers: Ints) -> list[NormalState]:
        """What `LearnedNormal.snapshot` gives, of each of these; without the surprise where nobody asks for it."""
        hours = self._hours.take(numbers)
        which, slots = np.nonzero(hours["visits"])
        seen, means, visits = slots.astype(np.uint8), hours["means"][which, slots], hours["visits"][which, slots]
        ends = np.searchsorted(which, np.arange(1, len(numbers) + 1)).tolist()
        spans = [slice(start, end) for start, end in pairwise([0, *ends])]
        surprises = self._surprise.snapshots(numbers) if self._surprise is not None else [None] * len(numbers)
        states = [
            _state(self.step_s, row, (seen[span].tobytes(), means[span].tobytes(), visits[span].tobytes()), surprise)
            for row, span, surprise in zip(self._table.take(numbers).tolist(), spans, surprises, strict=True)
        ]
        for i, number in enumerate(numbers.tolist() if self._withheld else ()):
            if number in self._withheld:
                states[i] = structs.replace(states[i], withheld=self._withheld[number].snapshot())
        return states

    def restore(self, numbers: Ints, states: Sequence[NormalState]) -> None:
        """Go on as the series that these were taken from; they are new, and have their step."""
        self._table.put(numbers, np.array([_row(state) for state in states], dtype=ROW))
        which = np.repeat(numbers, [len(state.seen) for state in states])
        slots = np.frombuffer(b"".join(state.seen for state in states), dtype=np.uint8)
        for name in ("means", "visits"):
            values = b"".join(getattr(state, name) for state in states)
            self._hours.rows[name][which, slots] = np.frombuffer(values, dtype=np.float32)
        for number, state in zip(numbers.tolist(), states, strict=True):
            if state.withheld:
                self._withheld[number] = Withheld(state.withheld)
        if self._surprise is not None:
            known = [i for i, state in enumerate(states) if state.surprise is not None]
            surprises = [state.surprise for state in states if state.surprise is not None]
            self._surprise.restore(numbers[known], surprises)


def _state(
    step_s: float, row: tuple[Any, ...], hours: tuple[bytes, bytes, bytes], surprise: SurpriseState | None
) -> NormalState:
    steps, side_steps, hour, nonnegative, level, season, recent_n, recent, variance = row[:9]
    errors, known, tails = row[9:12], row[12:16], row[16:]
    before, at, after, now = (None if math.isnan(usual) else usual for usual in known)
    usual: Usual = (before, at, after)
    averages = (level, season, (recent_n, recent), variance, errors)
    bounds = ((tails[0], tails[1]), (tails[3], tails[4]))
    return NormalState(step_s, steps, *averages, *bounds, side_steps, nonnegative, hour, usual, now, *hours, surprise)


def _row(state: NormalState) -> tuple[Any, ...]:
    """A state in the order of `ROW`."""
    tails = [n for start, xi in (state.upper, state.lower) for n in (start, xi, stretch(xi, BAND_P))]
    usual = [math.nan if one is None else one for one in (*state.usual, state.now)]
    averages = (state.level, state.season, *state.recent, state.variance)
    flags = (state.steps, state.side_steps, state.hour, state.nonnegative)
    return (*flags, *averages, *state.errors, *usual, *tails)


def _experts(rows: Rows) -> Experts:
    level, season, now = rows["level"], rows["season"], rows["now"]
    usual = np.where(np.isnan(now), level, now)
    most = expectation.MOST_RATIO
    has_product = rows["nonnegative"] & (season > 0) & (season < most * level) & (level < most * season)
    ratio = np.ones(len(rows))
    np.divide(level, season, out=ratio, where=has_product)
    total = level + (usual - season)
    return Experts(level, np.where(rows["nonnegative"] & (total < 0), 0.0, total), usual * ratio, has_product)


def _band(rows: Rows, experts: Experts) -> tuple[Floats, Floats]:
    """The expected values and their scales."""
    by_level, by_sum, by_product = rows["by_level"], rows["by_sum"], rows["by_product"]
    best = np.minimum(by_level, by_sum)
    best = np.where(experts.has_product, np.minimum(best, by_product), best)
    one, two = _weight(best, by_level), _weight(best, by_sum)
    three = np.where(experts.has_product, _weight(best, by_product), 0.0)
    shift = two * (experts.total - experts.level) + three * (experts.product - experts.level)
    expected = experts.level + shift / (one + two + three)
    expected = np.where(rows["nonnegative"] & (expected < 0), 0.0, expected)
    scale = np.sqrt(rows["variance"]) + (expectation.FLOOR * np.abs(expected) + 1e-9)
    return expected, scale


def _weight(best: Floats, error: Floats) -> Floats:
    ratio = (best + expectation.TINY) / (error + expectation.TINY)
    return ratio * ratio * ratio


def _reach(rows: Rows, side: str) -> Floats:
    return reach(rows, side, expectation.BAND_LOW, expectation.BAND_HIGH)


def _limits(rows: Rows, expected: Floats, scale: Floats) -> tuple[Floats, Floats, Floats]:
    """Expected, low and high."""
    low, high = expected - scale * _reach(rows, "lower"), expected + scale * _reach(rows, "upper")
    return expected, np.where(rows["nonnegative"] & (low < 0), 0.0, low), high
