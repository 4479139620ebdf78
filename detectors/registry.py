"""Which rules there are: every subclass of `Rule` that a file of `detectors/rules/` defines. Nothing to register."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from detectors import rules
from detectors.rule import BudgetRule, FleetRule, HistoryRule, RequestRule, Rule, ScalingRule
from schemas.config import RuleSettings

AnyRule = type[Rule[Any]]


def _found() -> dict[str, AnyRule]:
    names = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
    modules = [import_module(f"{rules.__name__}.{name}") for name in names]
    found = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Rule) and kind.__module__ == module.__name__
    ]
    return {kind.rule: kind for kind in found}


RULES: Final[Mapping[str, AnyRule]] = MappingProxyType(_found())
SETTINGS: Final[Mapping[str, type[RuleSettings]]] = MappingProxyType(
    {name: rule.Settings for name, rule in RULES.items()}
)


def request_rules() -> list[type[RequestRule[Any]]]:
    """The rules over requests, by name."""
    return [kind for kind in RULES.values() if issubclass(kind, RequestRule)]


def scaling_rules() -> list[type[ScalingRule[Any]]]:
    """The rules over single scaling events, by name."""
    return [kind for kind in RULES.values() if issubclass(kind, ScalingRule)]


def history_rules() -> list[type[HistoryRule[Any, Any]]]:
    """The rules over the history of an endpoint's replicas, by name."""
    return [kind for kind in RULES.values() if issubclass(kind, HistoryRule)]


def budget_rules() -> list[type[BudgetRule[Any]]]:
    """The rules over budgets, by name."""
    return [kind for kind in RULES.values() if issubclass(kind, BudgetRule)]


def fleet_rules() -> list[type[FleetRule[Any]]]:
    """The rules over the endpoints of a budget, by name."""
    return [kind for kind in RULES.values() if issubclass(kind, FleetRule)]
