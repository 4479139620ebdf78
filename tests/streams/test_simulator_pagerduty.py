"""PagerDuty's double is as strict as its documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from streams.simulator.faulty_server import Fault
from streams.simulator.pagerduty import CALLS, PagerDuty
from tests.actions.receivers.test_limiter import Clock

KEY = "k" * 32
PAYLOAD = {"summary": "s", "source": "acme/bert", "severity": "critical"}
TRIGGER = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "e1", "payload": PAYLOAD}


def answers(events: list[Any], double: PagerDuty, between: Callable[[], None] = lambda: None) -> list[int]:
    """The status of each."""

    async def scenario() -> list[int]:
        async with double, httpx.AsyncClient(verify=False) as client:  # noqa: S501 -- plain HTTP, to this machine
            statuses = []
            for event in events:
                statuses.append((await client.post(f"{double.url}/v2/enqueue", json=event)).status_code)
                between()
            return statuses

    return asyncio.run(scenario())


def step(action: str, dedup_key: str = "e1") -> dict[str, Any]:
    return {"routing_key": KEY, "event_action": action, "dedup_key": dedup_key}


def test_incidents_follow_their_events() -> None:
    """A trigger of an open one adds to its log, one after a resolve opens another; without one the rest is dropped."""
    double = PagerDuty()
    events = [step("resolve"), TRIGGER, step("acknowledge"), TRIGGER, step("resolve"), step("acknowledge"), TRIGGER]
    assert answers(events, double) == [202] * 7
    assert [(incident.status, len(incident.log)) for incident in double.incidents] == [
        ("resolved", 4),
        ("triggered", 1),
    ]
    assert (double.incidents[0].count("trigger"), double.incidents[0].count("resolve")) == (2, 1)


@pytest.mark.parametrize(
    "event",
    [
        {**TRIGGER, "routing_key": "short"},
        {**TRIGGER, "event_action": "page"},
        {**TRIGGER, "dedup_key": "d" * 256},
        {**TRIGGER, "payload": {**PAYLOAD, "summary": "s" * 1025}},
        {**TRIGGER, "payload": {**PAYLOAD, "severity": "bad"}},
        {**TRIGGER, "payload": {"summary": "s", "severity": "info"}},
        {**TRIGGER, "payload": {**PAYLOAD, "custom_details": "d" * 512 * 1024}},
        {"routing_key": KEY, "event_action": "resolve"},
        {"routing_key": KEY, "event_action": "trigger"},
        [TRIGGER],
    ],
)
def test_what_is_not_as_documented_is_refused(event: Any) -> None:
    """With 400, and nobody is paged."""
    double = PagerDuty()
    assert answers([event], double) == [400]
    assert double.incidents == []


def test_one_call_too_many_in_a_minute_is_refused() -> None:
    """With 429; as many as that, evenly spread, go on for ever."""
    clock = Clock()
    double = PagerDuty(clock)
    double.faults.append(Fault(500))  # is not even counted
    assert answers([TRIGGER] * (CALLS + 2), double) == [500, *[202] * CALLS, 429]

    def half_a_second() -> None:
        clock.now_s += 0.5

    assert answers([TRIGGER] * (CALLS + 9), PagerDuty(clock), half_a_second) == [202] * (CALLS + 9)
