"""What a budget asks of its endpoints."""

from __future__ import annotations

import pytest

from actions import budget
from actions.evidence import Spender
from schemas.config import Budget, Endpoint, Overflow, Provider, RuleSettings
from schemas.outputs import Action, Finding
from tests.actions.findings import settings, spend, spend_evidence

ROWS = [("acme/a", 20, 2.0), ("acme/b", 10, 2.0)]


def over(found: Finding, **changes: object) -> float:
    return budget.excess(found, settings(**changes), lambda _endpoint: ())


def test_the_excess_is_what_is_above_the_goal() -> None:
    """60 USD per hour against 80 % of 50."""
    assert over(spend(0, ROWS)) == 20.0


def test_the_goal_is_the_rules_own() -> None:
    """The budget's own settings come before the global ones."""
    half, full = RuleSettings(resolve_below=0.5), RuleSettings(resolve_below=1)
    own = Budget(daily_usd=1200, endpoints=("*",), rules={"hourly_spend": half})
    assert over(spend(0, ROWS), rules={"hourly_spend": full}) == 10.0
    assert over(spend(0, ROWS), rules={"hourly_spend": full}, budgets={"all": own}) == 35.0


def test_a_rate_that_is_not_told_is_summed() -> None:
    """The listed endpoints are all that is known then."""
    evidence = spend_evidence(ROWS)
    del evidence["rate_usd_per_hour"]
    assert over(spend(0, ROWS, evidence=evidence)) == 20.0


@pytest.mark.parametrize(("excess", "cap"), [(0.5, 19), (2.0, 19), (2.1, 18), (1000.0, 1)])
def test_the_cap_is_just_low_enough_and_never_zero(excess: float, cap: int) -> None:
    """Whole replicas; one stays, since a throttle is not a shutdown."""
    claim = budget.propose(spend(0, ROWS), Spender("acme/a", 20, 2.0), settings(), excess)
    assert claim is not None
    assert claim.parameters == {"max_replicas": cap}
    assert claim.cost.saves_usd_per_hour == (20 - cap) * 2.0


@pytest.mark.parametrize("spender", [Spender("acme/a", 1, 2.0), Spender("acme/a", 9, 0.0)])
def test_nothing_is_asked_where_nothing_can_be_saved(spender: Spender) -> None:
    """A last replica, or replicas that cost nothing."""
    assert budget.propose(spend(0, ROWS), spender, settings(), 10.0) is None


def test_a_critical_endpoint_is_not_asked() -> None:
    """Whatever its own response says."""
    config = settings(endpoints={"acme/a": Endpoint(critical=True, actions={"hourly_spend": "shutdown"})})
    assert budget.propose(spend(0, ROWS), Spender("acme/a", 20, 2.0), config, 10.0) is None


def test_an_overflow_saves_the_difference_in_price() -> None:
    """What the provider takes is not saved."""
    provider = Provider(name="p", price_usd_per_hour=0.5)
    config = settings(actions={"hourly_spend": "overflow"}, overflow=Overflow(providers=(provider,)))
    claim = budget.propose(spend(0, ROWS), Spender("acme/a", 20, 2.0), config, 10.0)
    assert claim is not None
    assert (claim.action, claim.cost.saves_usd_per_hour) == (Action.OVERFLOW, 30.0)
