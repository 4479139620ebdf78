"""`Hours`: what may be relied on in an hour, by the hours of the week before."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from detectors.hours import SIZE, Hours
from schemas.units import HOUR_US

MONDAY: int = 4 * 24  # hours since the epoch, which began on a Thursday


def counted(until: int, count: Callable[[int], int]) -> Hours:
    """Hours from a Monday's midnight on; one without a count is not told of."""
    hours = Hours()
    for hour in range(MONDAY, MONDAY + until):
        if (told := count(hour - MONDAY)) > 0:
            hours.add(hour, told)
    return hours


def expected(hours: Hours, since: float, until: float) -> float:
    return hours.expected(round((MONDAY + since) * HOUR_US), round((MONDAY + until) * HOUR_US))


def test_nothing_is_relied_on_before_a_day_is_known() -> None:
    """Nobody knows the night before there was one."""
    assert expected(counted(24, lambda _: 600), 24, 25) == 0
    assert expected(counted(27, lambda _: 600), 27, 28) == 600


def test_the_least_of_the_days_counts() -> None:
    """And of the hour and those beside it: a day that began an hour later is no surprise."""
    hours = counted(4 * 24 + 12, lambda hour: 600 if 8 + hour // 24 <= hour % 24 < 20 else 0)  # 8:00, 9:00, 10:00, ...
    assert [hours.usual(MONDAY + 4 * 24 + hour) for hour in (9, 11, 12, 18, 19, 20)] == [0, 0, 600, 600, 0, 0]


def test_a_quiet_night_is_not_relied_on() -> None:
    """From eight in the evening to eight in the morning nothing came on the days before."""
    hours = counted(2 * 24 + 20, lambda hour: 600 if 8 <= hour % 24 < 20 else 0)
    assert expected(hours, 2 * 24 + 20, 3 * 24 + 8) == 0


def test_of_an_hour_its_share_counts() -> None:
    """Ten minutes of 600 an hour are 100."""
    hours = counted(48, lambda _: 600)
    assert expected(hours, 48, 48 + 1 / 6) == pytest.approx(100)
    assert expected(hours, 47.75, 48.25) == pytest.approx(300)


def test_a_weekend_is_known_once_it_was_seen() -> None:
    """On weekdays what a week ago came counts, though it did not come on the days between."""

    def office(hour: int) -> int:
        return 600 if hour // 24 % 7 < 5 and 8 <= hour % 24 < 20 else 0

    first, second = counted(5 * 24, office), counted(12 * 24, office)
    assert expected(first, 5 * 24 + 9, 5 * 24 + 10) > 20, "it cannot know"
    assert expected(second, 12 * 24 + 9, 12 * 24 + 10) == 0
    wednesday = counted(9 * 24 + 12, office)
    assert expected(wednesday, 9 * 24 + 12, 9 * 24 + 13) == 600


def test_less_is_relied_on_when_less_has_come_of_late() -> None:
    """What has become seldom over some hours may well be silent."""
    hours = counted(3 * 24, lambda hour: 600 if hour < 3 * 24 - 4 else 6)
    assert expected(hours, 3 * 24, 3 * 24 + 1) == pytest.approx(6, rel=0.2)


def test_more_is_not_relied_on_when_more_has_come_of_late() -> None:
    """A busy morning promises nothing."""
    hours = counted(3 * 24, lambda hour: 600 if hour < 3 * 24 - 4 else 6000)
    assert expected(hours, 3 * 24, 3 * 24 + 1) == 600


def test_only_the_first_day_of_a_silence_counts() -> None:
    """What is long over has said all it can."""
    hours = counted(7 * 24, lambda _: 600)
    assert expected(hours, 7 * 24, 8 * 24) == expected(hours, 7 * 24, 30 * 24)


def test_what_is_lost_is_not_known() -> None:
    """The hours of an incident are not those of a quiet night."""
    hours = counted(2 * 24, lambda _: 600)
    hours.lose(MONDAY + 2 * 24 + 3)
    hours.add(MONDAY + 2 * 24 + 3, 600)
    for hour in range(MONDAY + 2 * 24 + 4, MONDAY + 3 * 24):
        hours.add(hour, 600)
    assert [hours.usual(MONDAY + 3 * 24 + hour) for hour in range(8)] == [600.0] * 8


def test_a_long_time_without_any_leaves_zeros() -> None:
    """However long: the ring is of one week."""
    hours = counted(48, lambda _: 600)
    hours.add(MONDAY + 48 + 3 * SIZE, 600)
    hours.add(MONDAY + 48 + 3 * SIZE + 1, 600)
    assert all(hours.usual(MONDAY + 48 + 3 * SIZE + hour) == 0 for hour in range(22))


def test_a_count_of_an_hour_that_is_gone_changes_nothing() -> None:
    """Its place in the ring is another's by now."""
    hours = counted(300, lambda _: 600)
    before = hours.snapshot()
    hours.add(MONDAY + 300 - 1 - SIZE, 1)
    assert hours.snapshot() == before


def test_a_snapshot_is_all_of_it() -> None:
    """Whatever was counted: the two go on alike, and share nothing."""
    rng = random.Random(7)  # noqa: S311 -- no secret
    hours = counted(400, lambda _: rng.choice([0, 3, 600]))
    hours.lose(MONDAY + 402)
    again = Hours(hours.snapshot())
    for hour in range(MONDAY + 402, MONDAY + 500):
        assert again.usual(hour) == hours.usual(hour)
        assert not math.isnan(hours.usual(hour))
        again.add(hour, 5)
        hours.add(hour, 5)
    assert again.snapshot() == hours.snapshot()
    again.add(MONDAY + 501, 5)
    assert again.snapshot() != hours.snapshot()
