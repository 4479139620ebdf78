"""Schedules: when a planned launch holds, for whom, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from detectors.plans import Plan, Plans
from schemas.config import Config, Schedule, Seconds
from schemas.outputs import Status
from schemas.topics import REQUESTS, SCALING
from schemas.units import LATEST_S
from tests.detectors.logs import ENDPOINT, START_S, Cut, Entry, findings, numbered, outputs, request, scaling, settings
from tests.detectors.logs import stage_of as stage

HOUR_S: Final = 3600
LAUNCH: Final = Schedule(cron="0 11 * * *", for_=Seconds(HOUR_S), expected_max=20, expected_ratio=3.0)
BEGIN_S: Final = 2 * HOUR_S  # START_S is ten o'clock, and 11:00 UTC ...
START: Final = datetime.fromtimestamp(START_S, UTC)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def planned(*schedules: Schedule) -> Config:
    return structs.replace(settings(), schedules=schedules)


def launch(after_s: int, **changes: object) -> Schedule:
    """One that begins so long after the log, once a day."""
    begin = START + timedelta(seconds=after_s)
    return structs.replace(LAUNCH, cron=f"{begin.minute} {begin.hour} * * *", **changes)


def test_a_schedule_holds_from_its_moment_for_its_length() -> None:
    """The first moment belongs to it, the last does not."""
    plans = Plans([LAUNCH])
    times = ["10:59:59", "11:00:00", "11:59:59", "12:00:00", "10:59:59"]
    found = [plans.at(ENDPOINT, at(f"2026-11-23T{time}")) for time in times]
    assert found == [Plan(), Plan(20, 3.0), Plan(20, 3.0), Plan(), Plan()]


def test_a_schedule_is_for_the_endpoints_that_it_names() -> None:
    """And of several that hold, the largest of each kind counts."""
    small = structs.replace(LAUNCH, endpoints=("acme/b*",), expected_max=30, expected_ratio=2.0)
    only_ratio = structs.replace(LAUNCH, endpoints=("other/*",), expected_max=None)
    plans = Plans([LAUNCH, small, only_ratio])
    noon = at("2026-11-23T11:30:00")
    assert plans.at(ENDPOINT, noon) == Plan(30, 3.0)
    assert plans.at("acme/llama", noon) == Plan(20, 3.0)
    assert Plans([only_ratio]).at("other/x", noon) == Plan(None, 3.0)
    assert Plans([only_ratio]).at(ENDPOINT, noon) == Plan()


@pytest.mark.parametrize(
    ("day", "begun", "still", "over"),
    [
        ("2026-03-28", "02:30:00", "03:29:59", "03:30:00"),
        ("2026-03-29", "03:30:00", "04:29:59", "04:30:00"),  # 02:30 is skipped
        ("2026-10-24", "02:30:00", "03:29:59", "03:30:00"),
    ],
)
def test_the_clock_is_that_of_the_time_zone(day: str, begun: str, still: str, over: str) -> None:
    """Also where it is changed."""
    plans = Plans([structs.replace(LAUNCH, cron="30 2 * * *", timezone="Europe/Berlin")])
    begun_s = at(f"{day}T{begun}", "Europe/Berlin")
    assert [plans.any_holds(begun_s + offset) for offset in (-1, 0)] == [False, True]
    assert plans.any_holds(at(f"{day}T{still}", "Europe/Berlin"))
    assert not plans.any_holds(at(f"{day}T{over}", "Europe/Berlin"))


def test_a_time_that_the_clock_shows_twice_counts_once() -> None:
    """02:30 comes twice: the launch begins at the first, an hour later it is over."""
    plans = Plans([structs.replace(LAUNCH, cron="30 2 * * *", timezone="Europe/Berlin")])
    first = at("2026-10-25T00:30:00")
    assert [plans.any_holds(first + minutes * 60) for minutes in (-1, 0, 59, 60, 90, 119)] == [
        False, True, True, False, False, False,
    ]  # fmt: skip


@given(st.lists(st.integers(0, 14 * 86_400), min_size=1, max_size=30), st.sampled_from([600, HOUR_S, 30 * HOUR_S]))
def test_the_order_of_questions_changes_no_answer(times: list[int], length_s: int) -> None:
    """What is remembered of one question is never wrong for the next; and length may exceed the period."""
    schedule = structs.replace(LAUNCH, for_=Seconds(length_s))
    plans = Plans([schedule])
    for time in times:
        expected = any(0 <= (time + START_S - begin) < length_s for begin in _beginnings(time + START_S))
        assert plans.any_holds(time + START_S) is expected


def _beginnings(time_s: int) -> Sequence[float]:
    noon = datetime.fromtimestamp(time_s, UTC).replace(hour=11, minute=0, second=0, microsecond=0)
    return [(noon - timedelta(days=days)).timestamp() for days in range(3)]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-06-01"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "15 1,3 * * *", "*/40 * * * *"])
@pytest.mark.parametrize("length_s", [1200, 4 * HOUR_S])
def test_who_has_just_begun_answers_like_who_has_always_run(day: str, cron: str, length_s: int) -> None:
    """Also where the clock is changed: a restart must not end a launch."""
    schedule = structs.replace(LAUNCH, cron=cron, for_=Seconds(length_s), timezone="Europe/Berlin")
    running, begin = Plans([schedule]), at(f"{day}T00:00:00", "UTC") - 2 * HOUR_S
    for minute in range(8 * 60):
        time_s = begin + 60 * minute
        assert Plans([schedule]).any_holds(time_s) is running.any_holds(time_s), datetime.fromtimestamp(time_s, UTC)


def test_at_the_end_of_time_nothing_is_planned() -> None:
    """A producer that writes milliseconds for seconds must not stop the worker."""
    plans = Plans([LAUNCH])
    assert not plans.any_holds(LATEST_S)
    assert plans.any_holds(at("2026-11-23T11:30:00"))


def surge(config: Config, warm_s: int, high_s: int, high: int = 80) -> list[Status]:
    log = [request(second, 10) for second in range(warm_s)]
    log += [request(second, high) for second in range(warm_s, warm_s + high_s)]
    return [one.status for one in findings(stage(REQUESTS, config), numbered(log)) if one.rule == "request_surge"]


def test_a_planned_launch_is_no_surge() -> None:
    """Eight times normal is one, eight times is none while three times is planned; sixteen times is one again."""
    begin = 1200
    assert surge(settings(), begin + 60, 30)[:1] == [Status.OPEN]
    assert surge(planned(launch(begin)), begin + 60, 30) == []
    assert surge(planned(launch(begin)), begin + 60, 30, high=200)[:1] == [Status.OPEN]
    assert surge(planned(launch(begin, endpoints=("other/*",))), begin + 60, 30)[:1] == [Status.OPEN]


def test_a_planned_launch_teaches_nothing() -> None:
    """After eight hours of it the same rate, unplanned, is a surge as before."""
    begin, length = 1200, 8 * HOUR_S
    config = planned(launch(begin, for_=Seconds(length)))
    log = [request(second, 10) for second in range(begin)]
    log += [request(second, 80) for second in range(begin, begin + length, 5)]  # as in 16 a second
    log += [request(second, 80) for second in range(begin + length, begin + length + 60)]
    found = [one for one in findings(stage(REQUESTS, config), numbered(log)) if one.rule == "request_surge"]
    assert [one.status for one in found if one.status is Status.OPEN] == [Status.OPEN]
    assert found[0].baseline == pytest.approx(10, rel=0.1)


def test_a_launch_is_planned_from_its_first_request_to_its_last() -> None:
    """Whatever second the watermark is at: eight times normal from the second of the cron until the launch is over."""
    begin, length = 1200, 600
    config = planned(launch(begin, for_=Seconds(length)))
    log = [request(second, 80 if begin <= second < begin + length else 10) for second in range(begin + length + 120)]
    assert [one for one in findings(stage(REQUESTS, config), numbered(log)) if one.rule == "request_surge"] == []


def test_an_endpoint_that_sleeps_when_a_launch_begins_is_a_part_of_it() -> None:
    """Its threshold is the planned one, however long ago it learned; after a restart as before."""
    begin = 2 * HOUR_S
    config = planned(launch(begin))
    log = [request(second, 10) for second in range(1200)]
    log += [request(second, 1, "acme/awake") for second in range(1200, begin + 900, 5)]
    log += [request(second, 300) for second in range(begin + 900, begin + 960)]
    log = numbered(log)
    found, *_ = [one for one in findings(stage(REQUESTS, config), log) if one.rule == "request_surge"]
    evidence = found.evidence
    assert evidence["planned_ratio"] == 3.0
    assert round(found.threshold, 6) >= evidence["high_rps"] >= 2.9 * evidence["normal"]["high_rps"]
    whole = outputs(REQUESTS, config, log, [])
    for cut in range(1400, len(log), 293):
        assert outputs(REQUESTS, config, log, [Cut(cut, restart=True)]) == whole
    for cut in range(len(log) - 61, len(log) - 50, 3):
        twice = [Cut(2200, restart=True), Cut(cut, restart=True)]  # asleep before the launch, and as it bursts
        assert outputs(REQUESTS, config, log, twice) == whole


def test_a_launch_that_plans_replicas_alone_teaches_nothing_either() -> None:
    """Whatever is planned is not ordinary."""
    begin = 1200
    config = planned(launch(begin, expected_ratio=None))
    log = [request(second, 10) for second in range(begin)]
    log += [request(second, 30) for second in range(begin, begin + HOUR_S)]
    log += [request(second, 80) for second in range(begin + HOUR_S, begin + HOUR_S + 60)]
    found = [one for one in findings(stage(REQUESTS, config), numbered(log)) if one.rule == "request_surge"]
    assert found[0].baseline == pytest.approx(10, rel=0.1)


def test_a_planned_launch_is_no_runaway() -> None:
    """Up to the planned number, and from its first second to its last."""
    config = planned(launch(600))
    log = [scaling(second, 15, 15) for second in (601, 4100)]
    assert findings(stage(SCALING, config), numbered(log)) == []
    for entry in (scaling(599, 15, 15), scaling(4200, 15, 15), scaling(601, 21, 21)):
        found = findings(stage(SCALING, config), numbered([entry]))
        assert [one.rule for one in found] == ["runaway_replicas"]
    assert found[0].evidence["planned_max"] == 20


def test_a_plan_is_the_same_after_a_restart() -> None:
    """At any place: before, in and after the launch."""
    config = planned(launch(700, for_=Seconds(60)))
    log: list[Entry] = [request(second, 10 if second < 705 else 200) for second in range(0, 900, 1)]
    log = numbered(log)
    whole = outputs(REQUESTS, config, log, [])
    assert whole
    for place in range(690, 900, 7):
        assert outputs(REQUESTS, config, log, [Cut(place, restart=True)]) == whole
