"""`cost_spike`: against the normal of the hour, with a least amount, of endpoints and of the budget."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from detectors.account import Account
from detectors.rules.cost_spike import Settings, spent
from schemas.config import Budget, Config, Endpoint, Schedule, Seconds
from schemas.outputs import Bill, Finding, Rollup, Severity, Status
from schemas.topics import BILLING, ROLLUPS
from schemas.units import HOUR_US, US
from tests.detectors.logs import (
    ENDPOINT,
    START_S,
    Entry,
    Shell,
    findings,
    numbered,
    of_endpoint,
    rollup,
    settings,
    stage_of,
    told,
)

HOUR_S = 3600
WARM_S = 11 * HOUR_S


def steady(replicas: int, start: int = 0, end: int = WARM_S, endpoint: str = ENDPOINT, every: int = 600) -> list[Entry]:
    return [rollup(s, s, replicas, endpoint) for s in range(start, end, every)]


def merged(*logs: list[Entry]) -> list[Entry]:
    """By time; each roll-up gets a sequence of its own."""
    log = sorted((one for several in logs for one in several), key=lambda one: one.timestamp)
    rollups = [msgspec.json.decode(one.value or b"", type=Rollup) for one in log]
    return numbered([told(structs.replace(one, seq=place)) for place, one in enumerate(rollups)])


def found(log: list[Entry], config: Config | None = None) -> list[Finding]:
    stage = stage_of(ROLLUPS, settings() if config is None else config)
    return [one for one in findings(stage, merged(log)) if one.rule == "cost_spike"]


def opened(log: list[Entry], config: Config | None = None) -> list[Finding]:
    return [one for one in found(log, config) if one.status is Status.OPEN]


def spike(replicas: int, start: int = WARM_S, length: int = 1200) -> list[Entry]:
    return steady(replicas, start, start + length, every=60)


def test_an_endpoint_and_the_budget_that_it_makes_up_are_subjects_of_their_own() -> None:
    """Who is only endpoint of a budget raises both: the one says where, the other how much in all."""
    endpoint, budget = sorted(opened([*steady(2), *spike(9)]), key=lambda one: one.endpoint is None)
    assert (endpoint.subject, endpoint.endpoint) == (ENDPOINT, ENDPOINT)
    assert (budget.subject, budget.endpoint) == ("all", None)
    assert endpoint.evidence["replicas"] == 9
    assert endpoint.evidence["before"] == {"ready_replicas": 9}
    assert budget.evidence["dearest"][0]["endpoint"] == ENDPOINT
    assert budget.evidence["endpoints_total"] == 1
    assert endpoint.value == endpoint.evidence["usd_per_hour"] > 2 * endpoint.evidence["normal_usd_per_hour"]


def test_the_endpoints_of_a_budget_are_told_by_how_far_they_are_above_their_normals() -> None:
    """Not by how much they cost: the largest one may cost what it always does."""
    log = merged(steady(20, endpoint="acme/large"), steady(2), spike(60))
    budget = next(one for one in opened(log) if one.endpoint is None)
    first, second = budget.evidence["dearest"]
    assert (first["endpoint"], second["endpoint"]) == (ENDPOINT, "acme/large")
    assert second["usd_per_hour"] == pytest.approx(20.0)


def test_a_rise_of_every_weekday_is_a_spike_only_once() -> None:
    """Four weeks of six replicas in working hours and two else: the first Monday is news, no other day is."""
    hours = [(START_S // HOUR_S + hour, hour * HOUR_S) for hour in range(28 * 24)]
    busy = {start for hour, start in hours if (hour // 24 + 3) % 7 < 5 and 8 <= hour % 24 < 18}
    log = [rollup(s, s, 6 if s // HOUR_S * HOUR_S in busy else 2) for s in range(0, 28 * 24 * HOUR_S, 600)]
    days = [one.at[:10] for one in opened(log)]
    assert days == ["2026-11-23"] * 2  # of the endpoint, and of the budget that it makes up


@pytest.mark.parametrize(("replicas", "expected"), [(3, 0), (9, 2)])
def test_twice_the_normal_is_the_limit(replicas: int, expected: int) -> None:
    """Half as much again is no spike."""
    assert len(opened([*steady(2), *spike(replicas)])) == expected


def test_what_costs_little_is_no_spike() -> None:
    """Ten times two cents is twenty cents; and at least so much is enough."""
    cheap = structs.replace(settings(), defaults=Endpoint(price_usd_per_hour=0.1))
    log = [*steady(1), *spike(10)]
    assert len(opened(log, cheap)) == 2, "exactly the least amount"
    assert opened([*steady(1), *spike(9)], cheap) == []
    dearer = structs.replace(cheap, rules={**cheap.rules, "cost_spike": Settings(min_usd_per_hour=1.01)})
    assert opened(log, dearer) == []


def test_it_is_an_error_when_it_is_twice_the_limit() -> None:
    """A warning before."""
    course = found([*steady(2), *spike(9), *spike(40, WARM_S + 1200)])
    assert {one.severity for one in course if one.subject == ENDPOINT} == {Severity.WARNING, Severity.ERROR}
    assert course[0].severity is Severity.WARNING
    assert all(one.severity is Severity.WARNING for one in found([*steady(2), *spike(5)]))


def daily(days: int) -> list[Entry]:
    """Two replicas, and from 9 to 12 o'clock of each day ten."""
    return [rollup(s, s, 10 if 9 <= s // HOUR_S % 24 < 12 else 2) for s in range(0, days * 86_400, 300)]


def test_what_happens_every_day_is_no_spike() -> None:
    """Not even in the minutes in which the hour begins or ends, when the ten minutes reach into another hour."""
    log = [*daily(14), *spike(90, 14 * 86_400)]
    assert {one.opened_at[:10] for one in opened(log)} == {"2026-12-06"}, "only what is far above it is one"


def test_an_open_episode_does_not_teach() -> None:
    """A spike that lasts for three hours is one."""
    course = found([*steady(2), *spike(9, length=3 * HOUR_S)])
    normals = {one.baseline for one in course if one.subject == ENDPOINT}
    assert len(normals) == 1
    assert [one.status for one in course if one.subject == ENDPOINT and one.status is not Status.UPDATE] == [
        Status.OPEN
    ]


def test_what_is_planned_is_no_spike_and_teaches_nothing() -> None:
    """Of the endpoint, and of the budget that it is in."""
    plan = Schedule(cron="0 21 * * *", for_=Seconds(7200), endpoints=(ENDPOINT,), expected_ratio=5.0)
    log = [*steady(2), *spike(9, length=7200), *spike(2, WARM_S + 7200, 3600), *spike(9, WARM_S + 10_800)]
    planned = structs.replace(settings(), schedules=(plan,))
    assert len(opened(log)) == 4
    late = opened(log, planned)
    assert [one.subject for one in late] == ["all", ENDPOINT]
    assert late[0].opened_at > "2026-11-23"
    assert late[0].baseline is not None
    assert late[0].baseline < 2.1
    assert len(opened([*steady(2), *spike(40)], planned)) == 2, "more than was planned"


def test_a_plan_of_replicas_alone_is_a_plan() -> None:
    """So many are no spike, of the endpoint or of its budget, which has another one, and teach nothing; more are."""
    plan = Schedule(cron="0 21 * * *", for_=Seconds(7200), endpoints=(ENDPOINT,), expected_max=20)
    planned = structs.replace(settings(), schedules=(plan,))
    before = [*steady(2), *steady(2, endpoint="acme/other", end=WARM_S + 4 * HOUR_S)]
    launch = [*spike(20, length=7200), *spike(2, WARM_S + 7200, 3600)]
    assert len(opened([*before, *launch])) == 2
    assert opened([*before, *launch], planned) == []
    late = opened([*before, *launch, *spike(20, WARM_S + 10_800)], planned)
    assert [one.subject for one in late] == [ENDPOINT, "all"]
    assert late[0].baseline == pytest.approx(2.0, abs=0.1)
    assert {one.subject for one in opened([*before, *spike(40)], planned)} == {"all", ENDPOINT}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_where_a_price_is_corrected_costs_are_learned_anew(*, is_restarted: bool) -> None:
    """Three times the price is no spike; nor does it end a spike's being one ten hours later."""
    config = of_endpoint(settings(), price_usd_per_hour=3.0)
    late = WARM_S + 11 * HOUR_S
    log = merged(steady(2, end=late), spike(9, late), steady(2, end=late, endpoint="acme/other"))
    half = next(place for place, one in enumerate(log) if one.timestamp >= (START_S + WARM_S) * 1000)
    shell = Shell(ROLLUPS, settings())
    shell.apply(log[:half])
    if is_restarted:
        shell.restart(config)
    else:
        shell.stage.reconfigure(config)
    spikes = [one for one in findings(shell.stage, log[half:]) if one.rule == "cost_spike"]
    assert [one.subject for one in spikes if one.status is Status.OPEN] == [ENDPOINT, "all"]
    assert spikes[0].at > "2026-11-23T08"
    assert spikes[0].baseline == pytest.approx(6.0)


def test_an_endpoint_of_two_budgets_is_the_subject_of_one() -> None:
    """The other budget is a subject all the same."""
    config = structs.replace(settings(), budgets={n: Budget(240.0, ("acme/*",)) for n in ("all", "also")})
    log = [*steady(2), *spike(9)]
    also = [one._replace(value=(one.value or b"").replace(b'"all"', b'"also"')) for one in log]
    assert sorted(one.subject for one in opened(merged(log, also), config)) == [ENDPOINT, "all", "also"]


def test_the_short_way_gives_what_the_ledger_gives() -> None:
    """Where nothing happened in the window; and else the ledger is asked."""
    start, end = HOUR_US + 7, HOUR_US + 600 * US + 7
    for steps in ([], [(0, 3)], [(0, 3), (start, 5)], [(0, 3), (start + 1, 5)]):
        for bills in ([], [Bill(0, 2 * HOUR_US, 5_000_000_000, estimated=False, line_id=None)]):
            account = Account(list(steps), list(bills))
            assert spent(account, start, end, 1_234_567_891) == account.spend(start, end, 1_234_567_891)


def test_a_late_bill_changes_what_is_measured_and_not_what_was_learned() -> None:
    """The normal of the hours before stays: what it was taught is past."""
    period = ((START_S + WARM_S - 5400) * US, (START_S + WARM_S + 600) * US)
    bill = Bill(*period, cost_nano=15_000_000_000, estimated=False, line_id=None)
    late = told(Rollup("all", BILLING, 0, 0, (START_S + WARM_S) * US, endpoint=ENDPOINT, bill=bill))
    first = opened([*steady(2), late, *spike(2)])[0]
    assert first.value == pytest.approx(9.0)
    assert first.baseline == pytest.approx(2.0, abs=0.1)
