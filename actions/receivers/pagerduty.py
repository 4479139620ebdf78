"""PagerDuty Events API v2: an incident for each episode, a change event for each command that was carried out.

An episode that fires is a `trigger`, one that is over a `resolve`; its id is the dedup_key of both, so that an event
that comes twice adds a line to the log of the one incident. With `acknowledge`, one whose newest line says that a
brake is on is acknowledged after its trigger: a person is told once, and nobody else is called.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from actions.failure import Failure
from actions.http import Body, Client, Site
from actions.receivers.interface import Fired, Notification
from actions.receivers.limiter import Clock, Limiter
from actions.receivers.telling import change, change_details, cut, required
from actions.receivers.templates import DEFAULT, Templates
from schemas import receivers
from schemas.outputs import Id, Result

ENQUEUE: Final = "/v2/enqueue"
CHANGE: Final = "/v2/change/enqueue"
CALLS: Final = 110  # in a minute, of about 120 that an integration key has: they are counted when they arrive
MINUTE_S: Final = 60.0
SUMMARY: Final = 1024  # characters
MOST_BYTES: Final = 500_000  # of an event; "512 KB" are allowed
ROUTING_KEY: Final = re.compile("routing.key", re.IGNORECASE)
UNFINISHED: Final = 1000  # groups of which is known what of them was told

Event = dict[str, Any]
Mark = tuple[Id, str]  # the id of an alert, and the event's action
Told = dict[Mark, Failure | None]


class PagerDuty:
    """One integration key."""

    def __init__(
        self, name: str, section: receivers.PagerDuty, templates: Templates = DEFAULT, clock: Clock = time.monotonic
    ) -> None:
        self._name, self._section, self._templates = name, section, templates
        self._key = required(name, "routing_key", section.routing_key)
        self._client = Client(Site(name, section.url, section.timeout, secrets=(self._key,)))
        self._limiter = Limiter(CALLS, MINUTE_S, clock)
        self._unfinished: dict[str, Told] = {}

    async def notify(self, notification: Notification) -> Failure | None:
        """One call for each event. What of a group was told is not told again when it is tried again.

        One event that is refused for good keeps no other from being told; it is the failure of them all in the end.
        """
        told = self._begun(notification.group_key)
        for fired in filter(lambda fired: fired.is_news, notification.alerts):  # an incident needs no reminder
            for event in self._events(fired, notification.external_url):
                mark = (fired.alert.id, event["event_action"])
                if mark not in told:
                    failure = await self._send(ENQUEUE, event)
                    if failure is not None and failure.retryable:
                        return failure._replace(nothing_done=failure.nothing_done and not told)
                    told[mark] = failure
        del self._unfinished[notification.group_key]
        return _of_all(told)

    async def tell_change(self, result: Result) -> Failure | None:
        """Told twice it is shown twice: a change has no key."""
        summary = change(result) if self._section.change_events else None
        if summary is None:
            return None
        payload = {
            "summary": cut(summary, SUMMARY),
            "timestamp": result.at,
            "source": result.endpoint,
            "custom_details": change_details(result),
        }
        return await self._send(CHANGE, {"payload": payload})

    async def close(self) -> None:
        await self._client.close()

    def _begun(self, group_key: str) -> Told:
        if len(self._unfinished) >= UNFINISHED and group_key not in self._unfinished:
            del self._unfinished[next(iter(self._unfinished))]
        return self._unfinished.setdefault(group_key, {})

    def _events(self, fired: Fired, external_url: str | None) -> Iterator[Event]:
        key = {"dedup_key": fired.alert.dedup_key}
        if fired.ends_at is not None:
            yield {"event_action": "resolve", **key}
            return
        yield {"event_action": "trigger", **key, **_client(external_url), "payload": self._payload(fired)}
        if self._section.acknowledge and fired.labels.get("action"):
            yield {"event_action": "acknowledge", **key}

    def _payload(self, fired: Fired) -> Event:
        alert = fired.alert
        summary = self._templates.text.render(fired).strip() or alert.summary or alert.rule
        payload = {
            "summary": cut(summary, SUMMARY),
            "source": alert.subject,
            "severity": fired.severity.value,
            "timestamp": alert.at,
            "component": alert.endpoint,
            "group": fired.labels.get("team") or fired.labels.get("namespace"),
            "class": alert.rule,
            "custom_details": {**alert.details, "labels": dict(fired.labels), "starts_at": fired.starts_at},
        }
        return {name: value for name, value in payload.items() if value}

    async def _send(self, path: str, event: Event) -> Failure | None:
        wait_s = self._limiter.take()
        if wait_s is not None:
            reason = f"{self._name}: the {CALLS} calls of this minute are used up"
            return Failure(reason, retryable=True, retry_after_s=wait_s, nothing_done=True)
        answer = await self._client.send("POST", path, Body(json={"routing_key": self._key, **fitted(event)}))
        return _understood(answer) if isinstance(answer, Failure) else None


def _understood(failure: Failure) -> Failure:
    """A key that is wrong is answered with 400, as an event that is wrong is; but a key can be mended."""
    is_the_key = failure.is_unfit and ROUTING_KEY.search(failure.reason) is not None
    return failure._replace(status=None) if is_the_key else failure


def _of_all(told: Told) -> Failure | None:
    """One failure for a whole group, of which some may have been told: one that can be mended, if there is one."""
    failures = [failure for failure in told.values() if failure is not None]
    if not failures:
        return None
    chosen = min(failures, key=lambda failure: failure.is_unfit)
    is_nothing_done = len(failures) == len(told) and all(failure.nothing_done for failure in failures)
    return chosen._replace(nothing_done=is_nothing_done)


def _client(external_url: str | None) -> Event:
    if external_url is None:
        return {"client": "tidegate"}
    links = [{"href": external_url, "text": "tidegate"}]
    return {"client": "tidegate", "client_url": external_url, "links": links}


def fitted(event: Event) -> Event:
    """The event within PagerDuty's size: of its details the largest are left out, each with a word that it was."""
    excess = _size(event) - MOST_BYTES
    if excess <= 0:
        return event
    payload: Mapping[str, Any] = event["payload"]
    details = dict(payload["custom_details"])
    sizes = {name: _size(value) for name, value in details.items()}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        details[name] = f"left out: {sizes[name]} bytes"
        excess -= sizes[name] - _size(details[name])
    if excess > 0:  # so many that even their names are too long
        details = {"left_out": f"{len(sizes)} details"}
    return {**event, "payload": {**payload, "custom_details": details}}


def _size(value: Any) -> int:  # noqa: ANN401 -- whatever JSON can say
    return len(msgspec.json.encode(value))
