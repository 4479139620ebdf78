"""`Flow`: how long a silence may be."""

from __future__ import annotations

import math

import pytest

from detectors.flow import CHANCE, MOST_DAYS, Flow
from detectors.inputs import MINUTE_US, Silence
from schemas.units import HOUR_US

DAY_US = 24 * HOUR_US


def told(minutes: int) -> Flow:
    """Ten requests a minute, from the epoch on."""
    flow = Flow()
    for minute in range(1, minutes + 1):
        flow.tell(minute * MINUTE_US, 10)
    return flow


def test_at_first_only_chance_is_the_limit() -> None:
    """A Poisson count of this mean is 0 once in 1e9 times."""
    assert Flow().limit == CHANCE
    assert pytest.approx(1e-9) == math.exp(-CHANCE)


def test_a_silence_that_ended_by_itself_raises_the_limit() -> None:
    """To twice the requests that could be relied on meanwhile; a shorter one after it does not lower it."""
    flow = told(48 * 60)
    flow.remember(Silence(48 * HOUR_US, 48 * HOUR_US + 30 * MINUTE_US))
    assert flow.limit == pytest.approx(2 * 300)
    flow.remember(Silence(48 * HOUR_US, 48 * HOUR_US + 10 * MINUTE_US))
    assert flow.limit == pytest.approx(2 * 300)


def test_it_fades_day_by_day() -> None:
    """After two weeks half of it is forgotten; after a long silence all of it that counts."""
    flow = told(48 * 60)
    flow.remember(Silence(48 * HOUR_US, 48 * HOUR_US + 30 * MINUTE_US))
    for day in range(2, 16):
        flow.tell(day * DAY_US + HOUR_US, 10)
    assert flow.longest == pytest.approx(300 * 0.95**14)
    flow.tell(400 * DAY_US, 10)
    assert flow.longest == pytest.approx(300 * 0.95 ** (14 + MOST_DAYS))


def test_the_gap_before_a_minute_is_that_between_minutes() -> None:
    """One after the other has none; nor has the first of all."""
    assert Flow().gap_us(5 * MINUTE_US) == 0
    flow = told(10)
    assert (flow.gap_us(10 * MINUTE_US), flow.gap_us(11 * MINUTE_US), flow.gap_us(16 * MINUTE_US)) == (
        0,
        0,
        5 * MINUTE_US,
    )


def test_a_snapshot_is_all_of_it() -> None:
    """Restored, it is the same."""
    flow = told(48 * 60)
    flow.partition = 3
    flow.remember(Silence(48 * HOUR_US, 49 * HOUR_US))
    assert Flow(flow.snapshot()).snapshot() == flow.snapshot()
