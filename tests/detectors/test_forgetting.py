"""What is forgotten, and when: nothing is found otherwise for it, but as docs/guarantees.md says."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import BudgetFold, ScalingFold, budget_rules, history_rules, scaling_rules
from detectors.budgets import AccountState, Key, RulesState
from detectors.rules.hourly_spend import Settings as HourlySpendSettings
from schemas.config import Config, Endpoint, Input, Seconds
from schemas.events import Scaling
from schemas.outputs import Bill, Finding, Rollup, Status
from schemas.topics import BILLING, SCALING
from schemas.units import NANO, US, rfc3339
from tests.detectors.logs import START_S, Entry, Shell, findings, numbered, scaling, stage_of
from tests.detectors.logs import settings as configuration

HOUR_S: Final = 3600
SOON_S: Final = 2 * HOUR_S
NAMES: Final = ("acme/a", "acme/b", "acme/c")


def forgetful(after_s: float = SOON_S, most: int = 100_000) -> Config:
    """A configuration with these limits."""
    limits = Input(lateness=Seconds(2), forget_after=Seconds(after_s), max_endpoints=most)
    return structs.replace(configuration(hourly_spend=HourlySpendSettings(for_=Seconds(20))), input=limits)


LONG: Final = forgetful(10_000 * HOUR_S)


def scaling_fold(config: Config) -> ScalingFold:
    """The fold of a stage that has read nothing."""
    return ScalingFold(config, 0, [*scaling_rules(), *history_rules()])


def without(evidence: str, found: list[Finding]) -> list[Finding]:
    """The findings but for one key of their evidence."""
    kept = [{key: value for key, value in one.evidence.items() if key != evidence} for one in found]
    return [structs.replace(one, evidence=rest) for one, rest in zip(found, kept, strict=True)]


SCALINGS: Final = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 7.5, 40.0, 3000.0, 9000.0, 100_000.0]),
        st.sampled_from(NAMES),
        st.sampled_from([0, 1, 4, 5, 30]),
    ),
    max_size=40,
)


def scalings_of(rows: list[tuple[float, str, int]]) -> list[Entry]:
    """Reports in order of time, each so long after the one before."""
    now_s, log = 0.0, []
    for forth_s, name, replicas in rows:
        now_s += forth_s
        log.append(scaling(now_s, replicas, replicas, name))
    return numbered(log)


@settings(max_examples=40)
@given(SCALINGS)
def test_scaling_finds_the_same_but_for_what_was_before(rows: list[tuple[float, str, int]]) -> None:
    """What an endpoint reported before a long silence is all that is lost."""
    log = scalings_of(rows)
    forgets, keeps = (findings(stage_of(SCALING, config), log) for config in (forgetful(), LONG))
    assert without("before", forgets) == without("before", keeps)


def test_an_endpoint_that_comes_back_has_no_before() -> None:
    """Its first report stands for what was."""
    log = numbered([scaling(0, 2, 2), scaling(SOON_S + 10, 1, 1, "acme/b"), scaling(SOON_S + 11, 9, 9)])
    (forgot,), (kept,) = (findings(stage_of(SCALING, config), log) for config in (forgetful(), LONG))
    assert (forgot.evidence["before"]["ready_replicas"], kept.evidence["before"]["ready_replicas"]) == (9, 2)


def test_an_open_episode_is_kept_through_any_silence() -> None:
    """It resolves when its endpoint says so, days later."""
    others = [scaling(hour * HOUR_S, 1, 1, "acme/b") for hour in range(1, 30)]
    back = [scaling(30 * HOUR_S + second, 1, 1) for second in range(0, 120, 5)]
    found = findings(stage_of(SCALING, forgetful()), numbered([scaling(0, 30, 30), *others, *back]))
    assert found[0].episode == found[-1].episode
    assert found[-1].status == "resolved"


def alive(shell: Shell) -> int:
    """How many subjects' facts the log holds once what was forgotten is buried."""
    for subject, state in shell.stage.changed():
        shell.facts.pop(subject, None)
        if state is not None:
            shell.facts[subject] = state
    return len(shell.facts)


def test_ever_new_names_are_bounded_in_scaling() -> None:
    """By the time of their silence, and by their number even if no time passes."""
    for config, step_s, most in ((forgetful(), 600, 13), (forgetful(most=7), 0, 7)):
        shell = Shell(SCALING, config)
        for job, record in enumerate(numbered([scaling(i * step_s, 1, 1, f"acme/job-{i}") for i in range(200)])):
            shell.apply([record])
            if job % 20 == 0:
                assert alive(shell) <= most
        assert alive(shell) == most


def test_an_endpoint_that_goes_on_reporting_is_not_crowded_out() -> None:
    """Those that were silent longest go first."""
    rows = [scaling(i, 9, 9, name) for i in range(50) for name in ("acme/steady", f"acme/job-{i}")]
    stage = stage_of(SCALING, forgetful(most=2))
    found = findings(stage, numbered(rows))
    assert [one.status for one in found if one.subject == "acme/steady"] == ["open"]


class SlowFold(ScalingFold):
    """Reads every second of every silence."""

    def _has_moved(self, endpoint: str, second: int) -> bool:  # noqa: ARG002
        return True


def applied(fold: ScalingFold, log: list[tuple[float, str, int]]) -> list[Finding | Rollup]:
    """What a fold makes of reports, given as in `scalings_of`."""
    out: list[Finding | Rollup] = []
    now_s = float(START_S)
    for offset, (forth_s, name, replicas) in enumerate(log):
        now_s += forth_s
        event = Scaling(name, now_s, replicas, replicas)
        out += fold.apply([event], np.array([round(now_s * US)]), [offset])
    return out


@settings(max_examples=40)
@given(SCALINGS)
def test_seconds_that_are_skipped_had_nothing_to_say(rows: list[tuple[float, str, int]]) -> None:
    """Findings are those of a fold that skips none."""
    assert applied(scaling_fold(LONG), rows) == applied(SlowFold(LONG, 0, [*scaling_rules(), *history_rules()]), rows)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_new_limit_is_seen_in_what_was_reported_before(*, is_restarted: bool) -> None:
    """Its endpoint says nothing more, and the episode ends a minute after the limit was raised, not at an update."""
    stage, wider = stage_of(SCALING, LONG), structs.replace(LONG, defaults=Endpoint(critical=False, expected_max=99))
    log = numbered([scaling(0, 30, 30), *(scaling(second, 1, 1, "acme/b") for second in range(1, 200))])
    found = findings(stage, log[:20])
    if is_restarted:
        facts, position = list(stage.changed()), stage.position()
        stage = stage_of(SCALING, wider)
        stage.restore(position, facts)
    else:
        stage.reconfigure(wider)
    found += findings(stage, log[20:])
    assert [one.status for one in found if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
    assert found[-1].at == rfc3339((START_S + 17 + 60) * US)


def test_a_long_silence_costs_a_reading_a_minute() -> None:
    """And not one a second, of each open episode."""
    readings = 0
    (rule,) = scaling_rules()

    class Counting(rule):  # type: ignore[misc,valid-type]  # a class that is found at run time
        def read(self, *arguments: Any) -> Any:
            nonlocal readings
            readings += 1
            return super().read(*arguments)

    fold = ScalingFold(LONG, 0, [Counting])
    runaways = [(0.0, f"acme/{i}", 30) for i in range(100)]
    updates = applied(fold, [*runaways, (7 * 86_400.0, "acme/other", 1)])
    assert len(updates) > 100 * 50
    assert readings < 100 * 200


# -- money -------------------------------------------------------------------------------------------------------------


def replicas_of(time_s: float, seq: int, replicas: int, endpoint: str) -> Rollup:
    """A report, as a budget hears of it."""
    return Rollup("all", SCALING, 0, seq, round((START_S + time_s) * US), endpoint=endpoint, replicas=replicas)


def bill_of(time_s: float, seq: int, lasts_s: float, endpoint: str) -> Rollup:
    """A line of a dollar an hour, from now on."""
    start_us = round((START_S + time_s) * US)
    bill = Bill(start_us, start_us + round(lasts_s * US), round(lasts_s / HOUR_S * NANO), estimated=False, line_id=None)
    return Rollup("all", BILLING, 0, seq, start_us, endpoint=endpoint, bill=bill)


def spent(fold: BudgetFold) -> tuple[int, int]:
    """Nano-dollars of the last hour, and per hour now."""
    ledger = fold._budgets["all"].ledger
    return ledger.spend(), ledger.rate_nano


MOVES: Final = st.lists(
    st.tuples(
        st.sampled_from([0.0, 5.0, 60.0, 1800.0]),
        st.sampled_from(NAMES),
        st.sampled_from([0, 3, 40]),
        st.sampled_from([0, 0, 0, 600, 20_000]),  # seconds that a bill lasts; 0: replicas
        st.booleans(),  # a long silence follows, before which all replicas are gone
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(MOVES)
def test_what_costs_nothing_is_forgotten_without_a_trace(moves: list[tuple[float, str, int, int, bool]]) -> None:
    """The same findings but for the number of endpoints, and the same money; bills that still run are kept."""
    folds = [BudgetFold(config, budget_rules()) for config in (forgetful(), LONG)]
    told: list[list[Finding]] = [[], []]
    now_s, seq = 0.0, 0
    for forth_s, name, replicas, lasts_s, is_last in moves:
        now_s += forth_s
        seq += len(NAMES) + 1
        rollups = [bill_of(now_s, seq, lasts_s, name) if lasts_s else replicas_of(now_s, seq, replicas, name)]
        if is_last:
            now_s += 1  # of two reports of one moment the larger holds
            rollups += [replicas_of(now_s, seq + i, 0, each) for i, each in enumerate(NAMES, 1)]
        for fold, found in zip(folds, told, strict=True):
            found.extend(finding for rollup in rollups for finding in fold.apply(rollup))
        assert spent(folds[0]) == spent(folds[1])
        now_s += is_last * 9000.0
    assert without("endpoints_total", told[0]) == without("endpoints_total", told[1])


def test_what_a_silent_endpoint_costs_ends_when_it_is_forgotten() -> None:
    """Its replicas went on costing until then."""
    fold = BudgetFold(forgetful(), budget_rules())
    fold.apply(replicas_of(0, 0, 3, "acme/a"))
    fold.apply(replicas_of(SOON_S, 1, 0, "acme/b"))
    assert spent(fold) == (3 * NANO, 3 * NANO)
    fold.apply(replicas_of(SOON_S + 1, 2, 0, "acme/b"))
    assert spent(fold) == (0, 0)


def test_what_an_endpoint_spent_today_is_not_forgotten_with_it() -> None:
    """Nor with a restart: the sum of the day is what it was, and grows no more."""
    fold = BudgetFold(forgetful(), budget_rules())
    for second, rollup in ((0, replicas_of(0, 0, 3, "acme/a")), (SOON_S + 1, replicas_of(SOON_S + 1, 1, 0, "acme/b"))):
        fold.apply(rollup)
        assert fold._budgets["all"].ledger.spend_today() == (3 * NANO * second + HOUR_S // 2) // HOUR_S
    again = BudgetFold(forgetful(), budget_rules())
    again.restore(fold.budgets(), {key: kept for key, kept in fold.changed().items() if kept is not None})
    for one in (fold, again):
        one.apply(replicas_of(SOON_S + 1000, 2, 0, "acme/b"))
        ledger = one._budgets["all"].ledger
        assert ledger.accounts.keys() == {"acme/b"}
        assert ledger.spend_today() == (3 * NANO * (SOON_S + 1) + HOUR_S // 2) // HOUR_S


def test_a_bill_that_still_runs_is_not_forgotten() -> None:
    """A line of a day, at its first hour, and then nothing."""
    fold = BudgetFold(forgetful(), budget_rules())
    fold.apply(bill_of(0, 0, 24 * HOUR_S, "acme/a"))
    for hour in range(1, 23):
        fold.apply(replicas_of(hour * HOUR_S, hour, 0, "acme/b"))
        assert spent(fold) == (NANO, 0)
    for hour in range(23, 30):
        fold.apply(replicas_of(hour * HOUR_S, hour, 0, "acme/b"))
    assert fold._budgets["all"].ledger.accounts.keys() == {"acme/b"}


def test_ever_new_names_are_bounded_in_budgets() -> None:
    """With replicas that nobody takes back, and bills that run on: as many as each partition of the inputs may have."""
    fold = BudgetFold(forgetful(most=5), budget_rules())
    facts: dict[Key, AccountState | RulesState] = {}
    for job in range(300):
        rollup = bill_of(job, job, 700 * HOUR_S, f"acme/job-{job}")
        fold.apply(structs.replace(rollup, partition=job % 2))
        fold.apply(structs.replace(replicas_of(job, job, 2, f"acme/job-{job}"), partition=job % 2))
        if job % 7 == 0:
            for key, state in fold.changed().items():
                facts.pop(key, None)
                if state is not None:
                    facts[key] = state
            assert len(facts) <= 10
    ledger = fold._budgets["all"].ledger
    assert len(ledger.accounts) == len(ledger.prices) == 10
    assert ledger.rate_nano == 10 * 2 * NANO
    assert len(ledger._ahead) < 100
