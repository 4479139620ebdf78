"""Notifications for the tests: one builder, with what a test may want to differ."""

from __future__ import annotations

from typing import Any, Final, TypedDict, Unpack

from actions.receivers.interface import Fired, Notification
from schemas.outputs import Action, Alert, Result, Severity, State, derive_id

STARTS_AT: Final = "2026-11-27T10:00:00.000000Z"
AT: Final = "2026-11-27T10:01:00.000000Z"
ENDS_AT: Final = "2026-11-27T10:05:00.000000Z"


class Fields(TypedDict, total=False):
    """What a test may want to differ."""

    endpoint: str
    ends_at: str | None
    severity: Severity
    summary: str
    labels: dict[str, str]
    details: dict[str, Any]


def fired(rule: str = "request_surge", **fields: Unpack[Fields]) -> Fired:
    """45 requests a second on acme/bert, where 25 are allowed."""
    endpoint, ends_at = fields.get("endpoint", "acme/bert"), fields.get("ends_at")
    severity = fields.get("severity", Severity.CRITICAL)
    summary = fields.get("summary", f"{rule} on {endpoint}: 45 req/s, limit 25 req/s.")
    episode = derive_id("episode", rule, endpoint)
    status = "firing" if ends_at is None else "resolved"
    alert = Alert(
        id=derive_id("alert", episode, status, severity.value, summary),
        dedup_key=episode,
        status="firing" if ends_at is None else "resolved",
        severity=severity,
        summary=summary,
        rule=rule,
        subject=endpoint,
        endpoint=endpoint,
        at=AT if ends_at is None else ends_at,
        finding_id=derive_id("finding", episode),
        command_id=None,
        details=fields.get("details", {"value": 45.0, "threshold": 25.0}),
    )
    labels = {
        "alertname": rule, "rule": rule, "severity": severity.value, "subject": endpoint, "endpoint": endpoint,
        "namespace": endpoint.partition("/")[0], "team": "search", "episode": episode, "status": status,
    }  # fmt: skip
    return Fired(alert, labels | fields.get("labels", {}), STARTS_AT, ends_at, severity)


def notification(*alerts: Fired, url: str | None = "https://tidegate.example/d/1") -> Notification:
    """A group of its own, of the first alert's episode."""
    episode = alerts[0].alert.dedup_key
    return Notification("pager", f'{{episode="{episode}"}}', {"episode": episode}, alerts, url)


def executed(state: State, action: Action = Action.THROTTLE) -> Result:
    """The executor `hf` about a throttle of acme/bert."""
    return Result(
        id=derive_id("result", state.value), command_id=derive_id("command"), state=state, refusal=None,
        endpoint="acme/bert", action=action, executor="hf", at=AT, before={"max_replicas": 10},
        after={"max_replicas": 4},
    )  # fmt: skip
