"""The door for alerts of other systems: `POST /api/v2/alerts` on the worker's HTTP server.

Off, as if it were not there, unless `external` has a token. What is answered with 200 is in Kafka. What is not can be
posted again; if it came through all the same, the second is one more update of the same episode.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError

from detectors.external import MOST_FIRING, ExternalAlerts, Told, heard
from schemas.alertmanager import PostedAlert, WebhookBody, read
from schemas.config import Config
from schemas.outputs import Finding
from schemas.section import Secret
from schemas.topics import FINDINGS
from streams.core_stage import encode
from streams.metrics import Metrics

ACK_S: Final = 5.0  # below the 10 s that Prometheus waits for an answer

log = structlog.get_logger("tidegate.external")


class Door:
    """Takes alerts, and writes findings with the worker's own producer. `config` is asked anew each time."""

    def __init__(
        self, producer: Any, config: Callable[[], Config], clock: Callable[[], int], metrics: Metrics  # noqa: ANN401
    ) -> None:  # fmt: skip
        self._producer, self._config, self._clock, self._metrics = producer, config, clock, metrics
        self._alerts = ExternalAlerts()
        self._lock = asyncio.Lock()  # what is known must be known of one alert after the other

    async def post(self, request: web.Request) -> web.Response:
        """200 once all is written, 400 what could not be understood, 503 where it could not be written in time."""
        token = self._config().external.token
        if token is None:
            return web.Response(status=404)
        if not _bears(request, token):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            posted = read(await request.read())
        except ValueError as error:
            self._metrics.external.labels("unreadable").inc()
            return web.Response(status=400, text=f"{error}\n")
        return await self._take(posted)

    async def tick(self) -> None:
        """Go on with what fires, end what nobody tells of any more; what cannot be written has its turn again."""
        if len(self._alerts):
            await self._write(self._alerts.tick)

    async def _take(self, posted: list[PostedAlert] | WebhookBody) -> web.Response:
        count = len(posted if isinstance(posted, list) else posted.alerts)
        told = await self._write(lambda config, now_us: self._alerts.hear(heard(posted, now_us), config, now_us))
        if told is None:
            return self._answer("not_written", count, 503, "Kafka did not acknowledge it in time: post it again")
        accepted = self._answer("accepted", count - told.left_out, 200, "")
        if told.left_out == 0:
            return accepted
        why = f"{told.left_out} were left out: {MOST_FIRING} alerts fire already"
        return self._answer("too_many", told.left_out, 429, why)

    def _answer(self, outcome: str, count: int, status: int, text: str) -> web.Response:
        self._metrics.external.labels(outcome).inc(count)
        return web.Response(status=status, text=text and f"{text}\n")

    async def _write(self, think: Callable[[Config, int], Told]) -> Told | None:
        """What is thought becomes known when all of it is acknowledged; None: it was not."""
        try:
            async with asyncio.timeout(ACK_S), self._lock:
                told = think(self._config(), self._clock())
                await self._send(told.findings)
                self._alerts.take(told)
        except (TimeoutError, KafkaError) as error:
            log.warning("alerts of others could not be written", reason=f"{type(error).__name__} {error}".rstrip())
            return None
        for finding in told.findings:
            self._metrics.count(FINDINGS, {("findings", finding.rule, finding.status, finding.severity): 1})
        return told

    async def _send(self, findings: list[Finding]) -> None:
        topic = self._config().kafka.topic_prefix + FINDINGS
        values = [(finding.subject.encode(), encode(finding)) for finding in findings]
        futures = [await self._producer.send(topic, value, key, partition=0) for key, value in values]
        for future in futures:
            future.add_done_callback(_looked_at)  # whoever waited for it may have gone
        if futures:
            await asyncio.wait(futures)
        for future in futures:
            future.result()


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _bears(request: web.Request, token: Secret) -> bool:
    """In a time that tells nothing of how much of it is right."""
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    return hmac.compare_digest(given, f"Bearer {token.reveal()}".encode())
