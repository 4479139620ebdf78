"""What is done about another system's alert: what its finding says, unless the endpoint has a word of its own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from actions.fold import ActionFold
from schemas.config import Config, Endpoint
from schemas.outputs import Action, Finding, Status
from tests.actions.findings import alerts, at, commands, finding, later, resolved, settings


def external(at_s: float, **asked: Any) -> Finding:
    """HighLatency about acme/a, and what the configuration maps it to."""
    evidence = {"alertname": "HighLatency", "annotations": {"summary": "p99 is 3 s."}, "clock": "wall", **asked}
    return finding("external", "HighLatency acme/a 12345678", "acme/a", at_s, evidence=evidence)


def outputs(found: Finding, config: Config) -> list[Any]:
    return list(ActionFold(config).apply(found, at(0)))


@pytest.mark.parametrize(
    ("asked", "action", "parameters"),
    [
        ({"action": "throttle", "max_replicas": 3}, Action.THROTTLE, {"max_replicas": 3}),
        (
            {"action": "throttle", "max_replicas": 3, "max_requests_per_second": 0.5},
            Action.THROTTLE,
            {"max_replicas": 3, "max_requests_per_second": 0.5},
        ),
        ({"action": "shutdown"}, Action.SHUTDOWN, {}),
    ],
)
def test_the_finding_says_what_is_done(asked: dict[str, Any], action: Action, parameters: dict[str, Any]) -> None:
    """With the limits that stand beside it."""
    config = settings(safety=structs.replace(settings().safety, max_share_down=1.0, max_capacity_down=1.0))
    (command,) = commands(outputs(external(0, **asked), config))
    assert (command.action, command.parameters) == (action, parameters)
    assert command.reason.startswith("HighLatency on acme/a: p99 is 3 s")


@pytest.mark.parametrize(
    "asked", [{}, {"action": "none"}, {"action": "throttle"}, {"action": "delete"}, {"action": []}]
)
def test_what_says_nothing_that_can_be_done_is_an_alert_alone(asked: dict[str, Any]) -> None:
    """Not mapped, mapped to nothing, without a limit, or with a word that is none."""
    told = outputs(external(0, **asked), settings())
    assert commands(told) == []
    assert [alert.rule for alert in alerts(told)] == ["external"]


def test_an_endpoint_s_own_response_wins() -> None:
    """As it does for any rule."""
    own = Endpoint(actions={"external": "none"})
    config = settings(endpoints={"acme/a": own})
    assert commands(outputs(external(0, action="shutdown"), config)) == []


def test_the_global_response_is_for_what_is_not_mapped() -> None:
    """A mapping to `none` is a word, too."""
    config = settings(actions={"external": "throttle"})
    assert len(commands(outputs(external(0, max_replicas=2), config))) == 1
    assert commands(outputs(external(0, max_replicas=2, action="none"), config)) == []


def test_a_brake_is_kept_while_the_alert_fires_and_comes_off_with_it() -> None:
    """Its updates renew it; a reload of the configuration does not take it away."""
    fold = ActionFold(settings())
    opened = external(0, action="throttle", max_replicas=3)
    (first,) = commands(list(fold.apply(opened, at(0))))
    fold.reconfigure(settings())
    (renewed,) = commands(list(fold.apply(later(opened, 600), at(600))))
    assert (renewed.restores, renewed.parameters) == (first.id, first.parameters)
    (restore,) = commands(list(fold.apply(resolved(opened, 700), at(700))))
    assert (restore.action, restore.restores) == (Action.RESTORE, renewed.id)
    assert later(opened, 600).status is Status.UPDATE
