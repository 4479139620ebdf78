"""What is news of an episode."""

from __future__ import annotations

import pytest

from schemas.outputs import Severity, Status
from streams.courses import Courses, Turn
from tests.actions.findings import resolved, surge


def test_a_rise_of_severity_is_news_and_the_same_again_is_none() -> None:
    """Nor is a fall, nor a return to what was told before."""
    courses = Courses()
    severities = [Severity.WARNING, Severity.WARNING, Severity.ERROR, Severity.WARNING, Severity.ERROR]
    severities += [Severity.CRITICAL]
    turns = [
        courses.take(surge("acme/a", 60.0 * n, severity=severity, status=Status.UPDATE if n else Status.OPEN))
        for n, severity in enumerate(severities)
    ]
    on = Turn.GOES_ON
    assert turns == [Turn.OPENS, on, Turn.RISES, on, on, Turn.RISES]


def test_what_has_ended_is_open_no_longer() -> None:
    """Each episode for itself; its end is always news."""
    courses = Courses()
    first, second = surge("acme/a", 0), surge("acme/b", 0)
    assert [courses.take(first), courses.take(second), courses.open] == [Turn.OPENS, Turn.OPENS, 2]
    assert [courses.take(resolved(first, 60)), courses.open] == [Turn.ENDS, 1]
    assert [courses.take(resolved(first, 60)), courses.open] == [Turn.ENDS, 1]


@pytest.mark.parametrize("status", [Status.OPEN, Status.UPDATE])
def test_an_episode_that_began_before_is_new_to_the_reader(status: Status) -> None:
    """Its first finding that is read opens it."""
    assert Courses().take(surge("acme/a", 60, status=status)) is Turn.OPENS
