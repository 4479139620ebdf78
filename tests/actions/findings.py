"""Findings for the tests: one builder, and one short name per rule."""

from __future__ import annotations

from typing import Any, Final, TypedDict, Unpack

from msgspec import structs

from schemas.config import Config, Endpoint
from schemas.outputs import Alert, Command, Finding, Mode, Result, Severity, Status, derive_id
from schemas.units import US, rfc3339

START_US: Final = 1_795_341_600 * US
Outputs = list[Command | Result | Alert]


class Fields(TypedDict, total=False):
    """What a test may want to differ."""

    opened_s: float
    status: Status
    severity: Severity
    value: float
    threshold: float
    evidence: dict[str, Any]


def at(seconds: float) -> int:
    """Microseconds since the epoch, some seconds after the tests' beginning of time."""
    return START_US + round(seconds * US)


def finding(rule: str, subject: str, endpoint: str | None, at_s: float, **fields: Unpack[Fields]) -> Finding:
    opened_s = fields.get("opened_s", 0.0)
    status = fields.get("status", Status.OPEN)
    severity = fields.get("severity", Severity.CRITICAL)
    episode = derive_id("episode", rule, subject, at(opened_s))
    return Finding(
        id=derive_id("finding", episode, status.value, severity.value, at(at_s)),
        episode=episode,
        rule=rule,
        subject=subject,
        endpoint=endpoint,
        status=status,
        severity=severity,
        opened_at=rfc3339(at(opened_s)),
        at=rfc3339(at(at_s)),
        score=2.0,
        value=fields.get("value", 45.0),
        threshold=fields.get("threshold", 25.0),
        baseline=5.0,
        unit="req/s",
        evidence=fields.get("evidence", {}),
        config_version="v1",
    )


def surge(endpoint: str, at_s: float, **fields: Unpack[Fields]) -> Finding:
    """45 requests a second where 12.5 is the upper end of normal."""
    fields.setdefault("evidence", {"high_rps": 12.5, "before": {"ready_replicas": 3, "max_replicas": 10}})
    return finding("request_surge", endpoint, endpoint, at_s, **fields)


def runaway(endpoint: str, at_s: float, **fields: Unpack[Fields]) -> Finding:
    """40 replicas where 8 are expected."""
    fields.setdefault("evidence", {"before": {"ready_replicas": 40, "max_replicas": 50}})
    fields.setdefault("value", 40.0)
    fields.setdefault("threshold", 8.0)
    return finding("runaway_replicas", endpoint, endpoint, at_s, **fields)


def spend(at_s: float, rows: list[tuple[str, int, float]], **fields: Unpack[Fields]) -> Finding:
    """60 dollars in the last hour, of 50 allowed; `rows` are (endpoint, replicas, price)."""
    fields.setdefault("evidence", spend_evidence(rows))
    fields.setdefault("value", 60.0)
    fields.setdefault("threshold", 50.0)
    return finding("hourly_spend", "all", None, at_s, **fields)


def spend_evidence(rows: list[tuple[str, int, float]]) -> dict[str, Any]:
    listed = [
        {
            "endpoint": name,
            "usd_per_hour": replicas * price,
            "replicas": replicas,
            "price_usd_per_hour": price,
        }
        for name, replicas, price in rows
    ]
    return {"endpoints": listed, "rate_usd_per_hour": sum(replicas * price for _, replicas, price in rows)}


def daily(at_s: float, rows: list[tuple[str, int, float]], **fields: Unpack[Fields]) -> Finding:
    """2 412 dollars since midnight, of 1 200 a day: 50 an hour, of which an endpoint that costs 5 is expensive."""
    evidence = spend_evidence(rows) | {"daily_usd": 1200.0, "allowance_usd_per_hour": 50.0}
    for row in evidence["endpoints"]:
        row["expensive"] = row["usd_per_hour"] >= 5.0
    fields.setdefault("evidence", evidence)
    fields.setdefault("value", 2412.0)
    fields.setdefault("threshold", 1440.0)
    return finding("daily_spend", "all", None, at_s, **fields)


def later(found: Finding, at_s: float, status: Status = Status.UPDATE, **changes: Any) -> Finding:
    """A later finding of the same episode."""
    identity = derive_id("finding", found.episode, status.value, at(at_s), str(sorted(changes.items())))
    return structs.replace(found, id=identity, at=rfc3339(at(at_s)), status=status, **changes)


def resolved(found: Finding, at_s: float) -> Finding:
    return later(found, at_s, Status.RESOLVED)


def settings(**changes: Any) -> Config:
    """Mode auto and four endpoints with a price; `changes` replace whole sections."""
    endpoints = {f"acme/{name}": Endpoint(price_usd_per_hour=2.0) for name in ("a", "b", "c", "d")}
    return Config(**{"mode": Mode.AUTO, "endpoints": endpoints, "version": "v1"} | changes)


def commands(outputs: Outputs) -> list[Command]:
    return [output for output in outputs if isinstance(output, Command)]


def alerts(outputs: Outputs) -> list[Alert]:
    return [output for output in outputs if isinstance(output, Alert)]
