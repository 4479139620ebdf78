"""What is read: alerts, the orders of operators, and what became of commands; each one partition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Self

import structlog
from aiokafka import TopicPartition

from actions.alerting.recent import MOST
from schemas.config import Kafka
from schemas.topics import ALERTS, APPROVALS, RESULTS
from streams import broker
from streams.alert.state import Position
from streams.errors import TidegateError

TOPICS: Final = (ALERTS, APPROVALS, RESULTS)
POLL_MS: Final = 200
FETCH_BYTES: Final = 1 << 20


log = structlog.get_logger("tidegate.alert")


class LogMadeAnew(TidegateError):
    """A topic ends before the place from which it is to be read."""


class Came(NamedTuple):
    """Records of one topic, in their order."""

    topic: str
    records: list[Any]


class Inputs:
    """A consumer without a group. Use it with `async with`, after `seek`."""

    def __init__(self, kafka: Kafka) -> None:
        settings: dict[str, Any] = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
        self._consumer = broker.new_consumer(kafka, group_id=None, max_partition_fetch_bytes=FETCH_BYTES, **settings)
        self._tps = {topic: TopicPartition(kafka.topic_prefix + topic, 0) for topic in TOPICS}
        self._topics = {tp: topic for topic, tp in self._tps.items()}

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(list(self._topics))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def seek(self, position: Position) -> tuple[Position, dict[str, int]]:
        """Go to where to begin. The position, with what was not known of it, and the present ends.

        Alerts are read from some way before their position, for their ids; orders from the beginning, for silences are
        among them; results, where nothing was read yet, from now on, for they are news or nothing.
        """
        begins = await self._of_topics(self._consumer.beginning_offsets)
        ends = await self._of_topics(self._consumer.end_offsets)
        alerts = begins[ALERTS] if position.alerts is None else max(position.alerts, begins[ALERTS])
        results = ends[RESULTS] if position.results is None else max(position.results, begins[RESULTS])
        for topic, offset in ((ALERTS, alerts), (RESULTS, results)):
            if offset > ends[topic]:
                raise LogMadeAnew(
                    f"{self._tps[topic].topic} ends at {ends[topic]}, and what was read of it, at {offset}: it was made"
                    f" anew; delete {self._tps[ALERTS].topic}.state, and run `tidegate topics create`"
                )
        if (lost := alerts - (position.alerts or 0)) > 0 and position.alerts is not None:
            log.error("alerts were deleted before anybody read them: retention.ms is too short", count=lost)
        self._consumer.seek(self._tps[ALERTS], max(begins[ALERTS], alerts - MOST))
        self._consumer.seek(self._tps[APPROVALS], begins[APPROVALS])
        self._consumer.seek(self._tps[RESULTS], results)
        return Position(alerts, results), ends

    async def next(self) -> list[Came]:
        """What came; nothing, if nothing did for a moment."""
        batches = await self._consumer.getmany(timeout_ms=POLL_MS)
        return [Came(self._topics[tp], records) for tp, records in batches.items()]

    async def has_reached(self, ends: dict[str, int], topics: Iterable[str]) -> bool:
        """Whether all of these were read up to there."""
        return all([await self._consumer.position(self._tps[topic]) >= ends[topic] for topic in topics])

    async def _of_topics(self, ask: Any) -> dict[str, int]:  # noqa: ANN401 -- aiokafka is annotated in part only
        found = await ask(list(self._topics))
        return {self._topics[tp]: int(offset) for tp, offset in found.items()}
