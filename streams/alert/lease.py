"""Which process delivers: the one that the consumer group gives the only partition of `alerts.v1`. Others stand by.

The group's own consumer reads nothing. It says who may read and send, and its committed offset serves lag tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from schemas.config import Kafka
from schemas.topics import ALERTS
from streams import broker

GROUP: Final = ".alert"  # suffix of `kafka.group`
POLL_MS: Final = 500
REVOKE_SHARE: Final = 0.5  # of the session time-out may go into letting go
DOUBT_SHARE: Final = 0.5  # of the session time-out may pass without a beat before the lease is in doubt

log = structlog.get_logger("tidegate.alert")


class Lease(ConsumerRebalanceListener):
    """`held` while this process is the one; `lost` otherwise. `let_go` ends what is under way, if it can do so in time.

    A process that joins the group moves the lease, and is no reason to break off a notification.
    """

    def __init__(self, kafka: Kafka, let_go: Callable[[], Awaitable[None]]) -> None:
        self._let_go = let_go
        self.held, self.lost = asyncio.Event(), asyncio.Event()
        self.lost.set()
        self._kafka, self._tp = kafka, TopicPartition(kafka.topic_prefix + ALERTS, 0)
        self._consumer: Any = None
        self._beat_s, self._doubted_until_s = time.monotonic(), 0.0

    async def start(self) -> None:
        """Join the group."""
        session_ms = int(self._kafka.session_timeout * 1000)
        self._consumer = broker.new_consumer(
            self._kafka, group_id=self._kafka.group + GROUP, enable_auto_commit=False, auto_offset_reset="earliest",
            session_timeout_ms=session_ms, heartbeat_interval_ms=session_ms // 5,
        )  # fmt: skip
        self._consumer.subscribe([self._tp.topic], listener=self)
        await self._consumer.start()

    async def keep(self) -> None:
        """What a member of a group has to do all the time."""
        while True:
            await self._consumer.getmany(timeout_ms=POLL_MS)
            self._notice_a_stop()
            self._beat_s = time.monotonic()

    async def sure(self) -> None:
        """Returns when the lease is not in doubt: after a stop of this process the group may have another by now."""
        self._notice_a_stop()
        while (doubt_s := self._doubted_until_s - time.monotonic()) > 0:  # noqa: ASYNC110 -- a time, not an event
            await asyncio.sleep(doubt_s)

    def doubt(self, away_s: float) -> None:
        """Kafka was away for so long: two heartbeats after its return this process has heard if it lost the lease."""
        if away_s > self._kafka.session_timeout * DOUBT_SHARE:
            self._doubted_until_s = time.monotonic() + self._kafka.session_timeout * DOUBT_SHARE

    def _notice_a_stop(self) -> None:
        self.doubt(self.idle_s)

    async def commit(self, offset: int) -> None:
        """For lag tools: nothing reads it, so that it fails is no harm."""
        if self.held.is_set():
            try:
                await self._consumer.commit({self._tp: offset})
            except KafkaError:
                return

    @property
    def idle_s(self) -> float:
        """Since the last sign that the loop runs."""
        return time.monotonic() - self._beat_s

    async def stop(self) -> None:
        """Leave the group, so that another need not wait for the session to end."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if self._tp in revoked:
            self.held.clear()
            try:
                await asyncio.wait_for(self._let_go(), self._kafka.session_timeout * REVOKE_SHARE)
            except TimeoutError:
                log.warning("a notification was broken off; it may be sent again")
            self.lost.set()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        if self._tp in assigned:
            self._consumer.pause(self._tp)
            self.lost.clear()
            self.held.set()
