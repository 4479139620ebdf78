"""Which action answers a finding: a table of defaults, then the configuration, then the endpoint's own word.

A response in `actions:` may be given per severity. One that is not keeps the severities at which the rule
acts by itself: `hourly_spend: shutdown` still only warns at a warning. The same holds for an endpoint's own
response, which wins over the global one: it says what is done, the rule says from which severity on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, get_args

from actions.brakes import RUNGS
from schemas.config import Config, Response
from schemas.outputs import Action, Finding, Severity
from schemas.topics import EXTERNAL

Ladder = Mapping[Severity, Response]

ONLY_ALERT: Final[Mapping[str, str]] = {  # whatever the configuration asks for -> why
    "regional_cost": "moving an endpoint is not for tidegate to do",
    "telemetry_gap": "what is not known is no ground to act",
}

SHIPPED: Final[Mapping[str, Ladder]] = {
    "request_surge": dict.fromkeys(Severity, "throttle"),
    "runaway_replicas": dict.fromkeys(Severity, "throttle"),
    "hourly_spend": {Severity.ERROR: "throttle", Severity.CRITICAL: "throttle"},
    "daily_spend": {Severity.WARNING: "throttle", Severity.ERROR: "overflow", Severity.CRITICAL: "shutdown"},
}


def answer(config: Config, finding: Finding, endpoint: str) -> Action | None:
    """As `respond`. What answers another system's alert stands in its evidence: what is mapped is its name."""
    asked: Any = finding.evidence.get("action")
    if finding.rule == EXTERNAL and not is_own(config, EXTERNAL, endpoint) and asked in get_args(Response):
        return _action(asked)
    return respond(config, finding.rule, finding.severity, endpoint)


def respond(config: Config, rule: str, severity: Severity, endpoint: str) -> Action | None:
    """What to do to the endpoint; None: alert only.

    A rule without a line in the table does nothing by itself.
    """
    if rule in ONLY_ALERT:
        return None
    own = config.endpoint(endpoint).actions.get(rule)
    chosen = ladder(config, rule)
    if own is None:
        return _action(chosen.get(severity, "none"))
    return _action(own) if severity in _acting(rule, chosen) else None


def descend(config: Config, rule: str, severity: Severity, endpoint: str) -> list[Action]:
    """What to do to the endpoint, and where that cannot be, what answers milder severities: ever lower rungs.

    Where nothing answers the severity itself, nothing milder does.
    """
    rungs: list[Action] = []
    if respond(config, rule, severity, endpoint) is None:
        return rungs
    for milder in reversed([each for each in Severity if each.rank <= severity.rank]):
        action = respond(config, rule, milder, endpoint)
        if action is not None and (not rungs or RUNGS[action] < RUNGS[rungs[-1]]):
            rungs.append(action)
    return rungs


def is_own(config: Config, rule: str, endpoint: str) -> bool:
    """Whether the response is the endpoint's own."""
    return rule in config.endpoint(endpoint).actions


def ladder(config: Config, rule: str) -> Ladder:
    """The response at each severity; for an endpoint that has no word of its own."""
    shipped, chosen = SHIPPED.get(rule, {}), config.actions.get(rule)
    if chosen is None:
        return shipped
    if isinstance(chosen, str):
        return dict.fromkeys(shipped or Severity, chosen)
    return {**shipped, **chosen}


def _acting(rule: str, ladder: Ladder) -> Collection[Severity]:
    acting = [severity for severity, response in ladder.items() if response != "none"]
    return acting or SHIPPED.get(rule) or list(Severity)


def _action(response: Response) -> Action | None:
    return None if response == "none" else Action(response)
