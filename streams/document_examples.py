"""One example of everything that travels: shown in the documents, and held against the schemas by a test."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.orders import Order, Verb, seal
from schemas.outputs import (
    Action,
    Alert,
    Bill,
    Command,
    Cost,
    Finding,
    Mode,
    Output,
    Result,
    Rollup,
    Severity,
    State,
    Status,
    derive_id,
)
from schemas.topics import BILLING, REQUESTS, SCALING

ENDPOINT: Final = "acme/llama-70b"
_OPENED: Final = "2026-11-22T09:38:31.250000Z"
_EPISODE: Final = derive_id("episode", "runaway_replicas", ENDPOINT, _OPENED)
_FINDING: Final = derive_id(_EPISODE, 0)
_COMMAND: Final = derive_id(_EPISODE, "throttle", ENDPOINT, 0)

INPUTS: Final[dict[str, dict[str, Any]]] = {
    REQUESTS: {
        "endpoint": ENDPOINT,
        "time": 1795341911.25,
        "status": 200,
        "duration_s": 0.41,
        "queue_depth": 3,
        "region": "us-east-1",
        "input_tokens": 120,
        "output_tokens": 300,
    },
    SCALING: {
        "endpoint": ENDPOINT,
        "time": "2026-11-22T10:05:11.25+00:00",
        "ready_replicas": 2,
        "target_replicas": 4,
        "min_replicas": 0,
        "max_replicas": 10,
        "state": "running",
        "utilization": 0.07,
        "region": "us-east-1",
        "instance": "aws-us-east-1-nvidia-l4-x1",
    },
    BILLING: {
        "endpoint": ENDPOINT,
        "period_start": "2026-11-22T09:00:00Z",
        "period_end": "2026-11-22T10:00:00Z",
        "cost_usd": 1.27,
        "region": "us-east-1",
        "provider": "aws",
        "estimated": False,
        "line_id": "2026-11-22T09/acme/llama-70b",
    },
}

_OUTPUTS: Final[tuple[Output | Order, ...]] = (
    Finding(
        id=_FINDING,
        episode=_EPISODE,
        rule="runaway_replicas",
        subject=ENDPOINT,
        endpoint=ENDPOINT,
        status=Status.OPEN,
        severity=Severity.CRITICAL,
        opened_at=_OPENED,
        at=_OPENED,
        score=5.0,
        value=40.0,
        threshold=8.0,
        baseline=3.0,
        unit="replicas",
        evidence={"ready_replicas": 3, "target_replicas": 40, "expected_max": 8},
        config_version="737c1b968ca1",
    ),
    Command(
        id=_COMMAND,
        action=Action.THROTTLE,
        endpoint=ENDPOINT,
        parameters={"max_replicas": 8},
        mode=Mode.AUTO,
        held=None,
        finding_id=_FINDING,
        episode=_EPISODE,
        rule="runaway_replicas",
        issued_at=_OPENED,
        expires_at="2026-11-22T09:53:31.250000Z",
        reason="40 replicas wanted, at most 8 expected",
        cost=Cost(rate_usd_per_hour=800.0, saves_usd_per_hour=640.0),
        before={"max_replicas": 40},
    ),
    Result(
        id=derive_id(_COMMAND, "verified"),
        command_id=_COMMAND,
        state=State.VERIFIED,
        refusal=None,
        endpoint=ENDPOINT,
        action=Action.THROTTLE,
        executor="hf",
        at="2026-11-22T09:38:37.250000Z",
        reason="maxReplica is 8, 8 replicas are ready",
        after={"scaling": {"maxReplica": 8}, "readyReplica": 8},
    ),
    seal(
        Order(
            id="0" * 32,
            verb=Verb.APPROVE,
            who="alice",
            why="the launch was cancelled",
            at="2026-11-22T09:40:02.000000Z",
            command_id=_COMMAND,
        )
    ),
    Alert(
        id=derive_id(_COMMAND, "alert"),
        dedup_key=_EPISODE,
        status="firing",
        severity=Severity.CRITICAL,
        summary="throttle acme/llama-70b to 8 replicas: 40 replicas wanted, at most 8 expected",
        rule="runaway_replicas",
        subject=ENDPOINT,
        endpoint=ENDPOINT,
        at=_OPENED,
        finding_id=_FINDING,
        command_id=_COMMAND,
        details={"action": "throttle", "mode": "auto", "max_replicas": 8},
    ),
    Rollup(
        budget="all",
        source=BILLING,
        partition=2,
        seq=4711,
        time_us=1795338000000000,
        endpoint=ENDPOINT,
        bill=Bill(
            start_us=1795338000000000,
            end_us=1795341600000000,
            cost_nano=1270000000,
            estimated=False,
            line_id="2026-11-22T09/acme/llama-70b",
        ),
    ),
)

OUTPUTS: Final[dict[str, dict[str, Any]]] = {
    type(output).__name__: msgspec.json.decode(msgspec.json.encode(output)) for output in _OUTPUTS
}
DEAD_LETTER: Final[dict[str, dict[str, str] | str]] = {
    "headers": {
        "error.type": "invalid",
        "error.message": "Object missing required field `time`",
        "source.topic": REQUESTS,
        "source.partition": "3",
        "source.offset": "5128",
    },
    "payload": '{"endpoint": "acme/llama-70b"}',
}
