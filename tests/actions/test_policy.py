"""Which action answers which finding."""

from __future__ import annotations

import pytest

from actions.policy import respond
from schemas.config import Config, Endpoint
from schemas.outputs import Action, Severity

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL


def test_surges_and_runaways_are_throttled_at_any_severity() -> None:
    """The table's defaults for rules about one endpoint."""
    for rule in ("request_surge", "runaway_replicas"):
        assert {respond(Config(), rule, severity, "acme/a") for severity in Severity} == {Action.THROTTLE}


def test_a_budget_is_throttled_from_error_on() -> None:
    """A warning is about money that is not spent yet."""
    told = [respond(Config(), "hourly_spend", severity, "acme/a") for severity in Severity]
    assert told == [None, None, Action.THROTTLE, Action.THROTTLE]


def test_an_unknown_rule_does_nothing() -> None:
    """What is not in the table only alerts."""
    assert respond(Config(), "latency", CRITICAL, "acme/a") is None


@pytest.mark.parametrize("rule", ["telemetry_gap", "regional_cost"])
def test_some_rules_only_alert_whatever_the_configuration_asks_for(rule: str) -> None:
    """What is not known is no ground to act, and no endpoint can be moved."""
    own = {"acme/a": Endpoint(actions={rule: "shutdown"})}
    config = Config(actions={rule: "shutdown"}, endpoints=own)
    for name in ("acme/a", "acme/b"):
        assert {respond(config, rule, severity, name) for severity in Severity} == {None}


def test_a_response_for_a_rule_keeps_the_severities_at_which_it_acts() -> None:
    """`hourly_spend: shutdown` does not shut down at a warning."""
    config = Config(actions={"hourly_spend": "shutdown", "latency": "throttle"})
    assert respond(config, "hourly_spend", CRITICAL, "acme/a") is Action.SHUTDOWN
    assert respond(config, "hourly_spend", WARNING, "acme/a") is None
    assert respond(config, "latency", WARNING, "acme/a") is Action.THROTTLE


def test_a_response_for_a_severity_changes_that_one_alone() -> None:
    """The other severities keep the table's."""
    config = Config(actions={"hourly_spend": {WARNING: "throttle", CRITICAL: "shutdown"}})
    told = [respond(config, "hourly_spend", severity, "acme/a") for severity in Severity]
    assert told == [None, Action.THROTTLE, Action.THROTTLE, Action.SHUTDOWN]


def test_an_endpoints_own_response_wins() -> None:
    """It says what is done; the rule says from which severity on."""
    endpoints = {"acme/a": Endpoint(actions={"hourly_spend": "shutdown", "request_surge": "none"})}
    config = Config(endpoints=endpoints, actions={"hourly_spend": "none"})
    assert respond(config, "hourly_spend", CRITICAL, "acme/a") is Action.SHUTDOWN
    assert respond(config, "hourly_spend", WARNING, "acme/a") is None
    assert respond(config, "request_surge", CRITICAL, "acme/a") is None
    assert respond(config, "hourly_spend", CRITICAL, "acme/b") is None
