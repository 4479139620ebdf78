"""Watches the state topics as they grow, to know when a worker is in the middle of a checkpoint."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.config import Config
from schemas.topics import STATE
from streams import broker
from tests.chaos import logs

PAUSE_S: Final = 1.0

Place = tuple[str, int]  # topic, without prefix and suffix, and partition


class Mark(NamedTuple):
    """A record of a checkpoint: that of the partition itself, which completes it, or one before."""

    place: Place
    writer: bytes
    at: int  # the offset that the checkpoint is of
    completes: bool


class StateWatch:
    """`unfinished`: for each writer of each partition, the checkpoint that still lacks its end."""

    def __init__(self, config: Config) -> None:
        self.unfinished: dict[tuple[Place, bytes], int] = {}
        self._config = config
        self._waiting: list[tuple[bool, asyncio.Future[Mark]]] = []

    async def next(self, *, completes: bool) -> Mark:
        """The next record of that kind."""
        waiting: asyncio.Future[Mark] = asyncio.get_running_loop().create_future()
        self._waiting.append((completes, waiting))
        return await waiting

    async def run(self) -> None:
        """Follow all state topics until cancelled, from their present end; a broker that is away is waited for."""
        while True:
            try:
                await self._follow()
            except KafkaError:
                await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        counts = await logs.partitions(self._config)
        prefix = self._config.kafka.topic_prefix
        places = [
            TopicPartition(prefix + topic, n)
            for topic, count in counts.items()
            if topic.endswith(STATE)
            for n in range(count)
        ]
        consumer = broker.new_consumer(self._config.kafka, auto_offset_reset="latest")
        await consumer.start()
        try:
            consumer.assign(places)
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    place = tp.topic.removeprefix(prefix).removesuffix(STATE), tp.partition
                    for record in records:
                        self._note(place, record)
        finally:
            await consumer.stop()

    def _note(self, place: Place, record: Any) -> None:
        if record.value is None:
            return
        subject, _, rest = record.key.rpartition(b"\0")
        writer, _, at = rest.partition(b"@")
        mark = Mark(place, writer, int(at), completes=not subject)
        if mark.completes:
            self.unfinished.pop((place, writer), None)
        else:
            self.unfinished[place, writer] = mark.at
        for completes, waiting in self._waiting:
            if completes == mark.completes and not waiting.done():
                waiting.set_result(mark)
        self._waiting = [(completes, waiting) for completes, waiting in self._waiting if not waiting.done()]
