"""`telemetry_gap`: who falls silent, and who is only quiet; sources that stop; bills and prices that are old."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import date
from functools import cache
from typing import Any, Final

import pytest
from msgspec import structs

from detectors import BudgetFold
from detectors.budgets import AccountState, Key, RulesState
from detectors.rules.telemetry_gap import Settings, TelemetryGap
from schemas.config import Config, Endpoint, Seconds
from schemas.outputs import Bill, Finding, Rollup, Severity, Status
from schemas.topics import BILLING, INPUTS, REQUESTS, SCALING, clock_of
from schemas.units import US, from_rfc3339, rfc3339, to_us
from tests.detectors.logs import START_S, settings

H: Final = 60  # minutes
DAY: Final = 24 * H
A, B, C = "acme/a", "acme/b", "acme/c"  # of partitions 0, 1 and 0
PARTITIONS: Final = {A: 0, B: 1, C: 0}

Traffic = Callable[[int], Mapping[str, int]]  # minute -> requests of each endpoint


def steady(*names: str, count: int = 60) -> Traffic:
    return lambda _: dict.fromkeys(names, count)


class World:
    """Roll-ups as the stages write them: replicas and requests of each minute, then until when all was read."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = settings() if config is None else config
        self.fold = BudgetFold(self.config, [], [TelemetryGap])
        self.now = 0
        self.replicas = {A: 2, B: 2, C: 2}
        self.reports, self.reads = True, set(INPUTS)  # whether collectors report; which inputs a worker reads
        self.found: list[Finding] = []
        self.facts: dict[Key, AccountState | RulesState] = {}
        self._heard_us = [0, 0]
        self._seq = 0

    def run(self, minutes: int, traffic: Traffic) -> list[Finding]:
        """What is found meanwhile."""
        before = len(self.found)
        for _ in range(minutes):
            self.now += 1
            self._minute(traffic(self.now - 1))
        return self.found[before:]

    def _minute(self, requests: Mapping[str, int]) -> None:
        at_us = self.at(self.now)
        if self.reports and SCALING in self.reads:
            for name, replicas in self.replicas.items():
                self.tell(SCALING, at_us - 30 * US, endpoint=name, replicas=replicas)
        for number in (0, 1) if REQUESTS in self.reads else ():
            own = {name: (count, 0) for name, count in requests.items() if count and PARTITIONS[name] == number}
            if own:
                self._heard_us[number] = at_us
                self.tell(REQUESTS, at_us, number, requests=own)
        for topic in sorted(self.reads):
            for number in (0, 1) if topic == REQUESTS else (0,):
                heard_us = self._heard_us[number] or None if topic == REQUESTS else None
                self.tell(clock_of(topic), at_us + US, number, heard_us=heard_us)

    def tell(self, source: str, time_us: int, partition: int = 0, **told: Any) -> None:
        self._seq += 1
        self.found += self.fold.apply(Rollup("all", source, partition, self._seq, time_us, **told))

    def bill(self, end_us: int) -> None:
        self.tell(BILLING, end_us, endpoint=A, bill=Bill(end_us - 3600 * US, end_us, 5, estimated=False, line_id=None))

    def restart(self) -> None:
        """The worker ends, and its successor begins with what was kept."""
        again = BudgetFold(self.config, [], [TelemetryGap])
        self.facts |= {key: kept for key, kept in self.fold.changed().items() if kept is not None}
        again.restore(self.fold.budgets(), self.facts)
        self.fold = again

    @staticmethod
    def at(minute: int) -> int:
        return (START_S + 60 * minute) * US


@cache
def _steady(*names: str) -> World:
    world = World()
    assert world.run(2 * DAY, steady(*names)) == []
    return world


def known(*names: str) -> World:
    """A world in which these have had a request a second for two days."""
    return deepcopy(_steady(*names))


def said(found: list[Finding]) -> list[tuple[str, Status]]:
    return [(one.subject, one.status) for one in found if one.status is not Status.UPDATE]


def whats(finding: Finding) -> list[str]:
    return [reason["what"] for reason in finding.evidence["reasons"]]


def with_rule(**changes: Any) -> Config:
    return settings(telemetry_gap=structs.replace(Settings(), **changes))


def test_an_endpoint_that_falls_silent_by_day_is_found() -> None:
    """Within a few minutes: where others of its partition go on, and where it has the partition for itself."""
    for silent, other in ((A, C), (B, A)):
        world = known(silent, other)
        found = world.run(20, steady(other))
        assert said(found) == [(silent, Status.OPEN)]
        opened = found[0]
        assert world.at(2 * DAY + 5) < from_rfc3339(opened.at) <= world.at(2 * DAY + 12)
        assert (opened.severity, opened.endpoint, opened.evidence["clock"]) == (Severity.ERROR, silent, "wall")
        assert opened.evidence["silent_since"] == rfc3339(world.at(2 * DAY))
        assert opened.evidence["expected_requests"] == pytest.approx(opened.value)  # one a second
        assert (opened.evidence["replicas"], opened.evidence["usd_per_hour"]) == (2, 2.0)
        assert opened.value / opened.threshold == pytest.approx(opened.score)
        assert said(world.run(10, steady(silent, other))) == [(silent, Status.RESOLVED)]


def test_a_quiet_night_is_not_silence() -> None:
    """Nor is the evening in which it begins an hour early; by day the same silence is."""

    def office(minute: int) -> dict[str, int]:
        is_day = 8 * H <= minute % DAY < (20 * H if minute // DAY < 3 else 19 * H)
        return {A: 60 if is_day else 0, B: 60}

    world = World()
    assert world.run(4 * DAY + 12 * H, office) == []
    assert said(world.run(20, steady(B))) == [(A, Status.OPEN)]


def test_a_weekend_is_not_silence_once_it_was_seen() -> None:
    """And a Wednesday is, though the weekend lies within the week before."""

    def week(minute: int) -> dict[str, int]:
        return {A: 60 if minute // DAY % 7 < 5 else 0, B: 60}

    world = World(with_rule(known_for=Seconds(7 * 86_400)))
    assert world.run(16 * DAY, week) == []
    assert said(world.run(20, steady(B))) == [(A, Status.OPEN)]


def test_an_endpoint_that_scales_to_zero_is_not_silent() -> None:
    """Nor one that has just woken up: silence counts from when it has had replicas."""
    world = known(A, B)
    world.replicas[A] = 0
    assert world.run(60, steady(B)) == []
    world.replicas[A] = 1
    assert world.run(5, steady(B)) == []
    assert said(world.run(20, steady(B))) == [(A, Status.OPEN)]


def test_one_that_had_no_requests_is_never_silent() -> None:
    """Nor one that is not known for a day."""
    world = known(B)
    world.run(20 * H, steady(A, B))
    assert world.run(2 * H, steady(B)) == []


def test_a_seldom_one_is_silent_when_chance_is_excluded() -> None:
    """One request in five minutes on average: not before 20.7 of them are missing."""

    def seldom(minute: int) -> dict[str, int]:
        return {A: 1 if minute % 5 == 0 else 0, B: 60}

    world = World()
    assert world.run(3 * DAY, seldom) == []
    assert world.run(100, steady(B)) == []
    assert said(world.run(60, steady(B))) == [(A, Status.OPEN)]


def test_one_that_is_often_silent_must_be_so_for_longer() -> None:
    """It came back by itself from twenty minutes: forty are beyond that."""

    def bursty(minute: int) -> dict[str, int]:
        return {A: 0 if minute % 97 < 20 else 60, B: 60}

    world = World()
    world.run(3 * DAY, bursty)
    before = len(world.found)
    world.run(97 - world.now % 97 + 20, bursty)
    assert world.run(15, steady(A, B)) == []
    assert len(world.found) == before
    assert world.run(25, steady(B)) == []
    assert said(world.run(60, steady(B))) == [(A, Status.OPEN)]


def test_a_silence_that_was_an_incident_teaches_nothing() -> None:
    """The next one is found as early as the first, the day after at the same hour too."""
    world = known(A, B)
    first = world.run(3 * H, steady(B))
    world.run(21 * H, steady(A, B))
    second = world.run(3 * H, steady(B))
    delays = [from_rfc3339(found[0].at) - world.at(day * DAY) for found, day in ((first, 2), (second, 3))]
    assert delays[0] == delays[1]
    assert second[0].evidence["limit_requests"] == first[0].evidence["limit_requests"]


def test_all_endpoints_together_are_one_source() -> None:
    """One finding of the budget, not one of each; one of an endpoint once others are heard again."""
    world = known(A, B, C)
    found = world.run(30, steady())
    assert said(found) == [("all", Status.OPEN)]
    assert (whats(found[0]), found[0].endpoint, found[0].severity) == (["requests"], None, Severity.ERROR)
    again = world.run(20, steady(A, B))
    assert sorted(said(again)) == [(C, Status.OPEN), ("all", Status.RESOLVED)]


def test_a_source_of_reports_that_stops_is_found() -> None:
    """And resolved by the reports that come again."""
    world = World()
    world.run(2 * H, steady(A))
    world.reports = False
    found = world.run(10, steady(A))
    assert said(found) == [("all", Status.OPEN)]
    (reason,) = found[0].evidence["reasons"]
    assert (reason["what"], reason["allowed_s"]) == ("scaling", 300)
    assert reason["since"] == rfc3339(world.at(2 * H) - 30 * US)
    world.reports = True
    assert said(world.run(5, steady(A))) == [("all", Status.RESOLVED)]


def test_a_source_that_reports_changes_alone_is_not_missed() -> None:
    """It never was regular for an hour."""
    world = World()
    for _ in range(6):
        world.reports = True
        assert world.run(30, steady(A)) == []
        world.reports = False
        assert world.run(30, steady(A)) == []


def test_bills_that_are_late_are_found_where_bills_came_before() -> None:
    """By the newest end of a period, whenever it came."""
    world = known(A)
    world.bill(world.at(world.now))
    assert world.run(36 * H - 1, steady(A)) == []
    found = world.run(5, steady(A))
    assert said(found) == [("all", Status.OPEN)]
    assert (whats(found[0]), found[0].severity) == (["bills"], Severity.WARNING)
    world.bill(world.at(world.now - 12 * H))
    assert said(world.run(5, steady(A))) == [("all", Status.RESOLVED)]


def test_prices_that_nobody_looked_up_for_long_are_found() -> None:
    """Of endpoints that say when; with their names. Without a date nothing is judged."""
    day = date(2026, 8, 1)
    world = World(structs.replace(settings(), endpoints={A: Endpoint(price_usd_per_hour=1, price_as_of=day)}))
    found = world.run(3, steady(A, B))
    assert said(found) == [("all", Status.OPEN)]
    (reason,) = found[0].evidence["reasons"]
    assert (reason["what"], reason["endpoints"], reason["endpoints_total"]) == ("prices", [A], 1)
    assert reason["since"] == "2026-08-01T00:00:00.000000Z"
    age_s = (from_rfc3339(found[0].at) - to_us(1_785_542_400)) / US
    assert found[0].value == pytest.approx(age_s)
    assert found[0].threshold == 90 * 86_400
    fresh = structs.replace(settings(), endpoints={A: Endpoint(price_usd_per_hour=1, price_as_of=date(2026, 11, 1))})
    world.fold.reconfigure(fresh)
    assert said(world.run(5, steady(A, B))) == [("all", Status.RESOLVED)]


def test_several_reasons_are_one_episode_of_the_worst_severity() -> None:
    """The one that decides gives its value; all are in the evidence."""
    world = World()
    world.run(10, steady(A))
    world.bill(world.at(0))
    world.run(37 * H, steady(A))
    assert [one.severity for one in world.found][:1] == [Severity.WARNING]
    world.reports = False
    found = [one for one in world.run(10, steady(A)) if one.severity is Severity.ERROR]
    assert whats(found[0]) == ["scaling", "bills"]
    assert found[0].threshold == 300
    assert len({one.episode for one in world.found}) == 1


@pytest.mark.parametrize("away", [{REQUESTS}, {SCALING}, set(INPUTS)])
def test_while_a_worker_is_away_nothing_is_concluded(away: set[str]) -> None:
    """Be it that of the requests, that of the reports, or all of them: what is not read is not silence.

    When it is back it reads what had come meanwhile, and there was nothing.
    """
    world, told = known(A, B, C), steady(A, B, C) if REQUESTS in away else steady(B, C)
    world.reads -= away
    assert world.run(3 * H, told) == []
    for minute in range(2 * DAY + 1, world.now + 1):  # what had come meanwhile is read, and only then its end
        if SCALING in away:
            world.tell(SCALING, world.at(minute) - 30 * US, endpoint=A, replicas=0)
        for number, names in ((0, (A, C)), (1, (B,))) if REQUESTS in away else ():
            world.tell(REQUESTS, world.at(minute), number, requests=dict.fromkeys(names, (60, 0)))
    assert len(world.found) == 0
    world.reads = set(INPUTS)
    world.replicas[A] = 0 if SCALING in away else 2
    assert world.run(10, told) == []


@pytest.mark.parametrize("every", [1, 7])
def test_a_restart_during_an_open_gap_changes_nothing(every: int) -> None:
    """It goes on, and resolves as it would have."""
    whole, cut = known(A, B), known(A, B)
    for _ in range(40):
        whole.run(1, steady(B) if whole.now < 2 * DAY + 25 else steady(A, B))
        cut.run(1, steady(B) if cut.now < 2 * DAY + 25 else steady(A, B))
        if cut.now % every == 0:
            cut.restart()
    assert cut.found == whole.found
    assert said(whole.found) == [(A, Status.OPEN), (A, Status.RESOLVED)]


def test_an_endpoint_of_another_budget_is_counted_but_no_subject() -> None:
    """Of two budgets the first one speaks."""
    config = settings()
    budgets = {"first": structs.replace(config.budgets["all"], endpoints=(A,)), **config.budgets}
    world = World(structs.replace(config, budgets=budgets))
    world.run(2 * DAY, steady(A, B))
    assert world.run(30, steady(B)) == []
    world.fold.reconfigure(config)
    assert said(world.run(30 * H, steady(A, B))) == []
    assert said(world.run(30, steady(B))) == [(A, Status.OPEN)]


def test_an_endpoint_may_have_settings_of_its_own() -> None:
    """Longer, or none of it."""
    for own, opened in ((Settings(for_=Seconds(3600)), []), (Settings(enabled=False), []), (Settings(), [A])):
        world = World(structs.replace(settings(), endpoints={A: Endpoint(rules={"telemetry_gap": own})}))
        world.run(2 * DAY, steady(A, B))
        assert [one.subject for one in world.run(30, steady(B)) if one.status is Status.OPEN] == opened


def test_the_wall_clock_moves_no_money() -> None:
    """The budget's own clock is that of its events."""
    world = World()
    world.run(5, steady(A))
    before = world.fold.newest_us
    world.tell(clock_of(REQUESTS), world.at(10 * DAY))
    assert world.fold.newest_us == before
