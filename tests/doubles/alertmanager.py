"""Alertmanager as its API v2 is documented: it validates what is posted, and keeps alerts by their labels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiohttp import web

from streams.simulator.faulty_server import FaultyServer

Labels = tuple[tuple[str, str], ...]


class AlertmanagerDouble(FaultyServer):
    """`alerts` are the newest of each set of labels; `tokens` what requests bore."""

    def __init__(self) -> None:
        super().__init__(web.post("/api/v2/alerts", self._post))
        self.alerts: dict[Labels, dict[str, Any]] = {}
        self.tokens: list[str | None] = []

    async def _post(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        posted = await request.json()
        if not isinstance(posted, list) or any(_is_wrong(alert) for alert in posted):
            return web.json_response({"code": 601, "message": f"invalid alerts: {posted}"}, status=400)
        for alert in posted:
            self.alerts[tuple(sorted(alert["labels"].items()))] = alert
        return web.Response()


def _is_wrong(alert: dict[str, Any]) -> bool:
    labels = alert.get("labels", {})
    texts = [*labels.values(), *alert.get("annotations", {}).values()]
    times = [datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt") if name in alert]
    return not labels.get("alertname") or not all(isinstance(text, str) for text in texts) or times != sorted(times)
