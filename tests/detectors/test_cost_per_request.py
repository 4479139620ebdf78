"""`cost_per_request`: a lasting rise, of hours that are full and have enough requests."""

from __future__ import annotations

import pytest
from msgspec import structs

from detectors.rules.cost_per_request import Settings
from schemas.config import Budget, Config, Seconds
from schemas.outputs import Finding, Severity, Status
from schemas.topics import ROLLUPS
from schemas.units import HOUR_US, US, from_rfc3339
from tests.detectors.logs import ENDPOINT, START_S, Entry, findings, numbered, requests, rollup, settings, stage_of

HOUR_S = 3600
KNOWN_H = 72


def hours(start: int, end: int, replicas: int, count: int = 1000, endpoint: str = ENDPOINT) -> list[Entry]:
    """Replicas and requests, both told twice an hour."""
    return [
        one
        for half in range(2 * start, 2 * end)
        for one in (
            rollup(half * 1800, half, replicas, endpoint),
            requests(half * 1800 + 1800, half, {endpoint: count // 2}),
        )
    ]


def found(log: list[Entry], config: Config | None = None) -> list[Finding]:
    stage = stage_of(ROLLUPS, settings() if config is None else config)
    return [one for one in findings(stage, numbered(log)) if one.rule == "cost_per_request"]


def tuned(**changes: float) -> Config:
    return settings(cost_per_request=Settings(**changes))  # type: ignore[arg-type]


def test_more_replicas_for_as_many_requests_cost_more_for_each() -> None:
    """It says by how much, since when, and what a thousand cost before and now."""
    first = found(hours(0, KNOWN_H, 2) + hours(KNOWN_H, KNOWN_H + 12, 3))[0]
    assert (first.subject, first.endpoint, first.severity) == (ENDPOINT, ENDPOINT, Severity.WARNING)
    assert first.value == pytest.approx(50.0, abs=0.5)
    assert first.threshold == 20.0
    assert from_rfc3339(first.evidence["since"]) == (START_S + KNOWN_H * HOUR_S) * US
    assert first.evidence["usd_per_1000_requests"] == 3.0
    assert first.evidence["usual_usd_per_1000_requests"] == pytest.approx(2.0)
    assert (first.evidence["requests"], first.evidence["usd_per_hour"]) == (1000, 3.0)
    hours_until = (from_rfc3339(first.opened_at) - (START_S + KNOWN_H * HOUR_S) * US) / HOUR_US
    assert 5 <= hours_until <= 8


def test_fewer_requests_for_as_many_replicas_do_as_well() -> None:
    """Nobody scaled down."""
    first = found(hours(0, KNOWN_H, 2) + hours(KNOWN_H, KNOWN_H + 12, 2, count=400))[0]
    assert first.value == pytest.approx(150.0, abs=1)
    assert first.severity is Severity.ERROR


@pytest.mark.parametrize(("replicas", "count"), [(22, 1100), (40, 2000), (20, 1000), (22, 1000)])
def test_more_of_both_is_no_rise(replicas: int, count: int) -> None:
    """Nor is a tenth more, which is not worth telling."""
    assert found(hours(0, KNOWN_H, 20) + hours(KNOWN_H, KNOWN_H + 48, replicas, count)) == []


def test_hours_with_few_requests_are_left_out() -> None:
    """What ten requests cost says nothing."""
    log = hours(0, KNOWN_H, 2) + hours(KNOWN_H, KNOWN_H + 48, 2, count=98)
    assert found(log) == []
    assert found(log, tuned(min_requests=98)) != []


def test_it_is_over_when_the_cost_is_back() -> None:
    """Not at once: what counts is the last hours."""
    high_end = KNOWN_H + 12
    course = found(hours(0, KNOWN_H, 2) + hours(KNOWN_H, high_end, 3) + hours(high_end, high_end + 12, 2))
    assert [one.status for one in course if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
    assert from_rfc3339(course[-1].at) >= (START_S + (high_end + 1) * HOUR_S) * US
    assert course[-1].value <= 16.0
    assert course[-1].evidence["accepted"] is False


@pytest.mark.parametrize("accept_h", [6, 24])
def test_what_lasts_becomes_usual(accept_h: int) -> None:
    """The episode ends after the stated time, says why, and does not open again at that level."""
    log = hours(0, KNOWN_H, 2) + hours(KNOWN_H, KNOWN_H + 80, 3)
    course = found(log, tuned(accept_after=Seconds(accept_h * HOUR_S)))
    assert [one.status for one in course if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
    assert course[-1].evidence["accepted"] is True
    lasted_h = (from_rfc3339(course[-1].at) - from_rfc3339(course[0].at)) / HOUR_US
    assert accept_h - 1 <= lasted_h <= accept_h + 1


def test_a_rise_of_the_accepted_level_is_told_again() -> None:
    """It is measured from there."""
    end = KNOWN_H + 100
    course = found(hours(0, KNOWN_H, 2) + hours(KNOWN_H, end, 3) + hours(end, end + 12, 6))
    opened = [one for one in course if one.status is Status.OPEN]
    assert len(opened) == 2
    assert opened[1].value == pytest.approx(100.0, abs=15)


def test_an_endpoint_of_two_budgets_is_the_subject_of_one() -> None:
    """Else the same would be found twice."""
    config = structs.replace(settings(), budgets={n: Budget(240.0, ("acme/*",)) for n in ("all", "also")})
    log = hours(0, KNOWN_H, 2) + hours(KNOWN_H, KNOWN_H + 12, 3)
    also = [one._replace(value=(one.value or b"").replace(b'"all"', b'"also"')) for one in log]
    both = [one for pair in zip(log, also, strict=True) for one in pair]
    assert len([one for one in found(both, config) if one.status is Status.OPEN]) == 1
