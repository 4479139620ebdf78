"""Budgets: what a new configuration does to them."""

from __future__ import annotations

import pytest
from msgspec import structs

from detectors import BudgetFold, budget_rules
from detectors.budgets import AccountState, Key, RulesState
from schemas.config import Budget, Config
from schemas.outputs import Rollup, Status
from schemas.topics import SCALING
from schemas.units import US
from tests.detectors.logs import ENDPOINT, START_S, settings


def rollup(time_s: int, replicas: int, endpoint: str = ENDPOINT) -> Rollup:
    time_us = (START_S + time_s) * US
    return Rollup("all", SCALING, 0, time_s, time_us, endpoint=endpoint, replicas=replicas)


def running(config: Config) -> BudgetFold:
    """A fold whose budget has been blown."""
    fold = BudgetFold(config, budget_rules())
    statuses = [finding.status for s in range(0, 100, 5) for finding in fold.apply(rollup(s, 500))]
    assert statuses[0] is Status.OPEN
    return fold


def restored(fold: BudgetFold, config: Config) -> BudgetFold:
    again = BudgetFold(config, budget_rules())
    again.restore(fold.budgets(), kept(fold))
    return again


def kept(fold: BudgetFold) -> dict[Key, AccountState | RulesState]:
    """The facts of a checkpoint; those of forgotten accounts are still in the log, as they were."""
    return {key: state for key, state in fold.changed().items() if state is not None}


def test_an_endpoint_that_left_the_budget_costs_it_nothing() -> None:
    """Live or after a restart, its account is closed: else its last replicas would cost for ever."""
    config = settings()
    elsewhere = {"all": Budget(daily_usd=240.0, endpoints=("other/*",))}
    changed = structs.replace(config, budgets=elsewhere)
    fold = running(config)
    again = restored(fold, changed)
    fold.reconfigure(changed)
    for one in (fold, again):
        found = [finding for s in range(105, 300, 5) for finding in one.apply(rollup(s, 0, "other/a"))]
        assert [finding.status for finding in found][-1] is Status.RESOLVED
        assert found[-1].evidence["rate_usd_per_hour"] == 0.0


def test_a_budget_that_comes_back_begins_anew() -> None:
    """Its old episode went with it."""
    config = settings()
    fold = running(config)
    fold.reconfigure(structs.replace(config, budgets={}))
    assert fold.apply(rollup(200, 500)) == []
    fold.reconfigure(config)
    assert fold.apply(rollup(205, 1)) == []
    assert fold.newest_us == (START_S + 205) * US


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("patterns", [(), ("acme/b*",)], ids=["no budget", "a narrower budget"])
def test_a_closed_account_does_not_come_back_with_a_restart(patterns: tuple[str, ...], *, is_restarted: bool) -> None:
    """Its old fact is still in the log: an endpoint that is gone would cost what it did then, for ever."""
    config = settings()
    budgets = {"all": Budget(daily_usd=240.0, endpoints=patterns)} if patterns else {}
    between = structs.replace(config, budgets=budgets)
    fold = BudgetFold(config, budget_rules())
    assert [*fold.apply(rollup(0, 1)), *fold.apply(rollup(1, 9, "acme/gone"))] == []
    facts = kept(fold)
    if is_restarted:
        again = BudgetFold(between, budget_rules())
        again.restore(fold.budgets(), facts)
        fold = again
    else:
        fold.reconfigure(between)
    facts |= kept(fold)
    fold.reconfigure(config)
    assert fold.apply(rollup(5, 50_000)) == []
    facts |= kept(fold)
    again = BudgetFold(config, budget_rules())
    again.restore(fold.budgets(), facts)
    (found,) = again.apply(rollup(10, 50_000))
    assert found.evidence["endpoints_total"] == 1


def test_a_higher_price_at_a_restart_is_noticed() -> None:
    """The bound that was kept with the old price does not hide the spend."""
    config = settings()
    cheap = structs.replace(config, defaults=structs.replace(config.defaults, price_usd_per_hour=0.001))
    fold = BudgetFold(cheap, budget_rules())
    for second in range(0, 3600, 5):
        assert fold.apply(rollup(second, 9)) == []
    (found,) = restored(
        fold, structs.replace(cheap, defaults=structs.replace(config.defaults, price_usd_per_hour=2.0))
    ).apply(rollup(3605, 9))
    assert found.status is Status.OPEN


def test_critical_endpoints_do_not_crowd_out_those_that_may_be_braked() -> None:
    """Else a budget with very many critical ones would never be braked at all."""
    names = [f"acme/vital-{i}" for i in range(60)]
    base = settings()
    config = structs.replace(base, endpoints=dict.fromkeys(names, structs.replace(base.defaults, critical=True)))
    fold = BudgetFold(config, budget_rules())
    for second, name in enumerate([*names, ENDPOINT]):
        fold.apply(rollup(second, 2 if name == ENDPOINT else 9, name))
    (found,) = fold.apply(rollup(200, 9, names[0]))
    listed = [row["endpoint"] for row in found.evidence["endpoints"]]
    assert len(listed) == 51
    assert listed[-1] == ENDPOINT


def test_a_tiny_budget_divides_nothing_by_zero() -> None:
    """A daily amount below 24e-9 dollars still has an allowance."""
    tiny = {"all": Budget(daily_usd=1e-9, endpoints=("*",))}
    running(structs.replace(settings(), budgets=tiny))


def test_what_is_repeated_is_dropped() -> None:
    """A worker that died may have written its roll-ups twice."""
    fold = running(settings())
    assert fold.apply(rollup(95, 500)) == []
    assert fold.repeated == 1
