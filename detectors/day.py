"""A budget's day: from midnight to midnight in its time zone, 23, 24 or 25 hours.

Zone rules are data (the system's, else the package tzdata), read once for a zone. Where the clock skips midnight the
day begins at the moment it does so, where midnight comes twice at the first one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from schemas.units import HOUR_US, to_us

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ENDLESS_US: Final = to_us(datetime(9999, 12, 30, tzinfo=UTC))  # from here on there may be no next midnight ...
END_US: Final = ENDLESS_US + 48 * HOUR_US  # ... and from here on no time can be written


class Day(Struct, array_like=True):
    """The day, and what is known of its spend without a look at every account.

    `upper_nano` is never less than the spend. `gone_nano`, and `gone_rest` of the unit nano-dollars per hour x
    microseconds, is what endpoints spent in it that have been forgotten since.
    """

    started_us: int = 0
    ends_us: int = 0
    upper_nano: int = 0
    gone_nano: int = 0
    gone_rest: int = 0


def day_of(time_us: int, timezone: str) -> tuple[int, int]:
    """When the day begins and ends that a moment belongs to."""
    if time_us >= ENDLESS_US:
        return ENDLESS_US, END_US
    zone = _zone(timezone)
    today = (EPOCH + timedelta(microseconds=time_us)).astimezone(zone).date()
    return _midnight(today, zone), _midnight(today + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_us(datetime(day.year, day.month, day.day, tzinfo=zone))


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
