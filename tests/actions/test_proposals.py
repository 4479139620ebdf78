"""Parameters and worth of a claim on one endpoint."""

from __future__ import annotations

import pytest

from actions.proposals import overflow_to, propose
from schemas.config import Overflow, Provider
from schemas.outputs import Action, Severity
from tests.actions.findings import finding, runaway, settings, surge

PROVIDERS = Overflow(
    providers=(
        Provider(name="dear", price_usd_per_hour=0.9),
        Provider(name="cheap", price_usd_per_hour=0.4, endpoints=("acme/a",)),
        Provider(name="also", price_usd_per_hour=0.4, endpoints=("acme/a",)),
    )
)


def test_the_cheapest_provider_that_takes_the_endpoint() -> None:
    """Equally cheap ones by name, so that the order in the file does not decide."""
    config = settings(overflow=PROVIDERS)
    told = [overflow_to(name, config) for name in ("acme/a", "acme/b")]
    assert [provider.name for provider in told if provider is not None] == ["also", "dear"]
    assert overflow_to("acme/a", settings()) is None


def test_overflow_names_provider_and_price() -> None:
    """What the executor needs to route, and a person to agree."""
    claim = propose(surge("acme/a", 0), settings(overflow=PROVIDERS, actions={"request_surge": "overflow"}))
    assert claim is not None
    assert claim.action is Action.OVERFLOW
    assert claim.parameters == {"provider": "also", "price_usd_per_hour": 0.4}


def test_a_shutdown_saves_all_replicas() -> None:
    """40 replicas at 2 USD."""
    claim = propose(runaway("acme/a", 0), settings(actions={"runaway_replicas": "shutdown"}))
    assert claim is not None
    assert (claim.parameters, claim.cost.saves_usd_per_hour) == ({}, 80.0)


@pytest.mark.parametrize("threshold", [40.0, float("inf")])
def test_a_runaway_that_is_within_its_maximum_again_needs_no_cap(threshold: float) -> None:
    """Also when the rule was switched off in the middle of an episode."""
    assert propose(runaway("acme/a", 0, threshold=threshold), settings()) is None


def test_without_a_price_nothing_is_said_of_money() -> None:
    """None, not zero."""
    claim = propose(runaway("else/where", 0), settings())
    assert claim is not None
    assert (claim.cost.rate_usd_per_hour, claim.cost.saves_usd_per_hour) == (None, None)


def test_a_throttle_for_any_other_rule_stops_growth() -> None:
    """Without a rate to throttle to, the endpoint keeps what is ready."""
    found = finding("cold_starts", "acme/a", "acme/a", 0, evidence={"before": {"ready_replicas": 3}})
    claim = propose(found, settings(actions={"cold_starts": "throttle"}))
    assert claim is not None
    assert claim.parameters == {"max_replicas": 3}


THRASH = {"replicas_low": 2, "replicas_high": 6, "before": {"ready_replicas": 6}}


def test_a_thrash_is_capped_at_the_lower_end_of_its_swing() -> None:
    """If somebody wants it to be: by default it is only advised. A cap ends no swing between one replica and none."""
    config = settings(actions={"scale_thrash": "throttle"})
    claims = [
        propose(finding("scale_thrash", "acme/a", "acme/a", 0, evidence=THRASH | {"replicas_low": low}), config)
        for low in (2, 0, None)
    ]
    assert [claim and claim.parameters for claim in claims] == [{"max_replicas": 2}, None, None]
    assert claims[0] is not None
    assert claims[0].cost.saves_usd_per_hour == 8.0


@pytest.mark.parametrize("rule", ["cold_starts", "scale_thrash", "low_utilization"])
def test_what_only_advises_does_nothing_unless_configured(rule: str) -> None:
    """At any severity; and once configured it knows how to come back."""
    for severity in Severity:
        found = finding(rule, "acme/a", "acme/a", 0, severity=severity, evidence=THRASH)
        assert propose(found, settings()) is None
        claim = propose(found, settings(actions={rule: "shutdown"}))
        assert claim is not None
        assert (claim.action, claim.before) == (Action.SHUTDOWN, {"ready_replicas": 6})


@pytest.mark.parametrize("rule", ["queue_depth", "latency", "error_rate"])
def test_an_endpoint_that_cannot_keep_up_is_not_kept_from_growing(rule: str) -> None:
    """Whatever the evidence holds: no throttle, but the overflow and the shutdown that are asked for."""
    found = finding(rule, "acme/a", "acme/a", 0, evidence={"high_rps": 3.0, "before": {"ready_replicas": 3}})
    assert propose(found, settings(actions={rule: "throttle"})) is None
    config = settings(overflow=PROVIDERS, actions={rule: "overflow"})
    claims = [propose(found, each) for each in (config, settings(actions={rule: "shutdown"}))]
    assert [(claim.action, claim.parameters.get("provider")) for claim in claims if claim is not None] == [
        (Action.OVERFLOW, "also"),
        (Action.SHUTDOWN, None),
    ]


@pytest.mark.parametrize("high", [None, "12", True, float("nan"), float("inf"), pytest.param(10**400, id="huge")])
def test_a_limit_that_is_no_number_is_no_limit(high: object) -> None:
    """Evidence from elsewhere may hold anything."""
    assert propose(surge("acme/a", 0, evidence={"high_rps": high, "before": 7}), settings()) is None


def test_a_finding_about_no_endpoint_has_nothing_to_act_on() -> None:
    """A region's finding, say."""
    assert propose(finding("regional_cost", "us-east-1", None, 0), settings()) is None
