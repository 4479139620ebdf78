"""`error_rate`: a share of the requests fails that chance alone does not explain.

With n requests in the last `window` (5 min), E of which failed, the rule fires when

    lower(E) / n > threshold (0.01)   and   n >= min_requests (20)

where `lower` is the one-sided 99.9 % lower confidence limit of the mean of a Poisson count E, in Byar's approximation
(Breslow & Day, Statistical Methods in Cancer Research II, 1987, p. 69):

    lower(E) = E x (1 - 1 / (9 E) - z / (3 sqrt(E)))^3, at least 0;   z = 3.0902

It lies below the exact limit for every E, and counts of failures spread no wider than Poisson's, so less than one
window in a thousand fires at a true rate of `threshold`. One error in 20 requests does not, nor two, nor three; four
do. Additions, multiplications, divisions and square roots alone: the same on every processor.

An error is a request that ended with an HTTP status of 500 or more. 429 is none: it is what a caller gets who asks too
much, a throttle of ours among the reasons. The window moves in steps of 10 s.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

import numpy as np
from msgspec import Meta

from detectors.episodes import Reading
from detectors.rollup import COLUMNS, ERRORS
from detectors.table import Flags, Floats, Ints, Rows
from detectors.windows import Levels, WindowRule, levels_of, severity_of
from schemas.config import Config, RuleSettings, Seconds, Share

STEP_S: Final = 10
SEVERE: Final = 2.0  # times the threshold: critical
Z: Final = 3.0902  # of the normal distribution, one-sided 99.9 %


class Settings(RuleSettings, frozen=True):
    """A share of `threshold` may fail, over `window`, given `min_requests`."""

    threshold: Share = 0.01
    window: Annotated[Seconds, Meta(extra={"ge": STEP_S, "le": 3600, "multiple_of": STEP_S})] = Seconds(300)
    min_requests: Annotated[int, Meta(ge=1)] = 20

    SAME_EVERYWHERE: ClassVar = frozenset({"window"})  # all endpoints of a partition share one ring of steps


class ErrorRate(WindowRule[Settings]):
    """All endpoints of a partition at once, as columns."""

    rule: ClassVar = "error_rate"
    unit: ClassVar = "errors/request"
    Settings: ClassVar = Settings

    STEP_S: ClassVar = STEP_S
    COLUMNS: ClassVar = len(COLUMNS)  # those of the ring: requests and, of these, errors
    ROW: ClassVar = np.dtype([("threshold", "f8"), ("resolve_below", "f8"), ("min_requests", "i8"), ("enabled", "?")])

    @classmethod
    def memory_s(cls, config: Config) -> int:
        return int(cls.shared(config).window)

    def configured(self, endpoint: str) -> tuple[Any, ...]:
        settings = self.settings(endpoint)
        return settings.threshold, settings.resolve_below, settings.min_requests, settings.enabled

    def take(self, second: int) -> None:
        self.steps.add_second(second, self.ring.row(second))

    def judge(self, step: int, silent: Flags) -> Levels | None:  # noqa: ARG002 -- for those that look at less
        if not self.steps.has_any(ERRORS, step, self.window_steps):
            return None
        return _levels(self.limits.rows, self.steps.sums(step, self.window_steps))

    def read(self, endpoint: int) -> Reading:
        settings, rows = self.settings(self._names[endpoint]), self.limits.take(np.array([endpoint]))
        requests, errors = self.steps.sums_of(endpoint, self.step, self.window_steps)
        level = _levels(rows, np.array([[requests], [errors]])).item()
        surely = lower_limit(np.array([errors])).item()
        is_judged = settings.enabled and requests >= settings.min_requests

        def evidence() -> dict[str, Any]:
            return {
                "errors": errors,
                "requests": requests,
                "lower_bound": round(surely / max(1, requests), 9),
                "window_s": self.window_steps * STEP_S,
            }

        return Reading(
            value=errors / max(1, requests),
            threshold=settings.threshold,
            severity=severity_of(level),
            low=level == 0,
            score=surely / (settings.threshold * requests) if is_judged else 0.0,
            evidence=evidence,
        )


def _levels(rows: Rows, sums: Ints) -> Levels:
    requests, errors = sums
    surely, allowed = lower_limit(errors), rows["threshold"] * requests
    return levels_of(
        rows["enabled"] & (requests >= rows["min_requests"]),
        errors > rows["resolve_below"] * allowed,
        surely > allowed,
        surely > SEVERE * allowed,
    )


def lower_limit(errors: Ints) -> Floats:
    """The mean that a Poisson count of so many exceeds with probability 0.001 at most, rather less than more.

    >>> lower_limit(np.array([0, 1, 4, 10, 100])).round(3).tolist()
    [0.0, 0.0, 0.382, 2.916, 71.904]
    """
    some = np.maximum(errors, 1)
    root = np.maximum(0.0, 1.0 - 1.0 / (9.0 * some) - Z / (3.0 * np.sqrt(some)))
    limit: Floats = np.where(errors > 0, some * root * root * root, 0.0)
    return limit
