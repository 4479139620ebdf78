"""A Slack incoming webhook: a message for each notification. The same notification again is the same message again."""

from __future__ import annotations

import time
from typing import Any, Final

from actions.failure import Failure
from actions.http import Body, Client, Site
from actions.receivers.interface import Fired, Notification
from actions.receivers.limiter import Clock, Limiter
from actions.receivers.telling import Address, common, cut, required
from actions.receivers.templates import DEFAULT, Templates
from schemas import receivers
from schemas.outputs import Result

WINDOW_S: Final = 1.1  # a channel takes one message a second, and on the way two come closer together
HEADER: Final = 150  # characters
SECTION: Final = 3000
MOST_ALERTS: Final = 20  # of a notification that are shown; the rest is counted
SHOWN: Final = frozenset({"action", "budget", "endpoint", "mode", "severity", "team"})  # labels
MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

Block = dict[str, Any]


class Slack:
    """One webhook, that is, one channel. Its address is a secret."""

    def __init__(
        self, name: str, section: receivers.Slack, templates: Templates = DEFAULT, clock: Clock = time.monotonic
    ) -> None:
        self._name, self._templates = name, templates
        address = Address.of(required(name, "url", section.url))
        self._path = address.path
        self._client = Client(Site(name, address.site, section.timeout, secrets=address.secrets))
        self._limiter = Limiter(1, WINDOW_S, clock)

    async def notify(self, notification: Notification) -> Failure | None:
        wait_s = self._limiter.take()
        if wait_s is not None:
            reason = f"{self._name}: one message a second"
            return Failure(reason, retryable=True, retry_after_s=wait_s, nothing_done=True)
        answer = await self._client.send("POST", self._path, Body(json=self._message(notification)), shown="")
        return answer if isinstance(answer, Failure) else None

    async def tell_change(self, result: Result) -> Failure | None:
        """The alerts tell of commands already."""

    async def close(self) -> None:
        await self._client.close()

    def _message(self, notification: Notification) -> Block:
        title = self._title(notification)
        shown, left = notification.alerts[:MOST_ALERTS], len(notification.alerts) - MOST_ALERTS
        blocks = [{"type": "header", "text": {"type": "plain_text", "text": cut(title, HEADER)}}]
        blocks += [_section(self._line(fired, alone=len(notification.alerts) == 1)) for fired in shown]
        blocks += [_section(f"... and {left} more")] if left > 0 else []
        blocks += [_context(context)] if (context := _origin(notification)) else []
        return {"text": cut(title.translate(MARKUP), SECTION), "blocks": blocks}

    def _title(self, notification: Notification) -> str:
        """Of one alert its own; of several how many there are, and what they have in common."""
        alerts = notification.alerts
        if len(alerts) == 1:
            return f"[{_status(alerts[0])}] {self._templates.title.render(alerts[0])}"
        firing = sum(1 for fired in alerts if fired.ends_at is None)
        counts = {"FIRING": firing, "RESOLVED": len(alerts) - firing}
        told = ", ".join(f"{status}: {count}" for status, count in counts.items() if count)
        common = " ".join(f"{name}={value}" for name, value in notification.group_labels.items())
        return f"[{told}] {common}".rstrip()

    def _line(self, fired: Fired, *, alone: bool) -> str:
        text = self._templates.text.render(fired).translate(MARKUP)
        title = self._templates.title.render(fired).translate(MARKUP)
        return text if alone else f"*[{_status(fired)}] {title}*\n{text}"


def _status(fired: Fired) -> str:
    return "FIRING" if fired.ends_at is None else "RESOLVED"


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION) or " "}}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}


def _origin(notification: Notification) -> str:
    """The link, and the labels that all of its alerts share."""
    shared = common([fired.labels for fired in notification.alerts])
    labels = [f"{name}={value}".translate(MARKUP) for name, value in shared.items() if name in SHOWN]
    url = notification.external_url
    return cut(" | ".join([*labels, *([] if url is None else [f"<{url}|tidegate>"])]), SECTION)
