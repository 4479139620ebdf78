"""`low_utilization`: replicas are up and have next to nothing to do.

    mean utilization over the last `window` < threshold

The mean is weighted by event time and by ready replicas. Time is cut into twelfths of the window (five minutes), and
it is the mean of the last twelve that are over, so it changes every five minutes. A report stands for the time until
the next one, ten minutes at most; time of which nothing is known, or in which nothing was ready, does not count. At
least 80 % of the window must, and its first twelfth in part: nothing is judged in its first 55 minutes.

The value is low when it fires, so the score is threshold / mean (at most 100), and the episode is calm when the mean is
at or above threshold / `resolve_below`, or 1. `info`, a warning when the mean is below half of the threshold.

What is wasted is what would not be paid at 80 % utilization, the level at which Hugging Face adds a replica:

    wasted = ready replicas x price x (1 - mean / 0.8)

Source of the 10 %: the project's own example.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from detectors.episodes import Reading
from detectors.report import HOLD_US, Report
from detectors.rule import HistoryRule
from schemas.config import RuleSettings, Seconds, Share
from schemas.outputs import Severity
from schemas.units import US

STEPS: Final = 12  # in a window
COVERAGE: Final = 0.8  # of the window, at least, must be known
FULL: Final = 0.8  # the utilization at which Hugging Face adds a replica
IDLE: Final = 0.01  # below it there is nothing to do at all
WARNING: Final = 2.0  # times the score at which it fires
MOST_SCORE: Final = 100.0  # of an endpoint with nothing at all to do
HOURS: Final = 24


class Settings(RuleSettings, frozen=True):
    """A mean below `threshold` over `window`."""

    threshold: Share = 0.1
    window: Annotated[Seconds, Meta(extra={"ge": 600, "le": 86_400, "multiple_of": 60})] = Seconds(3600)


class Step(Struct, array_like=True):
    """A twelfth of the window: what is known of it."""

    number: int  # counted from the epoch
    up_us: int = 0  # time with ready replicas of which the utilization is known
    replica_us: int = 0
    busy_us: float = 0.0  # replica-time x utilization


class Usage(Struct, array_like=True):
    """The last twelfths, each `step_us` long, that are not empty."""

    step_us: int = 0
    steps: list[Step] = msgspec.field(default_factory=list)


class Use(NamedTuple):
    """Of a window: the mean utilization, None if nothing is known; which share is known; and whether that is enough."""

    mean: float | None
    coverage: float
    is_enough: bool


class LowUtilization(HistoryRule[Settings, Usage]):
    """Mean utilization of what is up."""

    rule: ClassVar = "low_utilization"
    unit: ClassVar = "share"
    Settings: ClassVar = Settings
    Memory: ClassVar = Usage

    def take(self, endpoint: str, memory: Usage, report: Report, before: Report | None) -> None:
        if before is None or before.ready_replicas == 0 or before.utilization < 0:
            return
        step_us = _step_us(self.settings(endpoint))
        if memory.step_us != step_us:  # new, or the window was changed
            memory.step_us, memory.steps = step_us, []
        _add(memory, before, min(report.time_us, before.time_us + HOLD_US))
        oldest = report.time_us // step_us - STEPS
        memory.steps = [step for step in memory.steps if step.number >= oldest]

    def read(self, endpoint: str, memory: Usage, report: Report, at_us: int) -> Reading:
        settings = self.settings(endpoint)
        use = _use(memory, at_us, _step_us(settings))
        threshold = settings.threshold if settings.enabled else 0.0
        score = _score(use, threshold) if report.ready_replicas > 0 else 0.0
        return Reading(
            value=use.mean or 0.0,
            threshold=threshold,
            severity=Severity.WARNING if score > WARNING else Severity.INFO,
            low=use.mean is None or use.mean >= min(1.0, threshold / settings.resolve_below),
            score=score,
            evidence=lambda: self._evidence(endpoint, use, report),
        )

    def _evidence(self, endpoint: str, use: Use, report: Report) -> dict[str, Any]:
        known = self.config.endpoint(endpoint)
        rate = None if known.price_usd_per_hour is None else report.ready_replicas * known.price_usd_per_hour
        mean = FULL if use.mean is None else use.mean  # nothing known: nothing wasted
        advice, needed, saved = _advice(report.ready_replicas, mean, is_critical=bool(known.critical))
        usd = {
            "rate_usd_per_hour": rate,
            "wasted_usd_per_hour": None if rate is None else rate * _idle_share(mean),
            "saves_usd_per_day": None if rate is None else rate * saved * HOURS,
        }
        return {
            "mean_utilization": None if use.mean is None else round(use.mean, 6),
            "coverage": round(use.coverage, 3),
            "window_s": float(self.settings(endpoint).window),
            "ready_replicas": report.ready_replicas,
            "instance": report.instance or None,
            **{name: None if amount is None else round(amount, 9) for name, amount in usd.items()},
            "advice": advice,
            "replicas_needed": needed,
            "before": report.scaling,
        }


def _step_us(settings: Settings) -> int:
    return round(settings.window) * US // STEPS


def _add(memory: Usage, report: Report, end_us: int) -> None:
    """What a report says of the time until `end_us`, cut at the ends of the steps."""
    start_us = report.time_us
    while start_us < end_us:
        number = start_us // memory.step_us
        if not memory.steps or memory.steps[-1].number != number:
            memory.steps.append(Step(number))
        step, until_us = memory.steps[-1], min(end_us, (number + 1) * memory.step_us)
        step.up_us += until_us - start_us
        step.replica_us += (until_us - start_us) * report.ready_replicas
        step.busy_us += (until_us - start_us) * report.ready_replicas * min(report.utilization, 1.0)
        start_us = until_us


def _use(memory: Usage, at_us: int, step_us: int) -> Use:
    """Of the last steps that are over."""
    current = at_us // step_us if memory.step_us == step_us else 0
    steps = [step for step in memory.steps if current - STEPS <= step.number < current]
    replica_us = sum(step.replica_us for step in steps)
    mean = sum(step.busy_us for step in steps) / replica_us if replica_us else None
    coverage = sum(step.up_us for step in steps) / (STEPS * step_us)
    is_old = bool(steps) and steps[0].number == current - STEPS
    return Use(mean, coverage, is_enough=is_old and coverage >= COVERAGE)


def _score(use: Use, threshold: float) -> float:
    if use.mean is None or not use.is_enough:
        return 0.0
    return threshold / max(use.mean, threshold / MOST_SCORE) if threshold > 0 else 0.0


def _idle_share(mean: float) -> float:
    return max(0.0, 1 - mean / FULL)


def _advice(ready: int, mean: float, *, is_critical: bool) -> tuple[str | None, int, float]:
    """What to do, how many replicas would do, and the share of the present cost that it saves."""
    needed = min(ready, max(1, math.ceil(ready * mean / FULL)))
    if ready == 0 or mean >= FULL:
        return None, needed, 0.0
    if mean < IDLE and not is_critical:
        return "scale to zero", 0, 1.0
    if needed < ready:
        return "fewer replicas", needed, 1 - needed / ready
    return "smaller instance", needed, _idle_share(mean)
