"""When records come to a topic, as a plain consumer sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Self, TypeVar

from aiokafka import TopicPartition

from benchmarks.site import Site
from streams.broker import new_consumer

PATIENCE_S: Final = 60.0  # for the last record

Id = TypeVar("Id")


class Arrivals(Generic[Id]):
    """Notes when the first record of each id comes to a topic of one partition, from now on."""

    def __init__(self, site: Site, topic: str, id_of: Callable[[Any], Id]) -> None:
        self._consumer = new_consumer(site.kafka, auto_offset_reset="latest")
        self._tp = TopicPartition(topic, 0)
        self._id_of = id_of
        self._seen: dict[Id, float] = {}
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([self._tp])
        await self._consumer.position(self._tp)  # where `latest` is must be known before anything comes
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await self._consumer.stop()

    async def since(self, appended: Mapping[Id, float]) -> list[float]:
        """Seconds from there (seconds since the epoch) to here; waits for those that are not here yet."""
        async with asyncio.timeout(PATIENCE_S):
            while not appended.keys() <= self._seen.keys():
                self._news.clear()
                await self._news.wait()
        return [self._seen[key] - at for key, at in appended.items()]

    async def _read(self) -> None:
        async for record in self._consumer:
            self._seen.setdefault(self._id_of(record), time.time())
            self._news.set()
