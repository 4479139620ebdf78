"""The ladder of `daily_spend`: throttle, overflow, shutdown; each rung for whom it is meant."""

from __future__ import annotations

from typing import Any

from actions import ActionFold
from actions.policy import descend
from schemas.config import Config, Endpoint, Overflow, Provider, Safety, Seconds
from schemas.outputs import Action, Command, Finding, Held, Severity
from tests.actions.findings import commands, daily, later, resolved, settings

WARNING, ERROR, CRITICAL = Severity.WARNING, Severity.ERROR, Severity.CRITICAL
ROWS = [("acme/a", 20, 2.0), ("acme/b", 10, 2.0), ("acme/c", 2, 2.0)]  # 64 USD per hour; the goal is 40; c is cheap
PROVIDERS = Overflow(providers=(Provider(name="p", price_usd_per_hour=0.5, endpoints=("acme/a",)),))


def fold(**changes: Any) -> ActionFold:
    """With a provider for a alone, and room to shut everything down."""
    changes.setdefault("overflow", PROVIDERS)
    changes.setdefault("safety", Safety(max_share_down=1))
    return ActionFold(settings(**changes))


def told(one: ActionFold, *log: Finding) -> list[tuple[str, Action, Held | None]]:
    return [(c.endpoint, c.action, c.held) for c in asked(one, *log)]


def asked(one: ActionFold, *log: Finding) -> list[Command]:
    return [command for found in log for command in commands(one.apply(found, None))]


def test_the_ladder_is_told_with_what_remains_below() -> None:
    """The highest rung first."""
    rungs = [descend(Config(), "daily_spend", severity, "acme/a") for severity in (WARNING, ERROR, CRITICAL)]
    assert rungs == [
        [Action.THROTTLE],
        [Action.OVERFLOW, Action.THROTTLE],
        [Action.SHUTDOWN, Action.OVERFLOW, Action.THROTTLE],
    ]


def test_rungs_only_go_down() -> None:
    """A configuration that is harsh to the mild and mild to the harsh is taken at its word."""
    config = Config(actions={"daily_spend": {WARNING: "shutdown", CRITICAL: "throttle"}})
    assert descend(config, "daily_spend", CRITICAL, "acme/a") == [Action.THROTTLE]
    assert descend(config, "daily_spend", ERROR, "acme/a") == [Action.OVERFLOW]
    assert descend(Config(actions={"daily_spend": "none"}), "daily_spend", CRITICAL, "acme/a") == []


def test_at_the_first_step_the_dearest_are_throttled_to_the_days_pace() -> None:
    """64 USD per hour, and 80 % of a 24th of 1200 a day is 40: a gives twelve of its replicas."""
    (command,) = asked(fold(), daily(0, ROWS, severity=WARNING))
    assert (command.endpoint, command.action, command.parameters) == ("acme/a", Action.THROTTLE, {"max_replicas": 8})
    cost = command.cost
    assert (cost.spend_usd, cost.budget_usd, cost.rate_usd_per_hour, cost.saves_usd_per_hour) == (2412, 1200, 64, 24)


def test_at_the_second_step_expensive_ones_overflow_to_whoever_is_cheaper() -> None:
    """Although the throttle has brought the rate down already; where nobody takes it, that is told, once."""
    one, found = fold(), daily(0, ROWS, severity=WARNING)
    (throttle,) = asked(one, found)
    worse = later(found, 60, severity=ERROR)
    overflow, held = asked(one, worse)
    assert (overflow.endpoint, overflow.action, overflow.restores) == ("acme/a", Action.OVERFLOW, throttle.id)
    assert overflow.parameters == {"provider": "p", "price_usd_per_hour": 0.5, "max_replicas": 8}
    assert throttle.parameters == {"max_replicas": 8}, "the overflow keeps the cap: it must not grow back"
    assert overflow.cost.saves_usd_per_hour == 8 * 1.5
    assert (held.endpoint, held.action, held.held) == ("acme/b", Action.OVERFLOW, Held.NO_PROVIDER)
    assert told(one, later(worse, 120, evidence=daily(0, [("acme/b", 10, 2.0)]).evidence)) == []


def test_who_cannot_overflow_is_throttled_at_the_second_step_too() -> None:
    """A budget without any provider that is overspent by half at once is braked all the same."""
    several = told(fold(overflow=Overflow()), daily(0, ROWS, severity=ERROR))
    assert several == [
        ("acme/a", Action.OVERFLOW, Held.NO_PROVIDER),
        ("acme/a", Action.THROTTLE, None),
        ("acme/b", Action.OVERFLOW, Held.NO_PROVIDER),
    ]


def test_nobody_overflows_to_a_provider_that_saves_nothing() -> None:
    """As dear as the endpoint itself is not cheaper."""
    same = Overflow(providers=(Provider(name="p", price_usd_per_hour=2.0),))
    assert told(fold(overflow=same), daily(0, ROWS, severity=ERROR)) == [("acme/a", Action.THROTTLE, None)]


def test_at_the_third_step_expensive_ones_are_shut_down_whatever_the_pace() -> None:
    """20 USD per hour is far below the pace of 50; c costs less than a tenth of it, and stays."""
    calm = [("acme/a", 8, 2.0), ("acme/c", 2, 2.0)]
    assert told(fold(), daily(0, calm)) == [("acme/a", Action.SHUTDOWN, None)]


def test_the_third_step_replaces_what_the_first_two_did_and_all_is_restored_at_the_end() -> None:
    """Each command names the one whose place it takes; the restores come back to what was before the first."""
    one, found = fold(), daily(0, ROWS, severity=WARNING)
    steps = [found, later(found, 60, severity=ERROR), later(found, 120, severity=CRITICAL)]
    chain = [command for command in asked(one, *steps) if command.endpoint == "acme/a"]
    assert [command.action for command in chain] == [Action.THROTTLE, Action.OVERFLOW, Action.SHUTDOWN]
    assert [command.restores for command in chain] == [None, chain[0].id, chain[1].id]
    restores = asked(one, resolved(steps[-1], 180))
    assert {(c.endpoint, c.action) for c in restores} == {("acme/a", Action.RESTORE), ("acme/b", Action.RESTORE)}
    last = next(command for command in restores if command.endpoint == "acme/a")
    assert (last.restores, last.before) == (chain[2].id, {"ready_replicas": 20})


def test_critical_and_protected_ones_are_not_shut_down() -> None:
    """The first is not even asked, the second is held and told."""
    endpoints = {"acme/a": Endpoint(critical=True)}
    one = fold(endpoints=endpoints, safety=Safety(max_share_down=1, protected=("acme/b",)))
    assert told(one, daily(0, ROWS)) == [
        ("acme/b", Action.SHUTDOWN, Held.PROTECTED),
        ("acme/c", Action.THROTTLE, None),
    ]


def test_who_may_not_be_shut_down_is_asked_for_less() -> None:
    """The share that may be down is used up: the others overflow, or are throttled to the pace."""
    dear = [("acme/a", 50, 2.0), ("acme/b", 51, 2.0), ("acme/d", 52, 2.0)]
    assert told(fold(safety=Safety()), daily(0, dear)) == [
        ("acme/d", Action.SHUTDOWN, None),
        ("acme/b", Action.SHUTDOWN, Held.BLAST_RADIUS),
        ("acme/b", Action.OVERFLOW, Held.NO_PROVIDER),
        ("acme/b", Action.THROTTLE, None),
        ("acme/a", Action.SHUTDOWN, Held.BLAST_RADIUS),
        ("acme/a", Action.OVERFLOW, None),
    ]


def test_an_endpoints_own_shutdown_needs_no_high_price() -> None:
    """Its owner said so; but it goes only while the rate is too high."""
    endpoints = {"acme/c": Endpoint(actions={"daily_spend": "shutdown"}), "acme/a": Endpoint(critical=True)}
    one, cheap = fold(endpoints=endpoints), [("acme/a", 20, 2.0), ("acme/c", 2, 2.0)]
    assert told(one, daily(0, cheap, severity=WARNING)) == [("acme/c", Action.SHUTDOWN, None)]
    assert told(fold(endpoints=endpoints), daily(0, [("acme/c", 2, 2.0)], severity=WARNING)) == []


def test_what_is_down_stays_down_while_the_episode_is_open() -> None:
    """An endpoint that costs nothing any more is in no list; its brake is renewed all the same."""
    one, found = fold(safety=Safety(max_share_down=1, expires_after=Seconds(100))), daily(0, ROWS[:1])
    (shutdown,) = asked(one, found)
    (renewed,) = asked(one, later(found, 60, evidence=daily(0, []).evidence))
    assert (renewed.action, renewed.restores) == (Action.SHUTDOWN, shutdown.id)


def test_a_saving_is_never_more_than_what_the_endpoint_costs() -> None:
    """Who has overflowed and then shrunk does not excuse the others."""
    one, found = fold(), daily(0, ROWS[:1], severity=ERROR)
    asked(one, found)
    shrunk = [("acme/a", 1, 2.0), ("acme/d", 30, 1.0), ("acme/b", 10, 2.0)]
    (throttle,) = [c for c in asked(one, later(found, 60, evidence=daily(0, shrunk).evidence)) if c.held is None]
    assert (throttle.endpoint, throttle.parameters) == ("acme/d", {"max_replicas": 20})
