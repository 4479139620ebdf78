"""PagerDuty's Events API v2, as documented: incidents by their dedup_key, sizes and the rate limit enforced.

What it was told can be seen in `incidents` and `changes`. An incident's `log` has each event that reached it.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from aiohttp import web
from msgspec import Struct

from streams.simulator.faulty_server import FaultyServer

KEY_LENGTH: Final = 32
DEDUP_KEY: Final = 255
SUMMARY: Final = 1024
MOST_BYTES: Final = 512 * 1024
CALLS: Final = 120  # of one integration key in ...
WINDOW_S: Final = 60.0
ACTIONS: Final = ("trigger", "acknowledge", "resolve")
SEVERITIES: Final = ("critical", "error", "warning", "info")
STATUS: Final[dict[str, Literal["triggered", "acknowledged", "resolved"]]] = {
    "trigger": "triggered",
    "acknowledge": "acknowledged",
    "resolve": "resolved",
}

Event = dict[str, Any]


class Incident(Struct):
    """What the on-call person sees. `log` has the events that changed it or came again, oldest first."""

    dedup_key: str
    status: Literal["triggered", "acknowledged", "resolved"]
    log: list[Event]

    def count(self, action: str) -> int:
        return sum(1 for event in self.log if event["event_action"] == action)


class PagerDuty(FaultyServer):
    """One account with any number of integration keys. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(web.post("/v2/enqueue", self._enqueue), web.post("/v2/change/enqueue", self._change))
        self.incidents: list[Incident] = []
        self.changes: list[Event] = []
        self._clock = clock
        self._calls: dict[str, deque[float]] = {}

    def incidents_of(self, dedup_key: str) -> list[Incident]:
        """Of one episode; more than one if it was triggered again after its resolve."""
        return [incident for incident in self.incidents if incident.dedup_key == dedup_key]

    async def _enqueue(self, request: web.Request) -> web.Response:
        event, refused = await self._read(request, _wrong_event)
        if refused is not None:
            return refused
        dedup_key = event.get("dedup_key") or f"generated-{len(self.incidents)}"
        self._process({**event, "dedup_key": dedup_key})
        return _accepted("Event processed", dedup_key=dedup_key)

    async def _change(self, request: web.Request) -> web.Response:
        event, refused = await self._read(request, _wrong_change)
        if refused is not None:
            return refused
        self.changes.append(event)
        return _accepted("Change event processed")

    def _process(self, event: Event) -> None:
        """A trigger of an open incident adds to its log; the other two are dropped where none is open."""
        action, known = event["event_action"], self.incidents_of(event["dedup_key"])
        is_open = bool(known) and known[-1].status != "resolved"
        if not is_open and action == "trigger":
            self.incidents.append(Incident(event["dedup_key"], "triggered", [event]))
        if is_open:
            known[-1].log.append(event)
            known[-1].status = known[-1].status if action == "trigger" else STATUS[action]

    async def _read(
        self, request: web.Request, wrong: Callable[[Event], Iterator[str]]
    ) -> tuple[Event, web.Response | None]:
        body = await request.read()
        if len(body) > MOST_BYTES:
            return {}, _refused(["The event is larger than 512 KB"])
        try:
            event = json.loads(body)
        except ValueError:
            return {}, _refused(["Invalid JSON"])
        if not isinstance(event, dict):
            return {}, _refused(["The event is not an object"])
        if errors := [*_wrong_key(event), *wrong(event)]:
            return {}, _refused(errors)
        return event, None if self._may_call(event["routing_key"]) else _too_many()

    def _may_call(self, routing_key: str) -> bool:
        now_s, calls = self._clock(), self._calls.setdefault(routing_key, deque())
        while calls and calls[0] <= now_s - WINDOW_S:
            calls.popleft()
        calls.append(now_s)
        return len(calls) <= CALLS


def _wrong_key(event: Event) -> Iterator[str]:
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != KEY_LENGTH:
        yield f"Length of 'routing_key' is incorrect (should be {KEY_LENGTH} characters)"


def _wrong_event(event: Event) -> Iterator[str]:
    action, dedup_key = event.get("event_action"), event.get("dedup_key")
    if action not in ACTIONS:
        yield "'event_action' is invalid (should be one of trigger, acknowledge, resolve)"
    if dedup_key is None and action != "trigger":
        yield "'dedup_key' is missing or blank"
    if len(dedup_key or "") > DEDUP_KEY:
        yield "'dedup_key' is too long"
    if action == "trigger":
        yield from _wrong_payload(event)
        if event.get("payload", {}).get("severity") not in SEVERITIES:
            yield "'payload.severity' is invalid (should be one of critical, error, warning, info)"


def _wrong_change(event: Event) -> Iterator[str]:
    payload = event.get("payload")
    if not isinstance(payload, dict) or not payload.get("summary"):
        yield "'payload.summary' is missing or blank"


def _wrong_payload(event: Event) -> Iterator[str]:
    payload = event.get("payload")
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    yield from (f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name))
    if len(payload.get("summary", "")) > SUMMARY:
        yield "'payload.summary' is too long"


def _accepted(message: str, **more: str) -> web.Response:
    return web.json_response({"status": "success", "message": message, **more}, status=202)


def _refused(errors: list[str]) -> web.Response:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return web.json_response(body, status=400)


def _too_many() -> web.Response:
    return web.json_response({"status": "throttle exceeded", "message": "Requests for this service"}, status=429)
