"""The labels of an alert: what routes, groups, inhibitions and silences go by."""

from __future__ import annotations

from typing import Final

from schemas.config import Config
from schemas.outputs import Alert

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
    """Those that the alert has. `action`: what came into force earlier in its episode, for its endpoint."""
    endpoint = alert.endpoint
    found = {
        "alertname": alert.rule,  # what Alertmanager's own routes and templates look at
        "rule": alert.rule,
        "severity": alert.severity.value,
        "subject": alert.subject,
        "episode": alert.dedup_key,
        "endpoint": endpoint,
        "namespace": endpoint.partition("/")[0] if endpoint and "/" in endpoint else None,
        "team": config.endpoint(endpoint).team if endpoint else None,
        "budget": alert.subject if alert.subject in config.budgets else None,
        "action": came_into_force(alert) or action,
        "mode": _text(alert.details.get("mode")),
    }
    return {name: value for name, value in found.items() if value}


def came_into_force(alert: Alert) -> str | None:
    """The action of the command that the alert tells of, unless it was held."""
    if alert.command_id is None or alert.details.get("held") is not None:
        return None
    return _text(alert.details.get("action"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
