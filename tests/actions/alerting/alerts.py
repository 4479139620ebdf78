"""Alerts and configurations to be told of, as short as they can be written."""

from __future__ import annotations

from typing import Any, Literal

from actions.alerts import seal
from schemas.config import Config, Endpoint
from schemas.outputs import UNSEALED, Alert, Severity, derive_id
from schemas.receivers import Alerting, Route, Slack
from schemas.units import US, rfc3339

START_US = 1_795_341_600 * US


def episode_id(name: str) -> str:
    return derive_id("episode", name)


def alert(
    episode: str, text: str = "it burns", *, status: Literal["firing", "resolved"] = "firing", **own: Any
) -> Alert:
    """A line of the episode of that name."""
    fields: dict[str, Any] = {
        "severity": Severity.WARNING,
        "rule": "latency",
        "subject": own.get("endpoint") or "acme/bert",
        "endpoint": "acme/bert",
        "at": rfc3339(START_US),
        "command_id": None,
        "details": {},
        **own,
    }
    return seal(
        Alert(
            id=UNSEALED,
            dedup_key=episode_id(episode),
            status=status,
            summary=text,
            finding_id=UNSEALED,
            **fields,
        )
    )


def command(episode: str, action: str, *, held: str | None = None, **own: Any) -> Alert:
    """The line about a command of the episode."""
    details = {"action": action, "mode": "auto"} | ({} if held is None else {"held": held})
    return alert(episode, f"{action} {held}", command_id=UNSEALED, details=details, **own)


def over(episode: str) -> Alert:
    return alert(episode, "it is over", status="resolved")


def config(*receivers: str, route: Route | None = None, **own: Any) -> Config:
    """Receivers of these names, and all alerts for the first, or as the route says."""
    known = {name: Slack() for name in receivers}
    alerting = Alerting(route=route or Route(receiver=receivers[0])) if receivers else Alerting()
    own = {"alerting": alerting, "receivers": known, **own}
    return Config(endpoints={"acme/bert": Endpoint(team="search")}, **own)
