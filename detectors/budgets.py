"""The budget stage over one partition of roll-ups: money, and the rules that join endpoints.

What it decides is a function of the roll-ups' own log. A roll-up that was written twice (a worker died and its
successor wrote it again) is dropped: within a source partition the sequence never falls.

Forgotten is an endpoint of which no roll-up told for `forget_after`, as of the budget's clock, unless a bill of it
still counts: what its last replicas cost ends there. And, when a new one comes and there are as many as the partitions
of the inputs may have (`max_endpoints` each), the one that was silent longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from detectors.account import LARGEST, Account
from detectors.day import Day
from detectors.episodes import Episode, Episodes
from detectors.fleet import Fleet, Kept
from detectors.ledger import WINDOW_US, Ledger
from detectors.rule import BudgetRule, FleetRule
from schemas.config import Config
from schemas.outputs import Finding, Rollup
from schemas.recency import Heard, Marks, Recency
from schemas.topics import is_clock
from schemas.units import US, to_nano

Pair = tuple[str, str]  # budget and endpoint


class Key(NamedTuple):
    """What a state is of: an account, or what the rules keep of its endpoint.

    They are apart because an account changes with every report, and the rules' part, which is larger, once a minute at
    most while requests come, and hardly ever while none do.
    """

    budget: str
    endpoint: str
    is_of_rules: bool = False


class AccountState(Struct, array_like=True):
    """An account as plain data; None: it was closed, and what earlier facts say of it no longer counts.

    `born`: the place of the endpoint's first hearing since it was forgotten the last time, if ever.
    """

    account: Account | None
    heard: Heard
    born: int


class RulesState(Struct, array_like=True):
    """What the rules keep of an endpoint. It is dead unless the account was `born` at the same place."""

    born: int
    kept: Kept


States = Mapping[Key, AccountState | RulesState]


class BudgetState(Struct, array_like=True):
    """A budget without its accounts, as plain data."""

    now_us: int
    upper_nano: int
    day: Day
    asked_s: int
    sequences: dict[str, int]
    episodes: dict[str, Episode]
    rules: dict[str, msgspec.Raw]
    kept: Kept
    marks: Marks


class _Budget:
    def __init__(self, fleet: Fleet, timezone: str) -> None:
        self.fleet = fleet
        self.ledger = Ledger(timezone)
        self.recency: Recency[str] = Recency()
        self.born: dict[str, int] = {}
        self.sequences: dict[str, int] = {}  # "source/partition" -> the last one taken
        self.asked_s = -1  # the second of event time at which the rules were last asked


class BudgetFold:
    """Roll-ups in, findings out."""

    def __init__(
        self, config: Config, rules: Sequence[type[BudgetRule[Any]]], fleet_rules: Sequence[type[FleetRule[Any]]] = ()
    ) -> None:
        self.repeated = 0
        self._config = config
        self._fleet_rules = fleet_rules
        self._rules = {rule.rule: rule(config) for rule in rules}
        self._episodes = {rule.rule: Episodes(rule.rule, rule.unit, of_budgets=True) for rule in rules}
        self._budgets: dict[str, _Budget] = {}
        self._closed: dict[Pair, tuple[Heard, int]] = {}  # accounts that facts may still tell of
        self._forgotten: set[Pair] = set()
        self._dead: set[Pair] = set()  # of these the rules' part alone was written again
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._config = config
        for name, rule in self._rules.items():
            rule.reconfigure(config)
            self._episodes[name].config_version = config.version
        for name in [name for name in self._budgets if name not in config.budgets]:
            gone = self._budgets.pop(name)
            for endpoint in gone.ledger.accounts:
                self._close((name, endpoint), gone)
            for episodes in self._episodes.values():
                episodes.open.pop(name, None)
        for name, budget in self._budgets.items():
            budget.fleet.reconfigure(config)
            for endpoint in list(budget.ledger.prices):
                if config.budgets[name].covers(endpoint):
                    budget.ledger.price(endpoint, self._price(endpoint))
                else:
                    budget.ledger.close(endpoint)
                    budget.fleet.drop(endpoint)
                    self._close((name, endpoint), budget)
            budget.ledger.keep_days_of(config.budgets[name].timezone)

    @property
    def newest_us(self) -> int:
        """The largest event time of all budgets."""
        return max((budget.ledger.now_us for budget in self._budgets.values()), default=0)

    def apply(self, rollup: Rollup) -> list[Finding]:
        """Fold one roll-up, in log order. One of a budget that the configuration does not name is passed over."""
        if rollup.budget not in self._config.budgets:
            return []
        budget = self._budgets.get(rollup.budget)
        if budget is None:
            if is_clock(rollup.source):
                return []  # nothing was heard of it yet
            budget = self._budgets[rollup.budget] = self._new(rollup.budget)
        source = f"{rollup.source}/{rollup.partition}"
        if rollup.seq <= budget.sequences.get(source, -1):
            self.repeated += 1
            return []
        budget.sequences[source] = rollup.seq
        if is_clock(rollup.source):
            return list(budget.fleet.tick(rollup, budget.ledger))
        self._enter(budget, rollup)
        return [*self._ask(rollup.budget, budget), *budget.fleet.observe(rollup, budget.ledger)]

    def _new(self, name: str) -> _Budget:
        return _Budget(Fleet(self._config, name, self._fleet_rules), self._config.budgets[name].timezone)

    def _enter(self, budget: _Budget, rollup: Rollup) -> None:
        ledger = budget.ledger
        ledger.advance(rollup.time_us)
        self._forget_silent(rollup.budget, budget)
        if rollup.endpoint is None:
            return
        if rollup.endpoint not in budget.recency:
            self._make_room(rollup.budget, budget)
            budget.born[rollup.endpoint] = budget.recency.marks.hearings
        budget.recency.hear(rollup.endpoint, ledger.now_us)
        if rollup.endpoint not in ledger.prices:
            ledger.price(rollup.endpoint, self._price(rollup.endpoint))
        if rollup.replicas is not None:
            ledger.scale(rollup.endpoint, rollup.time_us, rollup.replicas)
        if rollup.bill is not None:
            ledger.charge(rollup.endpoint, rollup.bill)

    def _forget_silent(self, name: str, budget: _Budget) -> None:
        ledger, recency = budget.ledger, budget.recency
        for endpoint in recency.silent(ledger.now_us - round(self._config.input.forget_after * US)):
            account = ledger.accounts.get(endpoint)
            if account is not None and account.is_billed(ledger.now_us - WINDOW_US):
                recency.hear(endpoint, ledger.now_us)
                ledger.changed.add(endpoint)
            else:
                self._forget(name, budget, endpoint)

    def _make_room(self, name: str, budget: _Budget) -> None:
        partitions = {source.rpartition("/")[2] for source in budget.sequences if not is_clock(source)}
        most = self._config.input.max_endpoints * len(partitions)
        for endpoint in budget.recency.longest_silent(most - 1):
            self._forget(name, budget, endpoint)

    def _forget(self, name: str, budget: _Budget, endpoint: str) -> None:
        budget.recency.forget(endpoint)
        del budget.born[endpoint]
        self._closed.pop((name, endpoint), None)
        self._forgotten.add((name, endpoint))
        if endpoint in budget.ledger.prices:
            budget.ledger.forget(endpoint)
        budget.fleet.drop(endpoint)

    def _close(self, pair: Pair, budget: _Budget) -> None:
        self._forgotten.discard(pair)
        self._closed[pair] = budget.recency[pair[1]], budget.born[pair[1]]

    def _price(self, endpoint: str) -> int:
        price = self._config.endpoint(endpoint).price_usd_per_hour
        return 0 if price is None else to_nano(price)

    def _ask(self, name: str, budget: _Budget) -> list[Finding]:
        """Ask the rules, at most once a second of event time."""
        ledger = budget.ledger
        for rule in self._rules.values():
            rule.observe(name, ledger)
        second = ledger.now_us // US
        if second == budget.asked_s:
            return []
        findings = [self._follow(rule, name, budget) for rule in self._rules if self._is_due(rule, name, ledger)]
        budget.asked_s = second
        return [finding for finding in findings if finding is not None]

    def _is_due(self, rule: str, name: str, ledger: Ledger) -> bool:
        episode = self._episodes[rule].open.get(name)
        if episode is None:
            return self._rules[rule].is_due(name, ledger)
        due_us = self._episodes[rule].due_us(name, self._config.rule(rule, budget=name))
        return ledger.now_us >= due_us or self._rules[rule].is_due_again(name, ledger, episode)

    def _follow(self, rule: str, name: str, budget: _Budget) -> Finding | None:
        ledger = budget.ledger
        settings = self._config.rule(rule, budget=name)
        span = (ledger.now_us, ledger.now_us)
        return self._episodes[rule].follow(name, span, self._rules[rule].read(name, ledger), settings)

    # -- state -----------------------------------------------------------------------------------------------------

    def changed(self) -> dict[Key, AccountState | RulesState | None]:
        """The states that changed since the last call; None: it is forgotten."""
        changed: dict[Key, AccountState | RulesState | None] = {}
        changed |= {Key(*pair): None for pair in sorted(self._forgotten)}
        changed |= {Key(*pair, is_of_rules=True): None for pair in sorted(self._forgotten | self._dead)}
        for pair, (heard, born) in sorted(self._closed.items()):
            changed[Key(*pair)] = AccountState(None, heard, born)
            changed[Key(*pair, is_of_rules=True)] = RulesState(born, Kept())
        for pending in (self._forgotten, self._dead, self._closed):
            pending.clear()
        for name, budget in self._budgets.items():
            changed |= _changed_of(name, budget)
        return changed

    def budgets(self) -> dict[str, BudgetState]:
        """All budgets without their accounts."""
        return {name: self._state(name, budget) for name, budget in self._budgets.items()}

    def _state(self, name: str, budget: _Budget) -> BudgetState:
        day = budget.ledger.day
        return BudgetState(
            budget.ledger.now_us,
            min(budget.ledger.upper_nano, LARGEST),  # a bound this high says no more than that one must look
            structs.replace(day, upper_nano=min(day.upper_nano, LARGEST)),
            budget.asked_s,
            dict(budget.sequences),
            {rule: episodes.open[name] for rule, episodes in self._episodes.items() if name in episodes.open},
            {n: msgspec.Raw(msgspec.msgpack.encode(rule.snapshot(name))) for n, rule in self._rules.items()},
            budget.fleet.kept(),
            budget.recency.marks,
        )

    def restore(self, budgets: Mapping[str, BudgetState], states: States) -> None:
        """Become the fold that these were taken from. Called once, when new."""
        for name, state in budgets.items():
            if name in self._config.budgets:
                self._restore(name, state)
        by_budget: dict[str, dict[str, AccountState]] = {name: {} for name in self._budgets}
        for key, kept in states.items():
            if isinstance(kept, AccountState):
                by_budget.setdefault(key.budget, {})[key.endpoint] = kept
        for name, own in by_budget.items():
            if name in self._budgets:
                self._adopt(name, self._budgets[name], own)
            else:
                self._leave(name, own)
        for key, kept in states.items():
            if isinstance(kept, RulesState):
                self._adopt_rules(key, kept)

    def _adopt(self, name: str, budget: _Budget, accounts: Mapping[str, AccountState]) -> None:
        heard = {endpoint: kept.heard for endpoint, kept in accounts.items()}
        self._forgotten |= {(name, endpoint) for endpoint in budget.recency.restore(budget.recency.marks, heard)}
        budget.born = {endpoint: kept.born for endpoint, kept in accounts.items() if endpoint in budget.recency}
        covers = self._config.budgets[name].covers
        for endpoint, kept in accounts.items():
            if kept.account is None or endpoint not in budget.recency:
                continue
            if covers(endpoint):
                budget.ledger.adopt(endpoint, self._price(endpoint), kept.account)
            else:
                self._closed[name, endpoint] = kept.heard, kept.born
        budget.ledger.mind()

    def _adopt_rules(self, key: Key, state: RulesState) -> None:
        budget = self._budgets.get(key.budget)
        is_alive = budget is not None and state.born == budget.born.get(key.endpoint)
        if budget is not None and is_alive and key.endpoint in budget.ledger.accounts:
            budget.fleet.adopt(key.endpoint, state.kept)
        elif not is_alive:
            self._dead.add((key.budget, key.endpoint))

    def _leave(self, name: str, accounts: Mapping[str, AccountState]) -> None:
        """The budget is not there any more: first its accounts are closed; at the restart after, nothing needs them."""
        for endpoint, kept in accounts.items():
            if kept.account is None:
                self._forgotten.add((name, endpoint))
            else:
                self._closed[name, endpoint] = kept.heard, kept.born

    def _restore(self, name: str, state: BudgetState) -> None:
        budget = self._budgets[name] = self._new(name)
        budget.recency.marks = state.marks
        budget.fleet.restore(state.kept)
        ledger = budget.ledger
        ledger.now_us, ledger.upper_nano, ledger.day = state.now_us, state.upper_nano, state.day
        budget.asked_s, budget.sequences = state.asked_s, state.sequences
        for rule, kept in state.rules.items():
            if rule in self._rules:
                self._rules[rule].restore(name, kept)
        for rule, episode in state.episodes.items():
            if rule in self._episodes:
                self._episodes[rule].open[name] = episode


def _changed_of(name: str, budget: _Budget) -> States:
    """What changed in a budget since the last call."""
    ledger, fleet, recency = budget.ledger, budget.fleet, budget.recency
    of_rules = sorted(fleet.changed() & ledger.accounts.keys())
    born = budget.born
    accounts = {Key(name, e): AccountState(ledger.accounts[e], recency[e], born[e]) for e in sorted(ledger.changed)}
    ledger.changed.clear()
    rules = {Key(name, e, is_of_rules=True): RulesState(born[e], fleet.kept_of(e)) for e in of_rules}
    return {**accounts, **rules}
