"""Alertmanager API v2: tidegate as one more Prometheus.

An alert that fires is posted with an end some time ahead, and has to be posted again before that (`resend_every`): if
tidegate dies it ends by itself. Labels make an alert's identity there, so what changes while an episode lasts is in the
annotations, but for the severity, which people route by: when it rises, that is another alert, and the one before ends
by itself. Posting twice changes nothing.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from actions.failure import Failure
from actions.http import Body, Client, Site
from actions.receivers.interface import Fired, Notification
from actions.receivers.limiter import Clock
from actions.receivers.telling import annotated, bearer, lasting, revealed
from actions.receivers.templates import DEFAULT, Templates
from schemas import receivers
from schemas.alertmanager import ALERTS_PATH
from schemas.outputs import Result, Timestamp

PATIENCE: Final = 4  # intervals without a word until an alert ends: as Prometheus has it


class Alertmanager:
    """One Alertmanager. `clock` is seconds since the epoch."""

    def __init__(
        self, name: str, section: receivers.Alertmanager, templates: Templates = DEFAULT, clock: Clock = time.time
    ) -> None:
        self._templates, self._clock = templates, clock
        self._patience_s = PATIENCE * section.resend_every
        site = Site(name, section.url, section.timeout, bearer(section.token), revealed(section.token))
        self._client = Client(site)

    async def notify(self, notification: Notification) -> Failure | None:
        posted = [self._alert(fired, notification.external_url) for fired in notification.alerts]
        answer = await self._client.send("POST", ALERTS_PATH, Body(json=posted))
        return answer if isinstance(answer, Failure) else None

    async def tell_change(self, result: Result) -> Failure | None:
        """It has no place for changes."""

    async def close(self) -> None:
        await self._client.close()

    def _alert(self, fired: Fired, external_url: str | None) -> dict[str, object]:
        """An end before its start would be refused, and all that is posted with it: a sender's clock may be ahead."""
        labels = {**lasting(fired.labels), "alertname": fired.alert.rule, "severity": fired.severity.value}
        labels.pop("episode", None)  # a silence that is made of all labels must still fit the next episode
        alert: dict[str, object] = {
            "labels": labels,
            "annotations": annotated(fired, self._templates),
            "startsAt": fired.starts_at,
            "endsAt": max(self._until() if fired.ends_at is None else fired.ends_at, fired.starts_at),
        }
        return alert if external_url is None else {**alert, "generatorURL": external_url}

    def _until(self) -> Timestamp:
        return datetime.fromtimestamp(self._clock() + self._patience_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
