"""The rules over the endpoints of a budget: whose subject an endpoint is, what is kept of it, and the wall clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec import structs

from detectors import BudgetFold
from detectors.budgets import RulesState
from detectors.episodes import Reading
from detectors.ledger import Ledger
from detectors.rule import FleetRule, Measured
from schemas.config import Budget, Config, Input, RuleSettings
from schemas.outputs import Finding, Rollup, Severity, Status
from schemas.topics import SCALING, clock_of
from schemas.units import US
from tests.detectors.logs import ENDPOINT, START_S, settings

LIMIT = 4
SILENT_US = 60 * US


class Toy(FleetRule[RuleSettings]):
    """More than four replicas of an endpoint, or, of a budget, a minute of silence by the wall clock's word."""

    rule: ClassVar = "toy"
    unit: ClassVar = "replicas"
    Settings: ClassVar = RuleSettings

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config, budget)
        self.most: dict[str, int] = {}
        self.rollups = 0

    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        self.rollups += 1
        if rollup.endpoint is None or rollup.replicas is None or not self.owns(rollup.endpoint):
            return
        self.most[rollup.endpoint] = max(rollup.replicas, self.most.get(rollup.endpoint, 0))
        self.changed.add(rollup.endpoint)
        if rollup.replicas > LIMIT or rollup.endpoint in firing:
            yield Measured(rollup.endpoint, ledger.now_us, reading(rollup.replicas, LIMIT))

    def tick(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        silent_us = rollup.time_us - ledger.now_us
        if silent_us > SILENT_US or self.budget in firing:
            yield Measured(self.budget, rollup.time_us, reading(silent_us / US, SILENT_US / US), is_endpoint=False)

    def snapshot(self) -> Any:
        return self.rollups

    def restore(self, state: msgspec.Raw) -> None:
        self.rollups = msgspec.msgpack.decode(state, type=int)

    def snapshot_of(self, endpoint: str) -> Any:
        return self.most.get(endpoint)

    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        self.most[endpoint] = msgspec.msgpack.decode(state, type=int)

    def drop(self, endpoint: str) -> None:
        self.most.pop(endpoint, None)


def reading(value: float, threshold: float) -> Reading:
    return Reading(value, threshold, Severity.ERROR, low=value <= threshold)


def toy_settings(**budgets: tuple[str, ...]) -> Config:
    config = settings(toy=RuleSettings())
    named = budgets or {"all": ("acme/*",)}
    return structs.replace(config, budgets={name: Budget(240.0, patterns) for name, patterns in named.items()})


def scaled(time_s: int, replicas: int, endpoint: str = ENDPOINT, budget: str = "all") -> Rollup:
    return Rollup(budget, SCALING, 0, time_s, (START_S + time_s) * US, endpoint=endpoint, replicas=replicas)


def marked(time_s: int) -> Rollup:
    time_us = (START_S + time_s) * US
    return Rollup("all", clock_of(SCALING), 0, START_S + time_s, time_us)


def statuses(found: Iterable[Finding]) -> list[tuple[str, Status]]:
    return [(one.subject, one.status) for one in found]


def restarted(fold: BudgetFold, config: Config) -> BudgetFold:
    again = BudgetFold(config, [], [Toy])
    again.restore(fold.budgets(), {key: state for key, state in fold.changed().items() if state is not None})
    return again


def test_each_endpoint_has_an_episode_of_its_own() -> None:
    """And the finding names it as its endpoint, so that something can be done to it."""
    fold = BudgetFold(toy_settings(), [], [Toy])
    found = [*fold.apply(scaled(0, 9)), *fold.apply(scaled(1, 7, "acme/other")), *fold.apply(scaled(2, 8))]
    assert statuses(found) == [(ENDPOINT, Status.OPEN), ("acme/other", Status.OPEN)]
    assert [one.endpoint for one in found] == [ENDPOINT, "acme/other"]


def test_an_endpoint_of_two_budgets_is_the_subject_of_one() -> None:
    """Else the same would be found twice, under one name."""
    fold = BudgetFold(toy_settings(all=("acme/*",), also=("acme/*",)), [], [Toy])
    found = [*fold.apply(scaled(0, 9)), *fold.apply(scaled(0, 9, budget="also"))]
    assert statuses(found) == [(ENDPOINT, Status.OPEN)]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_episodes_and_what_is_kept_of_an_endpoint_outlive_a_restart(*, is_restarted: bool) -> None:
    """With its fact: the episode goes on and resolves, the same as without."""
    config = toy_settings()
    fold = BudgetFold(config, [], [Toy])
    (opened,) = fold.apply(scaled(0, 9))
    if is_restarted:
        fold = restarted(fold, config)
    told = [finding for second in range(5, 100, 5) for finding in fold.apply(scaled(second, 1))]
    assert statuses(told) == [(ENDPOINT, Status.UPDATE), (ENDPOINT, Status.RESOLVED)]
    assert told[-1].episode == opened.episode
    (state,) = [kept for kept in fold.changed().values() if isinstance(kept, RulesState)]
    assert msgspec.msgpack.decode(state.kept.rules["toy"], type=int) == 9


def test_an_endpoint_that_leaves_the_budget_takes_its_episode_with_it() -> None:
    """When it comes back it begins anew."""
    config = toy_settings()
    fold = BudgetFold(config, [], [Toy])
    fold.apply(scaled(0, 9))
    fold.reconfigure(toy_settings(all=("other/*",)))
    fold.reconfigure(config)
    assert statuses(fold.apply(scaled(5, 9))) == [(ENDPOINT, Status.OPEN)]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_episode_ends_when_another_budget_becomes_the_first_to_cover_its_endpoint(*, is_restarted: bool) -> None:
    """Whose rules find it from then on: here nothing would be measured of it, and nobody would hear of its end."""
    fold = BudgetFold(toy_settings(), [], [Toy])
    (opened,) = fold.apply(scaled(0, 9))
    config = toy_settings(first=(ENDPOINT,), all=("acme/*",))
    if is_restarted:
        fold = restarted(fold, config)
    else:
        fold.reconfigure(config)
    (ended,) = fold.apply(scaled(5, 9))
    assert (ended.episode, ended.status, ended.at > opened.at) == (opened.episode, Status.RESOLVED, True)
    assert fold.apply(scaled(6, 9)) == []
    assert statuses(fold.apply(scaled(7, 9, budget="first"))) == [(ENDPOINT, Status.OPEN)]
    (kept,) = [state for key, state in fold.changed().items() if isinstance(state, RulesState) and key.budget == "all"]
    assert kept.kept.episodes == {}


def test_the_wall_clock_speaks_through_the_log() -> None:
    """What it says is a roll-up: the clock of money stays, and one that is repeated says nothing."""
    config = toy_settings()
    fold = BudgetFold(config, [], [Toy])
    assert fold.apply(marked(0)) == [], "nobody has heard of the budget yet"
    assert fold.budgets() == {}
    fold.apply(scaled(0, 1))
    assert fold.apply(marked(30)) == []
    found = fold.apply(marked(90))
    assert statuses(found) == [("all", Status.OPEN)]
    assert found[0].endpoint is None
    assert fold.newest_us == START_S * US
    again = restarted(fold, config)
    assert (again.apply(marked(90)), again.repeated) == ([], 1)
    assert statuses(again.apply(marked(150))) == [("all", Status.UPDATE)]


def test_what_is_kept_of_an_endpoint_is_written_only_when_it_changes() -> None:
    """Its account changes with every report: what the rules keep is larger, and a fact of its own."""
    fold = BudgetFold(toy_settings(), [], [Toy])
    fold.apply(scaled(0, 3))
    assert [key.is_of_rules for key in fold.changed()] == [False, True]
    fold.apply(Rollup("all", SCALING, 0, 1, (START_S + 1) * US, endpoint="acme/other", replicas=1))
    assert {key.endpoint for key in fold.changed() if key.is_of_rules} == {"acme/other"}


def test_what_was_kept_of_a_forgotten_endpoint_does_not_come_back() -> None:
    """A worker that woke up may write it again: it is dead by its place, and said to be so once more."""
    config = structs.replace(toy_settings(), input=Input(max_endpoints=1))
    fold = BudgetFold(config, [], [Toy])
    fold.apply(scaled(0, 9))
    facts = {key: state for key, state in fold.changed().items() if state is not None}
    fold.apply(scaled(1, 1, "acme/other"))  # there is room for one
    fold.apply(scaled(2, 1))  # it is back, as a new one
    zombie = next(key for key in facts if key.is_of_rules)
    facts |= {key: state for key, state in fold.changed().items() if state is not None and key != zombie}
    again = BudgetFold(config, [], [Toy])
    again.restore(fold.budgets(), facts)
    assert again.changed()[zombie] is None
    assert statuses(again.apply(scaled(5, 9))) == [(ENDPOINT, Status.OPEN)]
