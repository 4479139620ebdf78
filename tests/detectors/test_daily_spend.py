"""`daily_spend`: to the nano-dollar, at the second, and without looking at every account all the time."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import BudgetFold
from detectors.episodes import Episode
from detectors.ledger import Ledger
from detectors.rules.daily_spend import DailySpend, Settings
from detectors.rules.hourly_spend import HourlySpend
from schemas.config import Budget, Config, Endpoint
from schemas.outputs import Bill, Finding, Rollup, Severity, Status
from schemas.topics import BILLING, SCALING
from schemas.units import HOUR_US, NANO, US, from_rfc3339, rfc3339
from tests.detectors.logs import settings as configuration

MIDNIGHT_US: Final = from_rfc3339("2026-11-23T00:00:00Z")
HOUR_S: Final = 3600


def budgeted(daily_usd: float = 1200.0, timezone: str = "UTC") -> Config:
    """All endpoints in one budget, at a dollar an hour and replica."""
    budget = Budget(daily_usd=daily_usd, endpoints=("*",), timezone=timezone)
    return structs.replace(configuration(), budgets={"all": budget})


def fold_of(config: Config, *kinds: Any) -> BudgetFold:
    return BudgetFold(config, kinds or [DailySpend])


def replicas(time_s: float, number: int, endpoint: str = "acme/a") -> Rollup:
    """A report, so long after midnight."""
    time_us = MIDNIGHT_US + round(time_s * US)
    return Rollup("all", SCALING, 0, time_us, time_us, endpoint=endpoint, replicas=number)


def fee(time_s: float, nano: int) -> Rollup:
    """Spent at once, a second before it is told."""
    time_us = MIDNIGHT_US + round(time_s * US)
    bill = Bill(time_us - US, time_us - US, nano, estimated=False, line_id=None)
    return Rollup("all", BILLING, 0, time_us, time_us, endpoint="acme/a", bill=bill)


def found(fold: BudgetFold, *log: Rollup) -> list[Finding]:
    return [finding for rollup in log for finding in fold.apply(rollup)]


def test_the_ladder_has_the_seeds_steps() -> None:
    """120, 150 and 200 percent of the day's amount: exactly there nothing happens, a nano-dollar above it does."""
    fold = fold_of(budgeted())
    told: list[list[Severity]] = []
    for second, nano in enumerate([1440 * NANO, 1, 360 * NANO - 1, 1, 600 * NANO - 1, 1], 10):
        told.append([finding.severity for finding in found(fold, fee(second, nano))])
    assert told == [[], [Severity.WARNING], [], [Severity.ERROR], [], [Severity.CRITICAL]]


def test_an_hours_pace_is_a_24th_of_the_day() -> None:
    """The seed's formula; the two rules about spend agree."""
    fold = fold_of(budgeted(), DailySpend, HourlySpend)
    told = {finding.rule: finding for finding in found(fold, fee(10, 2000 * NANO))}
    assert told["daily_spend"].evidence["allowance_usd_per_hour"] == 50.0
    assert told["hourly_spend"].threshold == 50.0


def test_several_steps_at_once_are_one_finding_of_the_highest() -> None:
    """A bill for all of the day's double, at noon."""
    (finding,) = found(fold_of(budgeted()), replicas(0, 1), fee(12 * HOUR_S, 2412 * NANO))
    assert (finding.status, finding.severity) == (Status.OPEN, Severity.CRITICAL)
    assert (finding.value, finding.threshold, finding.evidence["share"]) == (2424.0, 1440.0, 2.02)
    assert finding.score == round(2424 / 1440, 9)


def test_a_nano_dollar_above_is_anomalous_however_large_the_budget() -> None:
    """A quotient of floats would say that they are equal."""
    (finding,) = found(fold_of(budgeted(1e10)), fee(10, 12 * 10**9 * NANO), fee(11, 1))
    assert finding.score > 1


def test_steps_must_rise() -> None:
    """A ladder that falls would never be climbed."""
    with pytest.raises(ValueError, match=r"expected steps that rise .*, got \(1.2, 1.1, 2.0\)"):
        Settings(error=1.1)
    with pytest.raises(ValueError, match="rise"):
        Settings(warning=2.0)


def test_a_budget_may_have_steps_of_its_own() -> None:
    """As every setting."""
    own = structs.replace(budgeted().budgets["all"], rules={"daily_spend": Settings(warning=0.5, error=0.75)})
    config = structs.replace(budgeted(), budgets={"all": own})
    (finding,) = found(fold_of(config), fee(10, 601 * NANO))
    assert (finding.severity, finding.threshold) == (Severity.WARNING, 600.0)


def test_evidence_says_who_is_expensive() -> None:
    """From a tenth of a 24th of 1200 on: 5 dollars an hour."""
    base = budgeted()
    config = structs.replace(base, endpoints={"acme/c": Endpoint(critical=True, price_usd_per_hour=2.5)})
    rows = [("acme/b", 4), ("acme/c", 2), ("acme/d", 5), ("acme/a", 0)]
    log = [replicas(place, number, endpoint) for place, (endpoint, number) in enumerate(rows)]
    (finding,) = found(fold_of(config), *log, fee(10, 1500 * NANO))
    evidence = finding.evidence
    assert evidence["endpoints_total"] == 4
    assert [(row["endpoint"], row["critical"], row["expensive"]) for row in evidence["endpoints"]] == [
        ("acme/c", True, True),
        ("acme/d", False, True),
        ("acme/b", False, False),
    ]
    costs = {"replicas": 5, "price_usd_per_hour": 1.0, "usd_per_hour": 5.0}
    assert evidence["endpoints"][1] == {"endpoint": "acme/d", "critical": False, "expensive": True, **costs}


@pytest.mark.parametrize(
    ("zone", "day_started_at", "critical_at"),
    [
        ("UTC", "2026-11-23T00:00:00.000000Z", "2026-11-23T21:00:36.000000Z"),
        ("Europe/Berlin", "2026-11-22T23:00:00.000000Z", "2026-11-23T21:00:36.000000Z"),
        ("Asia/Kolkata", "2026-11-22T18:30:00.000000Z", None),
    ],
)
def test_evidence_says_when_it_gets_worse(zone: str, day_started_at: str, critical_at: str | None) -> None:
    """At 100 dollars an hour, with 1500 spent by noon: 900 more take nine hours, if the day has so many."""
    noon = replicas(12 * HOUR_S, 100)
    (finding,) = found(fold_of(budgeted(timezone=zone)), noon, fee(12 * HOUR_S + 36, 1499 * NANO))
    assert finding.value == 1500.0
    assert (finding.evidence["day_started_at"], finding.evidence["rate_usd_per_hour"]) == (day_started_at, 100.0)
    assert finding.evidence["next_steps"] == {"error": "2026-11-23T15:00:36.000000Z", "critical": critical_at}


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 5, 60, 1800, 4 * HOUR_S]), st.sampled_from("abc"), st.integers(-60, 60)),
        max_size=40,
    )
)
@settings(max_examples=40)
def test_it_is_as_if_the_sum_were_taken_each_second(rows: list[tuple[int, str, int]]) -> None:
    """Every opening, every rise and every end, over days, with bills that correct what was estimated."""

    class Slow(DailySpend):
        def is_due(self, budget: str, ledger: Ledger) -> bool:  # noqa: ARG002
            return True

        def is_due_again(self, budget: str, ledger: Ledger, episode: Episode) -> bool:  # noqa: ARG002
            return True

    log, now_s = [replicas(0, 5, f"acme/{name}") for name in "abc"], 0
    for forth_s, name, number in rows:
        for second in range(now_s + 1, now_s + forth_s, max(1, forth_s // 20)):
            log.append(Rollup("all", BILLING, 1, len(log), MIDNIGHT_US + second * US))
        now_s += forth_s
        log.append(replicas(now_s, number, f"acme/{name}") if number >= 0 else billed(now_s, f"acme/{name}", -number))
    quick, slow = (changes(found(fold_of(budgeted(240.0), kind), *log)) for kind in (DailySpend, Slow))
    assert quick == slow


def billed(time_s: int, endpoint: str, usd: int) -> Rollup:
    """A line of the half hour before."""
    end_us = MIDNIGHT_US + time_s * US
    bill = Bill(end_us - HOUR_US // 2, end_us, usd * NANO, estimated=False, line_id=None)
    return Rollup("all", BILLING, 0, end_us, end_us, endpoint=endpoint, bill=bill)


def changes(told: list[Finding]) -> list[tuple[str, Status, Severity, float]]:
    """What opens, gets worse, or ends; the updates between may fall on other seconds."""
    kept, severity = [], Severity.INFO
    for finding in told:
        if finding.status is not Status.UPDATE or finding.severity is not severity:
            kept.append((finding.at, finding.status, finding.severity, finding.value))
        severity = finding.severity
    return kept


def test_an_open_episode_costs_a_look_at_the_accounts_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten hours of it, each second of which is heard of, and each half hour billed; and one look a step before."""
    looks: list[int] = []
    exact = Ledger.spend_today

    def counted(ledger: Ledger) -> int:
        looks.append(ledger.now_us)
        return exact(ledger)

    monkeypatch.setattr(Ledger, "spend_today", counted)
    fold = fold_of(budgeted(240.0))
    found(fold, replicas(0, 40))
    for second in range(1, 16 * HOUR_S):
        found(fold, billed(second, "acme/a", 20) if second % 1800 == 0 else replicas(second, 40))
    opened_us = MIDNIGHT_US + 288 * HOUR_US // 40
    before = [at_us for at_us in looks if at_us <= opened_us]
    assert len(before) < 10
    assert len(looks) - len(before) < 9 * 60 + 10


def test_midnight_ends_the_episode() -> None:
    """A new day has a new amount; a minute later all is over, and the next day may have its own episode."""
    fold = fold_of(budgeted(240.0))
    log = [replicas(second, 100 if second < 20 * HOUR_S else 1) for second in range(0, 24 * HOUR_S + 600, 20)]
    told = changes(found(fold, *log))
    assert [(at, status) for at, status, *_ in told] == [
        (rfc3339(MIDNIGHT_US + 10_380 * US), Status.OPEN),
        (rfc3339(MIDNIGHT_US + 12_980 * US), Status.UPDATE),
        (rfc3339(MIDNIGHT_US + 17_300 * US), Status.UPDATE),
        (rfc3339(MIDNIGHT_US + (24 * HOUR_S + 60) * US), Status.RESOLVED),
    ]


def test_a_correction_ends_the_episode_too() -> None:
    """The bill says that it was nothing like the estimate: below 96 % for a minute."""
    fold = fold_of(budgeted(240.0))
    opened = found(fold, replicas(0, 300), replicas(HOUR_S, 0), replicas(HOUR_S + 1, 0))
    assert [finding.status for finding in opened] == [Status.OPEN]
    end_us = MIDNIGHT_US + HOUR_US
    line = Bill(MIDNIGHT_US, end_us, 200 * NANO, estimated=False, line_id="x")
    correction = Rollup("all", BILLING, 0, 0, end_us + 10 * US, endpoint="acme/a", bill=line)
    told = found(fold, correction, *(replicas(HOUR_S + second, 0) for second in range(11, 80)))
    assert [(finding.status, finding.at) for finding in told][-1] == (Status.RESOLVED, rfc3339(end_us + 70 * US))
    assert told[-1].value == 200.0


@pytest.mark.parametrize(
    "changed", [budgeted(400.0), budgeted(240.0, "Asia/Kolkata")], ids=["a larger amount", "a midnight just now"]
)
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_new_configuration_is_heeded_at_once(changed: Config, *, is_restarted: bool) -> None:
    """Live or with a restart: the episode of the old one ends a minute later."""
    at_s = round(18.5 * HOUR_S)  # midnight in Kolkata
    log = [replicas(0, 300), *(replicas(HOUR_S + second, 0) for second in range(30))]
    fold = fold_of(budgeted(240.0))
    assert found(fold, *log)[0].status is Status.OPEN
    found(fold, replicas(at_s, 0))
    if is_restarted:
        again = fold_of(changed)
        again.restore(fold.budgets(), {key: kept for key, kept in fold.changed().items() if kept is not None})
        fold = again
    else:
        fold.reconfigure(changed)
    told = found(fold, *(replicas(at_s + second, 0) for second in range(1, 70)))
    ended = rfc3339(MIDNIGHT_US + (at_s + 61) * US)
    assert [(finding.status, finding.at) for finding in told][-1] == (Status.RESOLVED, ended)


def test_a_smaller_amount_is_heeded_at_once() -> None:
    """What was spent before counts."""
    fold = fold_of(budgeted(240.0))
    assert found(fold, replicas(0, 200), replicas(HOUR_S, 0)) == []
    fold.reconfigure(budgeted(120.0))
    (finding,) = found(fold, replicas(HOUR_S + 1, 0))
    assert (finding.status, finding.severity, finding.value) == (Status.OPEN, Severity.ERROR, 200.0)
