"""`NormalBank`: the `LearnedNormal`s of many series that step together, as columns.

The formulas are those of `LearnedNormal`, in the same order of operations, so that every number is the same bit for
bit. Additions, multiplications, divisions and square roots alone are left to NumPy: its logarithms and powers differ
between processors, and a decision must not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from detectors import normal
from detectors.normal import LearnedNormal, NormalState
from detectors.table import Flags, Floats, Ints, Rows, Table

ROW: Final = np.dtype([
    ("steps", "i8"), ("side_steps", "i8"), ("nonnegative", "?"), ("hour", "i8"), ("usual", "f8"),
    ("level_n", "f8"), ("level", "f8"), ("season_n", "f8"), ("season", "f8"),
    ("recent_n", "f8"), ("recent", "f8"), ("variance_n", "f8"), ("variance", "f8"),
    ("upper", "f8"), ("upper_xi", "f8"), ("upper_stretch", "f8"),
    ("lower", "f8"), ("lower_xi", "f8"), ("lower_stretch", "f8"),
])  # fmt: skip
"""A `NormalState` but for its hours; `usual` is NaN where nothing is known of the hour."""

HOURS: Final = np.dtype([("means", "f4", normal.SLOTS), ("visits", "f4", normal.SLOTS)])
DAYS: Final = np.arange(0, normal.SLOTS, 24)


class Expected(NamedTuple):
    """What the present step of each series should be, as in `Judgement`."""

    expected: Floats
    high: Floats
    warm: Flags
    low: Floats


class NormalBank:
    """A `LearnedNormal` for each number from 0 on, all with the same step."""

    def __init__(self, step_s: float) -> None:
        self.step_s = float(step_s)
        self._share, self._accept_steps = normal.hour_share(step_s), normal.accept_steps(step_s)
        self._memory = normal.memories(step_s)
        self._table = Table(ROW, _row(LearnedNormal(step_s).snapshot()))
        self._hours = Table(HOURS, (0.0, 0.0))

    def add(self, count: int) -> None:
        """The next numbers are new series."""
        self._table.add(count)
        self._hours.add(count)

    def keep(self, numbers: Ints) -> None:
        """Only these remain, numbered in this order."""
        self._table.keep(numbers)
        self._hours.keep(numbers)

    def expect(self, numbers: Ints, time_s: float | None = None) -> Expected:
        """What these series should be at a time; None: in the hour of their last step."""
        rows = self._table.take(numbers)
        if time_s is not None:
            self._enter(rows, int(time_s // normal.HOUR_S), numbers)
        expected, scale = _band(rows)
        high = expected + scale * _reach(rows, "upper")
        low = expected - scale * _reach(rows, "lower")
        low = np.where(rows["nonnegative"] & (low < 0), 0.0, low)
        return Expected(expected, high, rows["steps"] >= normal.WARM_STEPS, low)

    def update(self, numbers: Ints, time_s: float, values: Floats, teach: Flags) -> None:
        """`LearnedNormal.update` for each of these series; the values are finite."""
        rows, hours = self._table.take(numbers), self._hours.rows
        hour = int(time_s // normal.HOUR_S)
        self._enter(rows, hour, numbers)
        expected, scale = _band(rows)
        values = np.minimum(normal.LIMIT, np.maximum(-normal.LIMIT, values))
        deviation = values - expected
        moved = self._is_new_level(rows, values, deviation, scale)
        for i in np.flatnonzero(moved).tolist():  # seldom
            _move(rows[i], hours[numbers[i]], float(rows["recent"][i] - expected[i]))
        self._table.put(numbers, rows)
        learn = np.flatnonzero(teach & ~moved)
        if len(learn) < len(numbers):
            numbers, values, deviation, scale = numbers[learn], values[learn], deviation[learn], scale[learn]
            rows = self._table.take(numbers)
        taught = self._learn(rows, values, deviation, scale)
        self._learn_hour(numbers, hour % normal.SLOTS, taught)
        self._table.put(numbers, rows)

    def _enter(self, rows: Rows, hour: int, numbers: Ints) -> None:
        """An hour begins for those that were in another: what is known of it is from earlier visits."""
        entered = np.flatnonzero(rows["hour"] != hour)
        if len(entered):
            rows["usual"][entered] = self._usual_at(hour % normal.SLOTS, numbers[entered])
            rows["hour"] = hour

    def _usual_at(self, slot: int, numbers: Ints) -> Floats:
        total, weight, seen = np.zeros((3, len(numbers)))
        for day in (DAYS + slot % 24).tolist():
            visits = self._hours.rows["visits"][numbers, day].astype(np.float64)
            seen += visits
            share = normal.OWN_DAY * visits if day == slot else visits
            total += share * self._hours.rows["means"][numbers, day]
            weight += share
        usual: Floats = np.divide(total, weight, out=np.full(len(numbers), np.nan), where=seen >= 1.0)
        return usual

    def _average(self, rows: Rows, name: str, values: Floats) -> None:
        count = np.minimum(rows[f"{name}_n"], self._memory[name]) + 1.0
        rows[f"{name}_n"] = count
        rows[name] += 1.0 / count * (values - rows[name])

    def _is_new_level(self, rows: Rows, values: Floats, deviation: Floats, scale: Floats) -> Flags:
        self._average(rows, "recent", values)
        steps, before = rows["steps"], rows["side_steps"]
        calm = (steps < normal.WARM_STEPS) | (np.abs(deviation) <= normal.CLIP * scale)
        side = np.where(deviation > 0, 1, -1)
        aside = np.where(before * side >= 0, before + side, side)
        after: Ints = np.where(calm, before - np.sign(before), aside)
        rows["side_steps"] = after
        lasted: Flags = ~calm & (np.abs(after) >= self._accept_steps)
        return lasted

    def _learn(self, rows: Rows, values: Floats, deviation: Floats, scale: Floats) -> Floats:
        steps = rows["steps"]
        settled = steps >= normal.MIN_STEPS
        residual = deviation / scale
        _learn_tail(rows, "upper", residual, settled)
        _learn_tail(rows, "lower", -residual, settled)
        size = np.abs(deviation)
        spread = np.where(settled, np.minimum(size, normal.SCALE_CLIP * scale), np.where(steps > 0, size, 0.0))
        reach = normal.CLIP * scale
        clipped = values - deviation + np.maximum(-reach, np.minimum(reach, deviation))
        taught: Floats = np.where(settled, clipped, values)
        rows["nonnegative"] &= values >= 0
        self._average(rows, "variance", spread * spread)
        self._average(rows, "season", np.where(np.isnan(rows["usual"]), rows["level"], rows["usual"]))
        self._average(rows, "level", taught)
        rows["steps"] += 1
        return taught

    def _learn_hour(self, numbers: Ints, slot: int, taught: Floats) -> None:
        means, all_visits = self._hours.rows["means"], self._hours.rows["visits"]
        visits = np.minimum(all_visits[numbers, slot].astype(np.float64) + self._share, normal.MAX_VISITS)
        all_visits[numbers, slot] = visits
        mean = means[numbers, slot].astype(np.float64)
        means[numbers, slot] = mean + self._share / visits * (taught - mean)

    def snapshots(self, numbers: Ints) -> list[NormalState]:
        """What `LearnedNormal.snapshot` gives, of each of these."""
        hours = self._hours.take(numbers)
        which, slots = np.nonzero(hours["visits"])
        seen, means, visits = slots.astype(np.uint8), hours["means"][which, slots], hours["visits"][which, slots]
        ends = np.searchsorted(which, np.arange(1, len(numbers) + 1)).tolist()
        spans = [slice(start, end) for start, end in pairwise([0, *ends])]
        return [
            _state(self.step_s, row, (seen[span].tobytes(), means[span].tobytes(), visits[span].tobytes()))
            for row, span in zip(self._table.take(numbers).tolist(), spans, strict=True)
        ]

    def restore(self, numbers: Ints, states: Sequence[NormalState]) -> None:
        """Go on as the series that these were taken from; they are new, and have their step."""
        self._table.put(numbers, np.array([_row(state) for state in states], dtype=ROW))
        which = np.repeat(numbers, [len(state.seen) for state in states])
        slots = np.frombuffer(b"".join(state.seen for state in states), dtype=np.uint8)
        for name in ("means", "visits"):
            values = b"".join(getattr(state, name) for state in states)
            self._hours.rows[name][which, slots] = np.frombuffer(values, dtype=np.float32)


def _state(step_s: float, row: tuple[Any, ...], hours: tuple[bytes, bytes, bytes]) -> NormalState:
    steps, side_steps, nonnegative, hour, usual, *numbers = row
    level, season, recent, variance = zip(numbers[0:8:2], numbers[1:8:2], strict=True)
    upper, lower = (numbers[8], numbers[9]), (numbers[11], numbers[12])
    known = None if math.isnan(usual) else usual
    averages = (level, season, recent, variance)
    return NormalState(step_s, steps, *averages, upper, lower, side_steps, nonnegative, hour, known, *hours)


def _row(state: NormalState) -> tuple[Any, ...]:
    """A state in the order of `ROW`."""
    averages = [number for name in normal.memories(state.step_s) for number in getattr(state, name)]
    tails = [n for start, xi in (state.upper, state.lower) for n in (start, xi, normal.stretch(xi))]
    usual = math.nan if state.usual is None else state.usual
    return (state.steps, state.side_steps, state.nonnegative, state.hour, usual, *averages, *tails)


def _reach(rows: Rows, side: str) -> Floats:
    reach: Floats = np.minimum(normal.BAND_HIGH, np.maximum(normal.BAND_LOW, rows[side] * rows[f"{side}_stretch"]))
    return reach


def _band(rows: Rows) -> tuple[Floats, Floats]:
    """The expected values and their scales."""
    level, usual = rows["level"], rows["usual"]
    expected = level + np.where(np.isnan(usual), level, usual) - rows["season"]
    expected = np.where(rows["nonnegative"] & (expected < 0), 0.0, expected)
    scale = np.sqrt(rows["variance"]) + (normal.FLOOR * np.abs(expected) + 1e-9)
    return expected, scale


def _move(row: np.void, hours: np.void, shift: float) -> None:
    """To a new level; `row` and `hours` are views."""
    for name in ("level", "season", "usual"):
        row[name] += shift
    seen = hours["visits"] > 0
    hours["means"][seen] = hours["means"][seen].astype(np.float64) + shift
    row["side_steps"] = 0


def _learn_tail(rows: Rows, side: str, residual: Floats, settled: Flags) -> None:
    start = rows[side]
    beyond = residual > start
    lower = np.maximum(normal.TAIL_FLOOR, start * normal.TAIL_FALL)
    for i in np.flatnonzero(beyond & settled).tolist():
        xi = normal.next_xi(float(rows[f"{side}_xi"][i]), float(residual[i]), float(start[i]))
        rows[f"{side}_xi"][i], rows[f"{side}_stretch"][i] = xi, normal.stretch(xi)
    rows[side] = np.where(settled, np.where(beyond, start * normal.TAIL_RISE, lower), start)
