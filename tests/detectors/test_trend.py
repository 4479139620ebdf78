"""Whether a lasting rise is told from noise, from nights and from weekends."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

import msgspec
import pytest

from detectors.trend import CLIP, DELTA, THRESHOLD, WARM_HOURS, Trend

MONTH_H: Final = 30 * 24
START_H: Final = 495_000


def hours(count: int, noise: float, seed: int = 1, start: int = START_H) -> Iterator[tuple[int, float]]:
    """The logarithm of a cost that is five times higher at night and half as much again at the weekend."""
    rng = random.Random(seed)  # noqa: S311 -- no secret
    for hour in range(start, start + count):
        weekend = 0.4 if hour // 24 % 7 in (2, 3) else 0.0
        yield hour, 0.8 * math.cos(math.tau * hour / 24) + weekend + rng.gauss(0, noise)


def confirmed_after(rise: float, noise: float, seed: int, known_h: int = 10 * 24) -> int | None:
    """How many hours of a lasting rise it takes, and whether it is confirmed within four days."""
    trend = Trend()
    for hour, value in hours(known_h + 96, noise, seed):
        begun = hour - START_H - known_h
        trend.update(hour, value + (math.log(rise) if begun >= 0 else 0))
        if trend.confirmed >= 0:
            return begun + 1
    return None


@pytest.mark.parametrize("seed", range(10))
def test_months_of_noise_are_no_rise(seed: int) -> None:
    """A fifth up and down from hour to hour, with nights and weekends: half a year of each of ten endpoints."""
    trend = Trend()
    for hour, value in hours(6 * MONTH_H, 0.2, seed):
        trend.update(hour, value)
        assert trend.confirmed < 0


def test_a_lasting_rise_is_noticed_within_hours() -> None:
    """By 30 % in less than a day, mostly, at noise of 20 %; where it is quiet, and of what has doubled, in hours."""
    delays = sorted(confirmed_after(1.3, 0.2, seed) or 99 for seed in range(20))
    assert delays[0] > 1, "none was a false alarm"
    assert delays[10] <= 24
    assert all(1 <= (confirmed_after(1.3, 0.05, seed) or 99) <= 12 for seed in range(10))
    assert all(1 <= (confirmed_after(2.0, 0.2, seed) or 99) <= 10 for seed in range(10))


def test_one_hour_is_no_rise_however_high() -> None:
    """Nor are four: it takes as many as the sum needs."""
    least = math.ceil(THRESHOLD / (CLIP - DELTA))
    assert least == 5
    for length in (1, 4):
        trend = Trend()
        for hour, value in hours(10 * 24, 0.05):
            trend.update(hour, value + (5.0 if 200 <= hour - START_H < 200 + length else 0.0))
        assert trend.confirmed < 0


def test_the_size_and_the_beginning_are_told() -> None:
    """As they were."""
    trend = Trend()
    for hour, value in hours(11 * 24, 0.02):
        trend.update(hour, value + (math.log(1.5) if hour - START_H >= 240 else 0))
        if trend.confirmed >= 0:
            break
    assert math.exp(trend.above) == pytest.approx(1.5, rel=0.03)
    assert abs(trend.since - START_H - 240) <= 2


def test_a_fall_is_no_rise() -> None:
    """Cheaper is no complaint; and after it the old level is one, once the lower one has become usual."""
    trend = Trend()
    for hour, value in hours(60 * 24, 0.05):
        fallen = 240 <= hour - START_H < 56 * 24
        trend.update(hour, value - (math.log(2) if fallen else 0))
        assert trend.confirmed < 0 or not fallen
    assert trend.confirmed >= START_H + 56 * 24


def test_the_first_weekend_is_not_judged() -> None:
    """Nobody has seen one: however much dearer it is."""
    monday = 495_000 // 168 * 168 + 4 * 24
    trend = Trend()
    for hour in range(monday, monday + 7 * 24):
        trend.update(hour, 1.0 if hour // 24 % 7 in (2, 3) else 0.0)
    assert trend.confirmed < 0


def test_nothing_is_judged_before_two_days_are_known() -> None:
    """The first day is what the second is compared with, and the second shows how much such hours differ."""
    trend = Trend()
    for hour, value in hours(48, 0.05, start=START_H // 168 * 168 + 4 * 24):
        trend.update(hour, value + (2.0 if hour % 168 >= 5 * 24 else 0.0))
    assert (trend.judged, trend.confirmed) == (WARM_HOURS, -1)


def test_what_is_accepted_is_usual() -> None:
    """At any hour; and a new rise is measured from there."""
    trend, known = Trend(), 0.0
    for hour, value in hours(12 * 24, 0.02):
        trend.update(hour, value + (math.log(2) if hour - START_H >= 240 else 0))
    assert trend.confirmed >= 0
    known = trend.usual(START_H + 5) or 0.0
    trend.accept()
    assert trend.usual(START_H + 5) == pytest.approx(known + math.log(2), abs=0.1)
    assert (trend.confirmed, trend.since, trend.above) == (-1, -1, 0.0)


def test_a_trend_that_was_kept_goes_on_exactly() -> None:
    """After every hour, in an open rise or out of one: River's test, too."""
    whole, again = Trend(), Trend()
    for hour, value in hours(14 * 24, 0.2, seed=3):
        risen = value + (math.log(1.6) if hour - START_H >= 10 * 24 else 0)
        whole.update(hour, risen)
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(again), type=Trend)
        again.update(hour, risen)
        assert again == whole
    assert whole.confirmed >= 0
    assert len(msgspec.msgpack.encode(whole)) < 1024
