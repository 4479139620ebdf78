"""The normal as a detector of River's."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from river import base, checks

import detectors.normal_river
from detectors import LearnedNormal
from detectors.normal_river import SeasonalNormal

X = dict[Hashable, Any]
PARAMS: Final = list(SeasonalNormal._unit_test_params())
NEEDS_SKLEARN: Final = "check_roc_auc"  # see the last test


def points(steps: int = 300) -> list[tuple[X, bool]]:
    """A labelled stream with a feature more than is asked for."""
    return [
        ({"time": 60.0 * step, "value": 900.0 if step % 97 == 96 else 100.0 + step % 7, "host": 1.0}, step % 97 == 96)
        for step in range(steps)
    ]


def river_checks() -> list[Callable[[base.AnomalyDetector], None]]:
    """All that apply to an anomaly detector, over the stream above: River's own data sets need scikit-learn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_yield_datasets", lambda _model, scale=1: iter([points(300 * scale)]))
        every = list(checks.yield_checks(SeasonalNormal()))
    return [check for check in every if check.__name__ != NEEDS_SKLEARN]


def test_the_documented_example_runs() -> None:
    """In a pipeline, with times as River's own data sets have them."""
    assert doctest.testmod(detectors.normal_river).failed == 0


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("check", river_checks(), ids=lambda check: check.__name__)
def test_it_passes_rivers_own_checks(check: Callable[[base.AnomalyDetector], None], params: dict[str, Any]) -> None:
    """All that apply to an anomaly detector, for each set of parameters."""
    check(SeasonalNormal(**params))


def test_it_scores_as_the_normal_judges() -> None:
    """Score first, then learn: the same numbers as one `update`."""
    model, normal = SeasonalNormal(), LearnedNormal()
    for step in range(200):
        time_s, value = 60.0 * step, float(step * 7919 % 101)
        x: X = {"time": time_s, "value": value}
        judged = model.judge_one(x)
        model.learn_one(x)
        assert judged == normal.update(time_s, value)
    assert model.describe() == normal.describe()


@pytest.mark.parametrize("x", [{}, {"value": None}, {"value": math.nan}, {"value": "9"}, {"value": True}])
def test_what_is_not_a_number_is_ignored(x: X) -> None:
    """It is judged as nothing, and teaches nothing."""
    model = SeasonalNormal()
    for step in range(100):
        model.learn_one({"time": 60.0 * step, "value": 5.0})
    before = model.describe()
    assert model.score_one(x) == 0.0
    model.learn_one(x)
    assert model.describe() == before


def test_without_a_time_each_value_is_a_step() -> None:
    """And a time may be a number or a moment, in UTC if it does not say."""
    timed, untimed, dated, aware = (SeasonalNormal(value="v") for _ in range(4))
    for step in range(150):
        value = float(step * 31 % 17)
        timed.learn_one({"time": 60 * step, "v": value})
        untimed.learn_one({"v": value})
        moment = datetime.fromtimestamp(60 * step, UTC)
        aware.learn_one({"time": moment, "v": value})
        dated.learn_one({"time": moment.replace(tzinfo=None), "v": value})
    assert timed.describe() == untimed.describe() == dated.describe() == aware.describe()


def test_what_is_anomalous_scores_higher_than_what_is_not() -> None:
    """Each anomaly above 1 and above every other value, once it is warm; scored before it is learned."""
    model = SeasonalNormal()
    anomalous: list[float] = []
    ordinary: list[float] = []
    for x, label in points():
        (anomalous if label else ordinary).append(model.score_one(x))
        model.learn_one(x)
    assert min(anomalous) > max(1.0, *ordinary)
