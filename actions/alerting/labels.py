"""The labels of an alert: what routes, groups, inhibitions and silences go by."""

from __future__ import annotations

from typing import Final

from schemas.config import Config
from schemas.outputs import Alert
from schemas.topics import EXTERNAL

LABELS: Final = frozenset(
    {
        "action",
        "alertname",
        "budget",
        "endpoint",
        "episode",
        "mode",
        "namespace",
        "rule",
        "severity",
        "subject",
        "team",
    }
)


def labels_of(alert: Alert, config: Config, action: str | None = None) -> dict[str, str]:
    """Those that the alert has. `action`: what is in force for its endpoint by what its episode has told so far."""
    endpoint = alert.endpoint
    found = {
        "alertname": _alertname(alert),  # what Alertmanager's own routes and templates look at
        "rule": alert.rule,
        "severity": alert.severity.value,
        "subject": alert.subject,
        "episode": alert.dedup_key,
        "endpoint": endpoint,
        "namespace": endpoint.partition("/")[0] if endpoint and "/" in endpoint else None,
        "team": config.endpoint(endpoint).team if endpoint else None,
        "budget": alert.subject if alert.subject in config.budgets else None,
        "action": action,
        "mode": _text(alert.details.get("mode")),
    }
    return {name: value for name, value in found.items() if value}


def action_after(alert: Alert, before: str | None = None) -> str | None:
    """What is in force for the alert's endpoint once it was told, where that was in force `before`."""
    details = alert.details
    if details.get("released"):
        return None
    came_into_force = alert.command_id is not None and details.get("held") is None
    return (_text(details.get("action")) if came_into_force else None) or before


def _alertname(alert: Alert) -> str:
    """The rule; of what came from outside its own name, with which its subject begins."""
    return alert.subject.partition(" ")[0] if alert.rule == EXTERNAL else alert.rule


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
