"""Days: from midnight to midnight, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.day import ENDLESS_US, day_of
from schemas.units import HOUR_US, LATEST_S, from_rfc3339, rfc3339, to_us

ODD: Final = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Adelaide", "Australia/Lord_Howe",
    "America/Havana", "America/Nuuk", "Asia/Beirut", "Africa/Cairo", "Pacific/Chatham", "Atlantic/Azores",
)  # fmt: skip
MOMENTS: Final = st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31)).map(lambda t: to_us(t.replace(tzinfo=UTC)))  # noqa: DTZ001


def local(time_us: int, zone: str) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "at", "began", "hours"),
    [
        ("UTC", "2026-11-22T10:00:00Z", "2026-11-22T00:00:00.000000Z", 24),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00.000000Z", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00.000000Z", 25),
        ("America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00.000000Z", 23),
        ("America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00.000000Z", 25),
        ("Asia/Kolkata", "2026-11-22T18:29:59Z", "2026-11-21T18:30:00.000000Z", 24),
        ("Asia/Kolkata", "2026-11-22T18:30:00Z", "2026-11-22T18:30:00.000000Z", 24),
        ("Australia/Lord_Howe", "2026-10-03T20:00:00Z", "2026-10-03T13:30:00.000000Z", 23.5),
        ("America/Havana", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00.000000Z", 23),  # midnight is skipped
        ("America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00.000000Z", 25),  # it comes twice
        ("America/Nuuk", "2026-10-24T12:00:00Z", "2026-10-24T01:00:00.000000Z", 25),  # back from midnight to 23:00
    ],
)
def test_a_day_lasts_as_long_as_the_clocks_say(zone: str, at: str, began: str, hours: float) -> None:
    """Also where they change at midnight itself, or by half an hour."""
    start_us, end_us = day_of(from_rfc3339(at), zone)
    assert (rfc3339(start_us), (end_us - start_us) / HOUR_US) == (began, hours)


@given(MOMENTS, st.sampled_from(ODD))
def test_days_follow_one_another_without_a_gap(time_us: int, zone: str) -> None:
    """A moment is in its day; that day's end begins the next; all of it has one date, and begins at the first of it."""
    start_us, end_us = day_of(time_us, zone)
    assert start_us <= time_us < end_us
    assert day_of(start_us, zone) == day_of(end_us - 1, zone) == (start_us, end_us)
    assert day_of(end_us, zone)[0] == end_us
    assert local(start_us, zone).date() == local(time_us, zone).date() != local(start_us - 1, zone).date()


def test_every_zone_ends_its_days_with_quarters_of_an_hour() -> None:
    """History is drawn together by quarters (`detectors/account.py`), and none may reach over midnight."""
    for zone in sorted(available_timezones()):
        for month in range(1, 13):
            assert day_of(to_us(datetime(2026, month, 15, 12, tzinfo=UTC)), zone)[0] % (HOUR_US // 4) == 0, zone


def test_the_last_day_that_can_be_written_ends_with_time() -> None:
    """A time of the year 9999 is a bad event's; it must stop nobody."""
    latest_us = to_us(LATEST_S)
    for time_us in (ENDLESS_US - 1, ENDLESS_US, latest_us):
        start_us, end_us = day_of(time_us, "Asia/Tokyo")
        assert start_us <= time_us < end_us
    assert rfc3339(end_us - 1) == "9999-12-31T23:59:59.999999Z"
