"""`latency`: a share of the requests that is worth knowing of takes too long.

Of the n requests of the last `window` (60 s) that say how long they took, the `quantile` (p95) is the one at place
ceil(quantile x n) from the shortest. The rule fires when

    p95 > threshold (0.5 s)   and   n >= min_requests (20)

p95 is above the threshold exactly if more than n - ceil(quantile x n) requests took longer; so it is counted how many
did, and nothing is estimated to decide. The value is read from buckets 3 % wide (`detectors/quantiles.py`: within 2 %
of the exact quantile), which are kept only of requests that took longer than `resolve_below` x threshold: that the
p95 of a healthy endpoint is no more than this is all that is known of it, and the evidence says so.

The window moves in steps of 5 s. A row with `count` 12 counts as 12 requests that all took its `duration_s`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
import numpy as np
from msgspec import Meta

from detectors import quantiles, steps
from detectors.episodes import Reading
from detectors.quantiles import Tails
from detectors.rollup import COUNT, RequestColumns, Ring
from detectors.table import Flags, Floats, Ints
from detectors.windows import Levels, WindowRule, levels_of, severity_of
from schemas.config import Config, Lasting, RuleSettings, Seconds

STEP_S: Final = 5
SEVERE: Final = 2.0  # times the threshold: critical
ALL, UNTIMED, ABOVE_LOW, SLOW, VERY_SLOW = range(5)
"""Requests; of these without a duration, and longer than each of three limits."""

_decode_state = msgspec.msgpack.Decoder(tuple[steps.Cells, quantiles.Cells]).decode


class Settings(RuleSettings, frozen=True):
    """The `quantile` of the durations may be `threshold` at most, over `window`, given `min_requests`."""

    threshold: Lasting = Seconds(0.5)
    quantile: Annotated[float, Meta(ge=0.5, lt=1)] = 0.95
    window: Annotated[Seconds, Meta(extra={"ge": STEP_S, "le": 600, "multiple_of": STEP_S})] = Seconds(60)
    min_requests: Annotated[int, Meta(ge=1)] = 20

    SAME_EVERYWHERE: ClassVar = frozenset({"window"})  # all endpoints of a partition share one ring of steps


class Latency(WindowRule[Settings]):
    """All endpoints of a partition at once, as columns."""

    rule: ClassVar = "latency"
    unit: ClassVar = "s"
    Settings: ClassVar = Settings

    STEP_S: ClassVar = STEP_S
    COLUMNS: ClassVar = 5
    ROW: ClassVar = np.dtype([
        ("low_s", "f8"), ("threshold_s", "f8"), ("severe_s", "f8"), ("quantile", "f8"), ("min_requests", "i8"),
        ("enabled", "?"),
    ])  # fmt: skip

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config, ring)
        self._tails = Tails()

    @classmethod
    def memory_s(cls, config: Config) -> int:
        return int(cls.shared(config).window)

    def configured(self, endpoint: str) -> tuple[Any, ...]:
        settings = self.settings(endpoint)
        limits_s = _limits_s(settings) if settings.enabled else (math.inf,) * 3
        return *limits_s, settings.quantile, settings.min_requests, settings.enabled

    def keep(self, numbers: Ints) -> None:
        super().keep(numbers)
        self._tails.keep(numbers)

    def take(self, second: int) -> None:
        self.steps.add_second(second, self.ring.row(second)[COUNT:1])

    def count(self, columns: RequestColumns) -> None:
        """Only what is out of the ordinary, which is mostly nothing."""
        duration_s = columns.duration_s
        if duration_s is None:
            self._add(UNTIMED, columns)
            return
        untimed = np.isnan(duration_s)
        if untimed.any():
            self._add(UNTIMED, columns.at(untimed))
        long = (duration_s > self.limits.rows["low_s"][columns.endpoint]) & (columns.numbers[COUNT] > 0)
        if long.any():
            self._count_long(columns.at(long), duration_s[long])

    def _add(self, column: int, columns: RequestColumns) -> None:
        self.steps.add(column, self.steps.places(columns.endpoint, columns.second), columns.numbers[COUNT])

    def _count_long(self, columns: RequestColumns, duration_s: Floats) -> None:
        self._tails.add(columns.second // STEP_S, columns.endpoint, duration_s, columns.numbers[COUNT])
        self._add(ABOVE_LOW, columns)
        for column, limit in ((SLOW, "threshold_s"), (VERY_SLOW, "severe_s")):
            longer = duration_s > self.limits.rows[limit][columns.endpoint]
            if longer.any():
                self._add(column, columns.at(longer))

    def judge(self, step: int, silent: Flags) -> Levels | None:  # noqa: ARG002 -- for those that look at less
        self._tails.forget(step - self.window_steps + 1)
        if not self.steps.has_any(ABOVE_LOW, step, self.window_steps):
            return None
        requests, untimed, *longer = self.steps.sums(step, self.window_steps)
        timed, rows = requests - untimed, self.limits.rows
        allowed = timed - np.ceil(rows["quantile"] * timed)
        return levels_of(rows["enabled"] & (timed >= rows["min_requests"]), *(some > allowed for some in longer))

    def read(self, endpoint: int) -> Reading:
        settings = self.settings(self._names[endpoint])
        requests, untimed, *longer = self.steps.sums_of(endpoint, self.step, self.window_steps)
        timed = requests - untimed
        allowed = timed - math.ceil(settings.quantile * timed)
        exceeded = sum(some > allowed for some in longer)
        value = self._quantile_s(endpoint, allowed, exceeded)
        is_judged = settings.enabled and timed >= settings.min_requests

        def evidence() -> dict[str, Any]:
            return {
                "quantile": settings.quantile,
                "is_at_most": exceeded == 0,
                "requests": timed,
                "slow": longer[SLOW - ABOVE_LOW],
                "slow_share": round(longer[SLOW - ABOVE_LOW] / timed, 6) if timed else None,
                "window_s": self.window_steps * STEP_S,
            }

        return Reading(
            value=value,
            threshold=float(settings.threshold),
            severity=severity_of(exceeded),
            low=exceeded == 0 or not is_judged,
            score=value / settings.threshold if is_judged else 0.0,
            evidence=evidence,
        )

    def _quantile_s(self, endpoint: int, allowed: int, exceeded: int) -> float:
        """On the side of each limit where it was counted to be; the lowest limit if it is not above that."""
        limits_s = _limits_s(self.settings(self._names[endpoint]))
        if exceeded == 0:
            return limits_s[0]
        steps = range(self.step - self.window_steps + 1, self.step + 1)
        estimate = self._tails.largest(endpoint, steps, allowed + 1) or 0.0
        above = max(estimate, math.nextafter(limits_s[exceeded - 1], math.inf))
        return above if exceeded == len(limits_s) else min(above, limits_s[exceeded])

    def snapshots(self, numbers: Ints) -> Sequence[tuple[steps.Cells, quantiles.Cells]]:
        return list(zip(self.steps.of(numbers), self._tails.of(numbers), strict=True))

    def restore(self, numbers: Ints, states: Sequence[msgspec.Raw]) -> None:
        read = [_decode_state(state) for state in states]
        self.steps.put(numbers, [cells for cells, _ in read])
        self._tails.put(numbers, [tail for _, tail in read])


def _limits_s(settings: Settings) -> tuple[float, float, float]:
    """Up to the first it is low, above the second it fires, above the third that is critical."""
    threshold = float(settings.threshold)
    return settings.resolve_below * threshold, threshold, SEVERE * threshold
