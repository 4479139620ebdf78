"""Episodes: opened once, updated seldom, resolved when calm has lasted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from detectors.episodes import Episodes, Reading
from schemas.config import RuleSettings, Seconds
from schemas.outputs import Finding, Severity, Status
from schemas.units import US, rfc3339

SETTINGS: Final = RuleSettings(resolve_after=Seconds(10))
START_US: Final = 1_000_000 * US


def reading(value: float, severity: Severity = Severity.ERROR) -> Reading:
    return Reading(value=value, threshold=10.0, severity=severity, low=value <= 8)


def follow(episodes: Episodes, second: int, what: Reading) -> Finding | None:
    span = (START_US + second * US, START_US + (second + 1) * US)
    return episodes.follow("a", span, what, SETTINGS)


def told(values: Sequence[float]) -> list[tuple[int, Status]]:
    """(second, status) of what comes of one value a second."""
    episodes = Episodes("rule", "unit")
    found = [(second, follow(episodes, second, reading(value))) for second, value in enumerate(values)]
    return [(second, finding.status) for second, finding in found if finding is not None]


def test_it_opens_above_the_threshold_only() -> None:
    """Exactly at it is not above it."""
    assert told([9, 10, 10]) == []
    assert told([9, 11, 12]) == [(1, Status.OPEN)]


def test_it_resolves_when_it_has_been_low_long_enough() -> None:
    """Ten seconds, all of them low."""
    assert told([11, *[5] * 20]) == [(0, Status.OPEN), (10, Status.RESOLVED)]


def test_in_between_it_neither_fires_nor_calms_down() -> None:
    """Between 80 % and the threshold the calm begins anew, and nothing opens."""
    values = [11, *[5] * 9, 9, *[5] * 9, 9]
    assert told(values) == [(0, Status.OPEN)]
    assert told([*values, *[5] * 10]) == [(0, Status.OPEN), (len(values) + 9, Status.RESOLVED)]


def test_it_is_updated_once_a_minute() -> None:
    """No more, however often it is asked."""
    assert told([11] * 130) == [(0, Status.OPEN), (60, Status.UPDATE), (120, Status.UPDATE)]


def test_a_worse_severity_is_told_at_once_and_never_taken_back() -> None:
    """An episode tells how bad it was."""
    episodes = Episodes("rule", "unit")
    levels = [Severity.WARNING, Severity.CRITICAL, Severity.WARNING]
    found = [follow(episodes, second, reading(11, level)) for second, level in enumerate(levels)]
    assert [finding and (finding.status, finding.severity) for finding in found] == [
        (Status.OPEN, Severity.WARNING),
        (Status.UPDATE, Severity.CRITICAL),
        None,
    ]
    assert episodes.open["a"].severity is Severity.CRITICAL


def test_what_is_calm_is_not_worse() -> None:
    """A reading below the threshold raises no severity."""
    episodes = Episodes("rule", "unit")
    follow(episodes, 0, reading(11, Severity.WARNING))
    assert follow(episodes, 1, reading(9, Severity.CRITICAL)) is None


def test_what_was_before_the_opening_says_nothing() -> None:
    """A second that ended before the crossing request neither calms nor updates."""
    episodes = Episodes("rule", "unit")
    episodes.begin("a", START_US + 5 * US, reading(11))
    assert follow(episodes, 3, reading(1)) is None
    assert episodes.open["a"].low_since_us is None
    follow(episodes, 5, reading(1))
    assert episodes.open["a"].low_since_us == START_US + 5 * US


def test_a_finding_says_what_was_measured() -> None:
    """Numbers with nine decimals at most, times in UTC, and an id of its own."""
    episodes = Episodes("rule", "unit", of_budgets=True)
    episodes.config_version = "v7"
    found = episodes.begin("a", START_US, Reading(1 / 3, 0.1, Severity.ERROR, low=False, baseline=2 / 3))
    assert (found.value, found.threshold, found.baseline) == (0.333333333, 0.1, 0.666666667)
    assert (found.rule, found.subject, found.endpoint, found.unit) == ("rule", "a", None, "unit")
    assert (found.opened_at, found.at, found.config_version) == (rfc3339(START_US), rfc3339(START_US), "v7")
    assert found.id != found.episode


@pytest.mark.parametrize(("value", "threshold"), [(50.0, 49.99999999999), (1e18 + 1024, 1e18)])
def test_rounding_does_not_take_a_score_below_one(value: float, threshold: float) -> None:
    """What opens an episode has a score above 1."""
    found = Episodes("rule", "unit").begin("a", 0, Reading(value, threshold, Severity.ERROR, low=False))
    assert found.score > 1


def test_without_a_threshold_nothing_is_anomalous() -> None:
    """Nothing is divided by zero."""
    assert Reading(5.0, 0.0, Severity.ERROR, low=False).anomaly == 0.0
