"""`LearnedNormal` as an anomaly detector of River's, for pipelines.

A module of its own, which nothing here imports: River takes a second to load.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from river import base

from detectors.normal import Judgement, LearnedNormal


class SeasonalNormal(base.AnomalyDetector):
    """Scores one feature by how surprising it is at its time; a score above 1 is anomalous.

    Parameters
    ----------
    step_s
        How many seconds apart the values are, usually; 1 to 3600. Gaps are allowed.
    value
        The feature that is judged. Where it is missing, not a number or not finite, the score is 0 and nothing is
        learned.
    time
        The feature with the time: seconds since the epoch, or a `datetime` (UTC if it does not say). Where it is
        missing, a step has passed since the last value.

    Examples
    --------
    >>> import datetime as dt
    >>> from river import compose
    >>> start = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    >>> model = compose.Select("time", "rps") | SeasonalNormal(step_s=60, value="rps")
    >>> for minute in range(180):
    ...     x = {"time": start + dt.timedelta(minutes=minute), "rps": 100 + minute % 3, "host": "a"}
    ...     score = model.score_one(x)
    ...     model.learn_one(x)
    >>> score < 1
    True
    >>> model.score_one({"time": start + dt.timedelta(minutes=180), "rps": 400}) > 1
    True

    """

    def __init__(self, step_s: float = 60.0, value: str = "value", time: str = "time") -> None:
        self.step_s = step_s
        self.value = value
        self.time = time
        self._normal = LearnedNormal(step_s)
        self._next_s = 0.0

    def score_one(self, x: dict[Hashable, Any]) -> float:
        """How surprising it is: 0 while there is too little to judge by."""
        return self.judge_one(x).score

    def judge_one(self, x: Mapping[Hashable, Any]) -> Judgement:
        """The score with what was expected, and between what."""
        return self._normal.judge(self._time_s(x), _number(x.get(self.value)))

    def learn_one(self, x: dict[Hashable, Any]) -> None:
        time_s = self._time_s(x)
        self._normal.update(time_s, _number(x.get(self.value)))
        self._next_s = time_s + self.step_s

    def describe(self) -> dict[str, Any]:
        """What is expected at the last step, and why."""
        return self._normal.describe()

    def _time_s(self, x: Mapping[Hashable, Any]) -> float:
        time = x.get(self.time)
        if isinstance(time, datetime):
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        number = _number(time)
        return number if number == number else self._next_s  # noqa: PLR0124 -- what is not a number is not itself

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"step_s": 3600.0, "value": "Amount", "time": "Time"}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
