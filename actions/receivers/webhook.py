"""What Alertmanager's webhook receiver sends (version 4): whatever takes that takes this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actions.failure import Failure
from actions.http import Body, Client, Site
from actions.receivers.interface import Fired, Notification
from actions.receivers.telling import Address, annotated, bearer, common, lasting, required, revealed
from actions.receivers.templates import DEFAULT, Templates
from schemas import receivers
from schemas.alertmanager import NEVER, fingerprint
from schemas.outputs import Result


class Webhook:
    """One address, which may be a secret in itself. The same notification has the same body."""

    def __init__(self, name: str, section: receivers.WebhookReceiver, templates: Templates = DEFAULT) -> None:
        self._name, self._templates = name, templates
        address = Address.of(required(name, "url", section.url))
        secrets = (*address.secrets, *revealed(section.token))
        self._path = address.path
        self._client = Client(Site(name, address.site, section.timeout, bearer(section.token), secrets))

    async def notify(self, notification: Notification) -> Failure | None:
        answer = await self._client.send("POST", self._path, Body(json=self._body(notification)), shown="")
        return answer if isinstance(answer, Failure) else None

    async def tell_change(self, result: Result) -> Failure | None:
        """The format has no place for changes."""

    async def close(self) -> None:
        await self._client.close()

    def _body(self, notification: Notification) -> dict[str, Any]:
        url = notification.external_url or ""
        alerts = [self._alert(fired, url) for fired in notification.alerts]
        return {
            "version": "4",
            "groupKey": notification.group_key,
            "truncatedAlerts": 0,
            "status": "resolved" if notification.is_resolved else "firing",
            "receiver": self._name,
            "groupLabels": dict(notification.group_labels),
            "commonLabels": common([alert["labels"] for alert in alerts]),
            "commonAnnotations": common([alert["annotations"] for alert in alerts]),
            "externalURL": url,
            "alerts": alerts,
        }

    def _alert(self, fired: Fired, url: str) -> dict[str, Any]:
        return {
            "status": "firing" if fired.ends_at is None else "resolved",
            "labels": _labels(fired),
            "annotations": annotated(fired, self._templates),
            "startsAt": fired.starts_at,
            "endsAt": NEVER if fired.ends_at is None else fired.ends_at,
            "generatorURL": url,
            "fingerprint": fingerprint(lasting(fired.labels)),  # the same from the beginning of an episode to its end
        }


def _labels(fired: Fired) -> Mapping[str, str]:
    own = {"alertname": fired.alert.rule, "severity": fired.severity.value}
    return {name: value for name, value in {**fired.labels, **own}.items() if value and name != "status"}
