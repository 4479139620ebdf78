"""`LearnedNormal`: what is expected now, and how surprising the newest value is; learned online, a value a step.

Two models side by side, because they want opposite things. `Expectation` is the normal that rules and people compare
with: it hardly moves in an incident, and `low`..`high` around it is what chance explains. `Surprise` is the detector:
it compares with the best forecast of the moment, so that it sees a change at once, and falls silent soon after.

Detection and action are two thresholds. A score above 1 is worth showing: on clean one-minute counts it comes up about
once a day. A command needs more: a score above 1.5, or a value beyond `high` and by a factor above `expected`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from detectors.expectation import ACCEPT_S, LIMIT, Expectation, NormalState
from detectors.memory import WARM_STEPS
from detectors.surprise import Surprise

__all__ = ["ACCEPT_S", "LIMIT", "WARM_STEPS", "Judgement", "LearnedNormal", "NormalState"]


class Judgement(NamedTuple):
    """`score` > 1 means anomalous; all but the score are in the value's unit. `warm`: there is enough to judge by."""

    score: float
    expected: float
    low: float
    high: float
    warm: bool


class LearnedNormal:
    """What is normal for one series, given every `step_s` seconds; gaps are allowed.

    >>> normal = LearnedNormal(step_s=60)
    >>> for minute in range(120):
    ...     judgement = normal.update(60.0 * minute, 100.0 + minute % 3)
    >>> judgement.warm, judgement.score < 1
    (True, True)
    >>> normal.update(60.0 * 120, 900.0).score > 1
    True
    """

    def __init__(self, step_s: float = 60.0) -> None:
        self._expectation = Expectation(step_s)
        self._surprise = Surprise(step_s)

    @property
    def step_s(self) -> float:
        return self._expectation.step_s

    @property
    def steps(self) -> int:
        """How many values have taught."""
        return self._expectation.steps

    def expect(self, time_s: float) -> Judgement:
        """What a value at `time_s` (seconds since the epoch) should be; the score is 0."""
        expected, low, high, _ = self._expectation.expect(time_s)
        return Judgement(0.0, expected, low, high, self._expectation.warm)

    def update(self, time_s: float, value: float, *, teach: bool = True) -> Judgement:
        """Judge the value of the step at `time_s`, then learn from it.

        `teach=False`, during an incident: the value counts towards a new level, and teaches nothing else.
        A value that is not finite is ignored.
        """
        if not math.isfinite(value):
            return self.expect(time_s)
        expectation, surprise = self._expectation, self._surprise
        value, positive = min(LIMIT, max(-LIMIT, value)), expectation.nonnegative
        expectation.enter(time_s, value)
        warm = expectation.warm
        look = surprise.update if teach else surprise.judge
        score = look(time_s, value, expectation.now, positive=positive)
        expected, low, high, _ = expectation.learn(value, teach=teach)
        return Judgement(score if warm else 0.0, expected, low, high, warm)

    def judge(self, time_s: float, value: float) -> Judgement:
        """What `update` would return; nothing changes."""
        if not math.isfinite(value):
            return self.expect(time_s)
        if self.steps == 0:
            return LearnedNormal(self.step_s).update(time_s, value)
        expectation = self._expectation
        value, usual = min(LIMIT, max(-LIMIT, value)), expectation.usual(time_s)
        score = self._surprise.judge(time_s, value, usual, positive=expectation.nonnegative)
        return self.expect(time_s)._replace(score=score if expectation.warm else 0.0)

    def describe(self) -> dict[str, Any]:
        """What is expected at the last step, and why: plain data, as in an alert's evidence."""
        return self._expectation.describe()

    def snapshot(self) -> NormalState:
        """All of it as plain data: `restore` goes on exactly where this one is."""
        return self._expectation.snapshot(self._surprise.snapshot())

    @classmethod
    def restore(cls, state: NormalState) -> LearnedNormal:
        normal = cls(state.step_s)
        normal._expectation = Expectation.restore(state)
        if state.surprise is not None:
            normal._surprise = Surprise.restore(state.step_s, state.surprise)
        return normal
