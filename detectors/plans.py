"""Plans: what the configuration's `schedules` say of an endpoint at a moment of event time.

A schedule holds from each moment that its `cron` names, in its own time zone, for the length `for`. Where several hold,
the largest number of each kind counts. Daylight saving: a moment that a clock skips happens as much later; of one that
it shows twice, the first counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter

from schemas.config import Schedule
from schemas.units import LATEST_S

_SECOND: Final = timedelta(seconds=1)
ENDLESS_S: Final = LATEST_S - 10 * 366 * 86_400  # no calendar can look further ahead from here


class Plan(NamedTuple):
    """What is planned for an endpoint: so many replicas at most, None: nothing; and how many times its normal."""

    expected_max: int | None = None
    ratio: float = 1.0


NOTHING: Final = Plan()


class Plans:
    """Answers for any endpoint and time; cheap for times that hardly ever go back."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self._calendars = [_Calendar(schedule) for schedule in schedules]

    def at(self, endpoint: str, time_s: float) -> Plan:
        """What is planned for the endpoint at this time (seconds since the epoch)."""
        if not self._calendars:
            return NOTHING
        holding = [c.schedule for c in self._calendars if c.holds(time_s) and c.schedule.covers(endpoint)]
        replicas = [schedule.expected_max for schedule in holding if schedule.expected_max is not None]
        ratios = [schedule.expected_ratio for schedule in holding if schedule.expected_ratio is not None]
        return Plan(max(replicas, default=None), max(ratios, default=1.0))

    def any_holds(self, time_s: float) -> bool:
        """Whether anything is planned for anybody at this time."""
        return any(calendar.holds(time_s) for calendar in self._calendars)


class _Calendar:
    """When a schedule holds. Keeps the last answer and the time until which it stays true."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._zone = ZoneInfo(schedule.timezone)
        self._since_s = self._until_s = 0.0
        self._holds = False

    def holds(self, time_s: float) -> bool:
        if not self._since_s <= time_s < self._until_s:
            self._look_up(time_s)
        return self._holds

    def _look_up(self, time_s: float) -> None:
        if time_s >= ENDLESS_S:  # beyond what a calendar can say
            self._holds, self._since_s, self._until_s = False, ENDLESS_S, math.inf
            return
        begun_s, next_s = self._around(time_s)
        end_s = begun_s + self.schedule.for_
        self._holds = time_s < end_s
        self._since_s, self._until_s = (begun_s, end_s) if self._holds else (end_s, next_s)

    def _around(self, time_s: float) -> tuple[float, float]:
        """When it began the last time, and when it will begin next."""
        # croniter goes astray where a clock is changed, so it is asked about wall clocks without a zone
        local = datetime.fromtimestamp(time_s, UTC).astimezone(self._zone)
        wall = local.replace(tzinfo=None, fold=0)
        later_s = [math.inf]
        for moment in croniter(self.schedule.cron, wall + _repeated(local) + _SECOND).all_prev(datetime):
            begun_s = self._begin_s(moment)
            if begun_s <= time_s:
                break
            later_s.append(begun_s)  # a moment that the clock has just skipped is still to come
        for moment in croniter(self.schedule.cron, wall).all_next(datetime):
            if (next_s := self._begin_s(moment)) > time_s:
                break
        return begun_s, min(next_s, *later_s)

    def _begin_s(self, local: datetime) -> float:
        return local.replace(tzinfo=self._zone).timestamp()


def _repeated(local: datetime) -> timedelta:
    """How much of what a clock shows at this time it has shown before: it was put back."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return first - second if local.fold and first is not None and second is not None else timedelta(0)
