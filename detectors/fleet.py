"""The `FleetRule`s of one budget, with their episodes.

An endpoint's episodes and what the rules keep of it are a part of the endpoint's own fact, so that a budget of a
hundred thousand endpoints writes of those alone that changed. All else is the budget's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from detectors.episodes import Episode, Episodes
from detectors.ledger import Ledger
from detectors.rule import FleetRule, Measured
from schemas.config import Config
from schemas.outputs import Finding, Rollup


class Kept(Struct, array_like=True):
    """Of one endpoint, or of the budget without its endpoints: open episodes by rule and subject, and rule states."""

    episodes: dict[str, dict[str, Episode]] = field(default_factory=dict)
    rules: dict[str, msgspec.Raw] = field(default_factory=dict)


class Fleet:
    """What is noticed of one budget's endpoints."""

    def __init__(self, config: Config, budget: str, rules: Sequence[type[FleetRule[Any]]]) -> None:
        self._config, self._budget = config, budget
        self._rules = {kind.rule: kind(config, budget) for kind in rules}
        self._of_endpoints = {kind.rule: Episodes(kind.rule, kind.unit) for kind in rules}
        self._of_others = {kind.rule: Episodes(kind.rule, kind.unit, of_budgets=True) for kind in rules}
        self._is_sure = False  # that no episode is of an endpoint that the configuration gives to another budget
        self._name_config()

    def reconfigure(self, config: Config) -> None:
        self._config, self._is_sure = config, False
        for rule in self._rules.values():
            rule.reconfigure(config)
        self._name_config()

    def observe(self, rollup: Rollup, ledger: Ledger) -> Iterator[Finding]:
        """A roll-up has been entered into the ledger."""
        yield from self._end_others(rollup, ledger)
        for name, rule in self._rules.items():
            yield from self._follow(name, rule.observe(rollup, ledger, self._firing(name)))

    def tick(self, rollup: Rollup, ledger: Ledger) -> Iterator[Finding]:
        """The wall clock says how far an input has been read."""
        yield from self._end_others(rollup, ledger)
        for name, rule in self._rules.items():
            yield from self._follow(name, rule.tick(rollup, ledger, self._firing(name)))

    def drop(self, endpoint: str) -> None:
        """The endpoint is no longer this budget's affair, or is forgotten."""
        for name, rule in self._rules.items():
            rule.drop(endpoint)
            rule.changed.discard(endpoint)
            self._of_endpoints[name].open.pop(endpoint, None)

    def _end_others(self, rollup: Rollup, ledger: Ledger) -> Iterator[Finding]:
        """Another budget is the first to cover the endpoint now: its rules say what is to be said of it."""
        if self._is_sure:
            return
        self._is_sure = True
        for name, rule in self._rules.items():
            for endpoint in sorted(self._of_endpoints[name].open):
                if not rule.owns(endpoint):
                    rule.changed.add(endpoint)
                    yield self._of_endpoints[name].end(endpoint, max(rollup.time_us, ledger.now_us))

    def _firing(self, rule: str) -> set[str]:
        return self._of_endpoints[rule].open.keys() | self._of_others[rule].open.keys()

    def _follow(self, rule: str, several: Iterable[Measured]) -> Iterator[Finding]:
        for subject, at_us, reading, is_endpoint in several:
            episodes = self._of_endpoints[rule] if is_endpoint else self._of_others[rule]
            settings = self._config.rule(rule, subject if is_endpoint else None, self._budget)
            finding = episodes.follow(subject, (at_us, at_us), reading, settings)
            if is_endpoint:
                self._rules[rule].changed.add(subject)
            if finding is not None:
                yield finding

    def _name_config(self) -> None:
        for episodes in (*self._of_endpoints.values(), *self._of_others.values()):
            episodes.config_version = self._config.version

    # -- state -----------------------------------------------------------------------------------------------------

    def kept(self) -> Kept:
        """What belongs to no one endpoint."""
        episodes = {rule: dict(own.open) for rule, own in self._of_others.items() if own.open}
        return Kept(episodes, _packed({name: rule.snapshot() for name, rule in self._rules.items()}))

    def changed(self) -> set[str]:
        """The endpoints of which something else is kept than at the last call."""
        changed: set[str] = set().union(*(rule.changed for rule in self._rules.values()))
        for rule in self._rules.values():
            rule.changed.clear()
        return changed

    def kept_of(self, endpoint: str) -> Kept:
        """What belongs to one endpoint."""
        open_ = {rule: own.open for rule, own in self._of_endpoints.items()}
        episodes = {rule: {endpoint: own[endpoint]} for rule, own in open_.items() if endpoint in own}
        return Kept(episodes, _packed({name: rule.snapshot_of(endpoint) for name, rule in self._rules.items()}))

    def restore(self, kept: Kept) -> None:
        """The inverse of `kept`; `adopt` follows for each endpoint."""
        for name in kept.rules.keys() & self._rules.keys():
            self._rules[name].restore(kept.rules[name])
        _reopen(self._of_others, kept)

    def adopt(self, endpoint: str, kept: Kept) -> None:
        """The inverse of `kept_of`."""
        for name in kept.rules.keys() & self._rules.keys():
            self._rules[name].adopt(endpoint, kept.rules[name])
        _reopen(self._of_endpoints, kept)


def _packed(states: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.msgpack.encode(state)) for name, state in states.items() if state is not None}


def _reopen(episodes: Mapping[str, Episodes], kept: Kept) -> None:
    """A rule that is gone takes its episodes with it."""
    for rule in kept.episodes.keys() & episodes.keys():
        episodes[rule].open.update(kept.episodes[rule])
