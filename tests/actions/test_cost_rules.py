"""What is said, and done, about the rules over what things cost."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from actions import ActionFold, proposals
from actions.wording import what_is_wrong
from schemas.config import Config
from schemas.outputs import Command, Finding, Severity
from tests.actions.findings import runaway, settings

SPIKE: dict[str, Any] = {
    "usd_per_hour": 90.0,
    "high_usd_per_hour": 43.2,
    "replicas": 9,
    "price_usd_per_hour": 10.0,
    "before": {"ready_replicas": 9},
}
RISE: dict[str, Any] = {
    "usd_per_1000_requests": 0.75,
    "usual_usd_per_1000_requests": 0.5,
    "usd_per_hour": 30.0,
    "since": "2026-11-26T10:00:00.000000Z",
    "accepted": False,
}
REGION: dict[str, Any] = {
    "model": "bert",
    "region": "eu-west-1",
    "cheaper_region": "us-east-1",
    "per": "1000 requests",
    "usd": 0.00067,
    "cheaper_usd": 0.00033,
    "saving_usd_per_day": 48.0,
}


def finding(rule: str, subject: str, endpoint: str | None, value: float, evidence: dict[str, Any]) -> Finding:
    return structs.replace(
        runaway("acme/a", 0),
        rule=rule,
        subject=subject,
        endpoint=endpoint,
        severity=Severity.WARNING,
        value=value,
        threshold=43.2,
        baseline=20.2 if rule == "cost_spike" else None,
        evidence=evidence,
    )


def configured(rule: str, response: str) -> Config:
    return structs.replace(settings(), actions={rule: response})


def test_a_cost_spike_is_told_in_dollars() -> None:
    """Of an endpoint, and of a budget."""
    rest = "costs $90.00 per hour (the last 10 minutes), normal is $20.20, the limit is $43.20 per hour"
    assert what_is_wrong(finding("cost_spike", "acme/a", "acme/a", 90.0, SPIKE)) == f"acme/a {rest}"
    assert what_is_wrong(finding("cost_spike", "all", None, 90.0, {})) == f"cost_spike on all: it {rest}"


def test_a_rise_is_told_with_what_a_thousand_cost_before_and_now() -> None:
    """And since when; once it is accepted, that it is usual."""
    told = what_is_wrong(finding("cost_per_request", "acme/a", "acme/a", 50.0, RISE))
    assert told == (
        "acme/a: requests cost 50 % more than usual since 2026-11-26 10:00:00 UTC; "
        "1,000 of them cost $0.75 in the last hour instead of $0.50, $30.00 per hour in all"
    )
    accepted = finding("cost_per_request", "acme/a", "acme/a", 0.0, {**RISE, "accepted": True, "since": None})
    assert what_is_wrong(accepted).startswith("acme/a: requests go on costing more, which is usual from now on; 1,000")
    assert what_is_wrong(finding("cost_per_request", "acme/a", "acme/a", 50.0, {})) == (
        "acme/a: requests cost 50 % more than usual"
    )


def test_a_dear_region_is_told_with_the_saving() -> None:
    """Also where a request costs less than a cent; and if there is nothing to compare."""
    subject = "all/bert@eu-west-1"
    assert what_is_wrong(finding("regional_cost", subject, None, 103.0, REGION)) == (
        "all/bert@eu-west-1: bert costs $0.00067 per 1000 requests in eu-west-1, 103 % more than $0.00033 in "
        "us-east-1; moving it would save $48.00 per day"
    )
    nothing = finding("regional_cost", subject, None, 0.0, {"compared": False})
    assert what_is_wrong(nothing) == "all/bert@eu-west-1: no region is cheaper any more"


@pytest.mark.parametrize("rule", ["cost_spike", "cost_per_request", "regional_cost"])
def test_nothing_is_done_unless_it_is_configured(rule: str) -> None:
    """An alert, and no command."""
    told = ActionFold(settings()).apply(finding(rule, "acme/a", "acme/a", 90.0, SPIKE), None)
    assert told
    assert not any(isinstance(one, Command) for one in told)


def test_a_spike_is_throttled_to_what_normal_pays_for() -> None:
    """To no fewer replicas than one, and not at all where replicas are not what costs."""
    config = configured("cost_spike", "throttle")

    def cap(**changed: float) -> dict[str, Any] | None:
        evidence = {**SPIKE, **changed}
        claim = proposals.propose(finding("cost_spike", "acme/a", "acme/a", 90.0, evidence), config)
        return None if claim is None else claim.parameters

    assert cap() == {"max_replicas": 4}
    assert cap(high_usd_per_hour=3.0) == {"max_replicas": 1}
    assert cap(replicas=4) is None
    assert cap(price_usd_per_hour=0.0) is None


def test_no_limit_answers_dearer_requests() -> None:
    """Nobody would pay less; who wants to shut down may."""
    found = finding("cost_per_request", "acme/a", "acme/a", 50.0, RISE)
    assert proposals.propose(found, configured("cost_per_request", "throttle")) is None
    assert proposals.propose(found, configured("cost_per_request", "shutdown")) is not None


@pytest.mark.parametrize(("rule", "subject"), [("cost_spike", "all"), ("regional_cost", "all/bert@eu-west-1")])
@pytest.mark.parametrize("response", ["throttle", "shutdown"])
def test_budgets_and_regions_are_never_braked_by_these(rule: str, subject: str, response: str) -> None:
    """What they name is there to be read."""
    evidence = {**SPIKE, **REGION, "dearest": [{"endpoint": "acme/a", "replicas": 9, "price_usd_per_hour": 10.0}]}
    told = ActionFold(configured(rule, response)).apply(finding(rule, subject, None, 90.0, evidence), None)
    assert not any(isinstance(one, Command) for one in told)
