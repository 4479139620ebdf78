"""`SurpriseBank`: the `Surprise`s of many series that step together, as columns. See `normal_bank.py` for the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from detectors import surprise
from detectors.memory import DAY_HOURS, DAY_S, HOUR_S, rate, warm_steps
from detectors.surprise import ALPHA, LOCAL, Surprise, SurpriseState
from detectors.table import Flags, Floats, Ints, Rows, Table
from detectors.tail import TAIL_GAIN, TAIL_P, stretch
from detectors.tail_columns import learn_tail, reach

ERRORS: Final = ("by_slow", "by_level", "by_last", "by_sum", "by_product")
TAILS: Final = ("upper", "lower", "local_upper", "local_lower")
ROW: Final = np.dtype(
    [("steps", "i4"), ("hour", "i4"), ("run", "i4"), ("counts", "?"), ("last_s", "f8")]
    + [(name, "f8") for name in ("slow", "level", "last", "season", "local")]
    + [(name, "f8") for name in ("variance", "local_variance", "range", "size")]
    + [(name, "f8") for name in ERRORS]
    + [("hour_sum", "f8"), ("hour_n", "f8")]
    + [(f"{name}{part}", "f8") for name in TAILS for part in ("", "_xi", "_stretch")],
    align=True,
)
"""A `SurpriseState` but for its hours."""

HOURS: Final = np.dtype([("variance", "f4", DAY_HOURS)])


class Step(NamedTuple):
    """What one step is judged by, a number for each series. `last_counts` and `has_product` say whose word counts."""

    values: Floats
    usual: Floats
    experts: tuple[Floats, Floats, Floats, Floats, Floats]
    last_counts: Flags
    has_product: Flags
    forecast: Floats
    scale: Floats
    residual: Floats
    local_residual: Floats

    def at(self, some: Ints) -> Step:
        slow, level, last, total, product = (said[some] for said in self.experts)
        return Step(
            self.values[some],
            self.usual[some],
            (slow, level, last, total, product),
            self.last_counts[some],
            self.has_product[some],
            self.forecast[some],
            self.scale[some],
            self.residual[some],
            self.local_residual[some],
        )


class SurpriseBank:
    """A `Surprise` for each number from 0 on, all with the same step."""

    def __init__(self, step_s: float) -> None:
        self._warm_steps, self._gap_s, self._days = warm_steps(step_s), surprise.GAP_STEPS * step_s, step_s / DAY_S
        self._relief = surprise.relief(step_s)
        self._slow_rate, self._range_fall = rate(surprise.SLOW_S / step_s), 1.0 - rate(surprise.RANGE_S / step_s)
        self._table = Table(ROW, _row(Surprise(step_s).snapshot()))
        self._hours = Table(HOURS, (0.0,))

    def add(self, count: int) -> None:
        self._table.add(count)
        self._hours.add(count)

    def keep(self, numbers: Ints) -> None:
        self._table.keep(numbers)
        self._hours.keep(numbers)

    def update(  # noqa: PLR0913, PLR0917 -- what `Surprise.update` takes
        self, numbers: Ints, time_s: float, values: Floats, usual: Floats, positive: Flags, teach: Flags
    ) -> Floats:
        """`Surprise.update` for each of these series; `usual` is NaN where it is not known."""
        rows = self._table.take(numbers)
        first = np.flatnonzero(teach & (rows["steps"] == 0))
        if len(first):
            _begin(rows, first, values, usual)
        step = self._step(rows, numbers, time_s, values, usual, positive)
        scores = np.where(rows["steps"] >= self._warm_steps, self._score(rows, step), 0.0)
        if teach.all():
            self._learn(rows, numbers, step, scores, time_s)
        elif teach.any():
            some = np.flatnonzero(teach)
            self._learn(rows[some], numbers[some], step.at(some), scores[some], time_s)
        return scores

    # -- judging ---------------------------------------------------------------------------------------------------

    def _step(  # noqa: PLR0913, PLR0917 -- columns of one length, and their time
        self, rows: Rows, numbers: Ints, time_s: float, values: Floats, usual: Floats, positive: Flags
    ) -> Step:
        level, season, known = rows["level"], rows["season"], ~np.isnan(usual)
        hour = np.where(known, usual, level)
        has_product = positive & known & (season > 0)
        ratio = np.full(len(rows), surprise.MOST_RATIO)
        np.divide(level, season, out=ratio, where=has_product & (level < surprise.MOST_RATIO * season))
        stale = (rows["steps"] > 0) & (time_s - rows["last_s"] > self._gap_s)
        said = (rows["slow"], level, rows["last"], level + (hour - season), hour * ratio)
        forecast = _mixed(rows, said, ~stale, has_product)
        local = np.where(stale, forecast, rows["local"])
        floor = surprise.FLOOR_SHARE * np.abs(forecast) + surprise.FLOOR_RANGE * rows["range"]
        floor = floor + surprise.FLOOR_SIZE * rows["size"] + surprise.FLOOR_LEAST
        least, recent = floor * floor, rows["variance"]
        by_chance = surprise.COUNTS * (np.maximum(0.0, forecast) + surprise.COUNTS_LEAST)
        least = np.where(rows["counts"], least + by_chance, least)
        of_hour = self._hours.rows["variance"][numbers, int(time_s // HOUR_S) % DAY_HOURS].astype(np.float64)
        of_hour = np.where(of_hour > 0, of_hour, recent)
        scale = np.sqrt((recent + surprise.HOUR_WEIGHT * of_hour) / (1.0 + surprise.HOUR_WEIGHT) + least)
        residual = (values - forecast) / scale
        local_residual = (values - local) / np.sqrt(rows["local_variance"] + least)
        rows["local"] = local
        last = np.where(stale, forecast, rows["last"])
        rows["last"] = last
        experts = (said[0], said[1], last, said[3], said[4])
        return Step(values, usual, experts, ~stale, has_product, forecast, scale, residual, local_residual)

    def _score(self, rows: Rows, step: Step) -> Floats:
        limit = np.sqrt(surprise.THETA * _reach(rows, step.residual, "upper", "lower"))
        local_limit = np.sqrt(surprise.THETA * _reach(rows, step.local_residual, "local_upper", "local_lower"))
        share = (1.0 - LOCAL) * (np.abs(step.residual) / limit) + LOCAL * (np.abs(step.local_residual) / local_limit)
        scores: Floats = self._relief * share
        return scores

    # -- learning --------------------------------------------------------------------------------------------------

    def _learn(self, rows: Rows, numbers: Ints, step: Step, scores: Floats, time_s: float) -> None:
        self._enter(rows, numbers, int(time_s // HOUR_S))
        self._learn_run(rows, step, scores)
        self._learn_errors(rows, step)
        self._learn_scales(rows, step)
        self._learn_levels(rows, step)
        rows["counts"] &= (step.values >= 0) & (np.floor(step.values) == step.values)
        rows["last_s"] = time_s
        rows["steps"] += 1
        self._table.put(numbers, rows)

    def _enter(self, rows: Rows, numbers: Ints, hour: int) -> None:
        over = np.flatnonzero((rows["hour"] != hour) & (rows["hour_n"] > 0))
        if len(over):
            variance, at = self._hours.rows["variance"], numbers[over]
            slot, mean = rows["hour"][over] % DAY_HOURS, rows["hour_sum"][over] / rows["hour_n"][over]
            known = variance[at, slot].astype(np.float64)
            weight = np.maximum(surprise.HOUR_RATE, 1.0 / (rows["steps"][over] * self._days + 1.0))
            variance[at, slot] = known + np.where(known > 0, weight, 1.0) * (mean - known)
            rows["hour_sum"][over] = rows["hour_n"][over] = 0.0
        rows["hour"] = hour

    def _learn_run(self, rows: Rows, step: Step, scores: Floats) -> None:
        run, odd = rows["run"], scores > 1.0
        side = np.where(step.values - step.forecast > 0, 1, -1)
        rows["run"] = after = np.where(odd, np.where(run * side > 0, run + side, side), run - np.sign(run))
        learns = (rows["steps"] >= self._warm_steps) & ~(odd & (np.abs(after) > 1))
        past = np.maximum(rows["steps"] - self._warm_steps, 0)
        gain = np.maximum(TAIL_GAIN, surprise.FIRST_GAIN / (1.0 + surprise.GAIN_FALL * past))
        rise, fall = 1.0 + gain * (1.0 - TAIL_P / 2), 1.0 - gain * (TAIL_P / 2)
        residuals = (step.residual, -step.residual, step.local_residual, -step.local_residual)
        for name, residual in zip(TAILS, residuals, strict=True):
            learn_tail(rows, name, residual, learns, ALPHA, rise, fall)

    def _learn_errors(self, rows: Rows, step: Step) -> None:
        gain = _gain(rows, surprise.ERROR_RATE)
        most = np.where(rows["steps"] < surprise.EARLY_STEPS, np.inf, surprise.ERROR_CLIP * step.scale)
        for name, said in zip(ERRORS, step.experts, strict=True):
            rows[name] += gain * (np.minimum(np.abs(step.values - said), most) - rows[name])
        without = np.maximum(rows["by_slow"], rows["by_level"])
        rows["by_product"] = np.where(step.has_product, rows["by_product"], without)

    def _learn_scales(self, rows: Rows, step: Step) -> None:
        early, size = rows["steps"] < surprise.EARLY_STEPS, np.abs(step.values - step.forecast)
        clipped = np.where(early, size, np.minimum(size, surprise.SCALE_CLIP * step.scale))
        rows["variance"] += _gain(rows, surprise.SCALE_RATE) * (clipped * clipped - rows["variance"])
        clipped = np.where(early, size, np.minimum(size, surprise.HOUR_CLIP * step.scale))
        rows["hour_sum"] += clipped * clipped
        rows["hour_n"] += 1.0
        away = step.values - rows["local"]
        most = surprise.SCALE_CLIP * np.sqrt(rows["local_variance"] + step.scale * step.scale)
        away = np.where(early, away, np.maximum(-most, np.minimum(most, away)))
        rows["local_variance"] += _gain(rows, surprise.LOCAL_SCALE_RATE) * (away * away - rows["local_variance"])
        rows["local"] += _gain(rows, surprise.LOCAL_RATE) * away

    def _learn_levels(self, rows: Rows, step: Step) -> None:
        steps, values = rows["steps"], step.values
        early, far = steps < surprise.EARLY_STEPS, np.abs(values - rows["slow"])
        near = np.minimum(far, rows["range"] + surprise.RANGE_CLIP * step.scale)
        rows["range"] = np.maximum(rows["range"] * self._range_fall, np.where(early, far, near))
        most = np.where(steps >= self._warm_steps, surprise.CLIP, surprise.EARLY_CLIP) * step.scale
        clipped = step.forecast + np.maximum(-most, np.minimum(most, values - step.forecast))
        values = np.where(early, values, clipped)
        rows["size"] += _gain(rows, surprise.SIZE_RATE) * (np.abs(values) - rows["size"])
        rows["slow"] += _gain(rows, self._slow_rate) * (values - rows["slow"])
        rows["last"] += _gain(rows, surprise.LAST_RATE) * (values - rows["last"])
        gain = _gain(rows, surprise.LEVEL_RATE)
        usual = np.where(np.isnan(step.usual), rows["level"], step.usual)
        rows["season"] += gain * (usual - rows["season"])
        rows["level"] += gain * (values - rows["level"])

    # -- plain data ------------------------------------------------------------------------------------------------

    def snapshots(self, numbers: Ints) -> list[SurpriseState]:
        hours = self._hours.take(numbers)["variance"]
        return [_state(row, hours[i].tobytes()) for i, row in enumerate(self._table.take(numbers).tolist())]

    def restore(self, numbers: Ints, states: Sequence[SurpriseState]) -> None:
        self._table.put(numbers, np.array([_row(state) for state in states], dtype=ROW))
        hours = np.frombuffer(b"".join(state.hours for state in states), dtype=np.float32)
        self._hours.rows["variance"][numbers] = hours.reshape(-1, DAY_HOURS)


def _begin(rows: Rows, first: Ints, values: Floats, usual: Floats) -> None:
    value = values[first]
    for name in ("slow", "level", "last", "local"):
        rows[name][first] = value
    rows["season"][first] = np.where(np.isnan(usual[first]), value, usual[first])
    rows["size"][first] = np.abs(value)


def _mixed(rows: Rows, said: tuple[Floats, ...], last_counts: Flags, has_product: Flags) -> Floats:
    always = np.minimum(np.minimum(rows["by_slow"], rows["by_level"]), rows["by_sum"])
    best = np.where(last_counts, np.minimum(always, rows["by_last"]), always)
    best = np.where(has_product, np.minimum(best, rows["by_product"]), best) + surprise.TINY
    total, weight = np.zeros((2, len(rows)))
    for name, value in zip(ERRORS, said, strict=True):
        ratio = best / (rows[name] + surprise.TINY)
        ratio = ratio * ratio * ratio
        if name == "by_last":
            ratio = np.where(last_counts, ratio, 0.0)
        if name == "by_product":
            ratio = np.where(has_product, ratio, 0.0)
        weight += ratio
        total += ratio * value
    mixed: Floats = total / weight
    return mixed


def _reach(rows: Rows, residual: Floats, upper: str, lower: str) -> Floats:
    low, high = surprise.TAIL_LOW, surprise.TAIL_HIGH
    chosen: Floats = np.where(residual > 0, reach(rows, upper, low, high), reach(rows, lower, low, high))
    return chosen


def _gain(rows: Rows, least: float) -> Floats:
    gain: Floats = np.maximum(least, 1.0 / (rows["steps"] + 1.0))
    return gain


def _state(row: tuple[Any, ...], hours: bytes) -> SurpriseState:
    steps, hour, run, counts, last_s, *numbers = row
    levels, spreads, errors, hour_sum = numbers[:5], numbers[5:9], numbers[9:14], numbers[14:16]
    tails = numbers[16:]
    shape = (tuple(levels), tuple(spreads), tuple(errors), tuple(hour_sum))
    return SurpriseState(steps, last_s, hour, *shape, counts, run, tuple(tails[0::3]), tuple(tails[1::3]), hours)


def _row(state: SurpriseState) -> tuple[Any, ...]:
    """A state in the order of `ROW`."""
    tails = [n for pair in zip(state.tails, state.indices, strict=True) for n in (*pair, stretch(pair[1], ALPHA))]
    counts = (state.steps, state.hour, state.run, state.counts, state.last_s)
    return (*counts, *state.levels, *state.spreads, *state.errors, *state.hour_sum, *tails)
