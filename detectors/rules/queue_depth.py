"""`queue_depth`: requests wait, and have waited for a while.

The depth of a second is the deepest queue that a request of it reported. A second without a report has the depth of
the last one before it that has, for less than `for` (30 s); then nothing is known, and nothing waits. The rule fires
in a second with a report when

    the least depth of the last `for` > threshold (10)

A queue that empties once within `for` is a queue that works. It is low while the present depth is.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

import numpy as np
from msgspec import Meta

from detectors.episodes import Reading
from detectors.rollup import RequestColumns
from detectors.table import Flags, Ints, Rows
from detectors.windows import Levels, WindowRule, levels_of, severity_of
from schemas.config import Config, RuleSettings, Seconds

SEVERE: Final = 2.0  # times the threshold: critical
DEPTH: Final = 0  # the only column: one more than the deepest queue reported, so that 0 is no report


class Settings(RuleSettings, frozen=True, rename={"for_": "for"}):
    """`threshold` requests may wait; more of them for less than `for`, in code `for_`."""

    threshold: Annotated[float, Meta(gt=0, description="requests")] = 10.0
    for_: Annotated[Seconds, Meta(extra={"ge": 1, "le": 300, "multiple_of": 1})] = Seconds(30)

    SAME_EVERYWHERE: ClassVar = frozenset({"for_"})  # all endpoints of a partition share one ring of seconds


class QueueDepth(WindowRule[Settings]):
    """All endpoints of a partition at once, as columns."""

    rule: ClassVar = "queue_depth"
    unit: ClassVar = "requests"
    Settings: ClassVar = Settings

    STEP_S: ClassVar = 1
    COLUMNS: ClassVar = 1
    ROW: ClassVar = np.dtype([("threshold", "f8"), ("resolve_below", "f8"), ("enabled", "?")])

    @classmethod
    def memory_s(cls, config: Config) -> int:
        return 2 * int(cls.shared(config).for_)  # the first second of `for` may have the depth of one as long ago

    def configured(self, endpoint: str) -> tuple[Any, ...]:
        settings = self.settings(endpoint)
        return settings.threshold, settings.resolve_below, settings.enabled

    def count(self, columns: RequestColumns) -> None:
        if columns.queue_depth is None:
            return
        reports = np.flatnonzero(columns.queue_depth >= 0)  # NaN, not reported, is not
        if len(reports):
            depths = columns.queue_depth[reports].astype(np.int64)
            self.steps.raise_to(
                DEPTH, self.steps.places(columns.endpoint[reports], columns.second[reports]), depths + 1
            )

    def judge(self, step: int, silent: Flags) -> Levels | None:
        """Only who reports a deep queue in this second can begin to fire; who fires already is judged every second."""
        deep = self.steps.sums(step, 1)[DEPTH] - 1 > self.limits.rows["threshold"]
        judged = np.flatnonzero(deep | ~silent)
        if not len(judged):
            return None
        levels: Levels = np.zeros(len(self._names), dtype=np.int8)
        levels[judged] = _levels(self.limits.take(judged), self._depths(judged))
        return levels

    def read(self, endpoint: int) -> Reading:
        number = np.array([endpoint])
        settings, depths = self.settings(self._names[endpoint]), self._depths(number)
        level = int(_levels(self.limits.take(number), depths)[0])
        least, deepest, last, for_s = int(depths.min()), int(depths.max()), int(depths[-1, 0]), len(depths)

        def evidence() -> dict[str, Any]:
            return {"least": least, "deepest": deepest, "last": last, "for_s": for_s}

        return Reading(
            value=float(least),
            threshold=settings.threshold,
            severity=severity_of(level),
            low=level == 0,
            score=least / settings.threshold if settings.enabled else 0.0,
            evidence=evidence,
        )

    def _depths(self, endpoints: Ints) -> Ints:
        """[`for`, endpoints]: the depth of each of the last seconds, 0 where it is not known."""
        for_s = self.window_steps // 2
        reports = self.steps.history(DEPTH, self.step, 2 * for_s - 1, endpoints)
        second = np.arange(len(reports))[:, None]
        reported = np.maximum.accumulate(np.where(reports > 0, second, -for_s), axis=0)  # when, the last time
        held = np.take_along_axis(reports, np.maximum(reported, 0), axis=0) - 1
        depths: Ints = np.where(second - reported < for_s, held, 0)[-for_s:]
        return depths


def _levels(rows: Rows, depths: Ints) -> Levels:
    threshold, least = rows["threshold"], depths.min(axis=0)
    return levels_of(
        rows["enabled"],
        depths[-1] > rows["resolve_below"] * threshold,
        least > threshold,
        least > SEVERE * threshold,
    )
