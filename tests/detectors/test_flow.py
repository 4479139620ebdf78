"""`Flow`: how long a silence may be."""

from __future__ import annotations

import math

import pytest

from detectors.flow import CHANCE, MOST_DAYS, Flow
from detectors.hours import Hours
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


class Counting(Hours):
    """How often it was asked for an hour."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def usual(self, hour: int) -> float:
        self.asked += 1
        return super().usual(hour)


def test_a_silence_is_short_until_more_than_the_limit_could_be_relied_on() -> None:
    """However it is asked: as it grows by minutes, at once, or when it begins later than was thought."""
    flow = Flow()
    for hour in range(24 * 4):
        for minute in range(1, 61):
            flow.tell(hour * HOUR_US + minute * MINUTE_US, (hour % 24) ** 2 // 60)
    for begin in (96 * HOUR_US, 97 * HOUR_US + 7 * MINUTE_US, 96 * HOUR_US):
        for minutes in range(1, 30 * 60):
            silence = Silence(begin, begin + minutes * MINUTE_US)
            is_short = flow.hours.expected(*silence) <= flow.limit
            assert flow.is_short(silence) == is_short
            if minutes % 100 == 0:
                assert Flow(flow.snapshot()).is_short(silence) == is_short


def test_what_comes_or_was_learned_meanwhile_is_reckoned_in() -> None:
    """A late minute of the past, and a silence that ended by itself."""
    flow = told(48 * 60)
    silence = Silence(48 * HOUR_US, 48 * HOUR_US + 30 * MINUTE_US)
    assert not flow.is_short(silence)
    flow.remember(silence)
    assert flow.is_short(silence)
    quiet = told(48 * 60)
    for hour in range(24, 28):
        quiet.hours.add(hour, -600)
    assert quiet.is_short(silence)
    for hour in range(24, 28):
        quiet.tell(hour * HOUR_US + MINUTE_US, 600)
    assert not quiet.is_short(silence)


def test_a_silence_that_cannot_be_too_long_yet_costs_nothing_minute_by_minute() -> None:
    """Of seldom endpoints there may be many, and each is silent most of the time."""
    flow = Flow()
    flow.hours = Counting()
    for hour in range(24 * 3):
        flow.tell(hour * HOUR_US + MINUTE_US, 1)
    begin = flow.since_us
    assert flow.is_short(Silence(begin, begin + 5 * MINUTE_US))
    asked = flow.hours.asked
    assert all(flow.is_short(Silence(begin, begin + minute * MINUTE_US)) for minute in range(6, 20 * 60))
    assert flow.hours.asked == asked
