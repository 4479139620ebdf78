"""Rules are found, not registered."""

from __future__ import annotations

import pytest

import detectors
from detectors import RULES, budget_rules, fleet_rules, history_rules, request_rules, scaling_rules


def test_every_rule_is_found_once() -> None:
    """In one of the five shapes, by name."""
    shaped = [*request_rules(), *scaling_rules(), *history_rules(), *budget_rules(), *fleet_rules()]
    assert sorted(rule.rule for rule in shaped) == sorted(RULES)
    assert {"request_surge", "runaway_replicas", "hourly_spend"} <= set(RULES)


def test_a_rule_lives_in_a_file_of_its_name() -> None:
    """So that it can be found by whoever reads a finding."""
    assert {rule: kind.__module__ for rule, kind in RULES.items()} == {
        rule: f"detectors.rules.{rule}" for rule in RULES
    }


def test_the_registry_cannot_be_changed() -> None:
    """What is registered is what lies in the folder."""
    with pytest.raises(TypeError):
        RULES["another"] = RULES["hourly_spend"]  # type: ignore[index]


def test_what_is_offered_is_there() -> None:
    """`__all__` names what exists."""
    assert [name for name in detectors.__all__ if not hasattr(detectors, name)] == []
