"""Reads the three topics to where they end now, and on from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self

from aiokafka import TopicPartition

from schemas.config import Config
from streams.log_reader import LogReader, records_bar
from streams.operate.present import TOPICS, Present, Record


class News(NamedTuple):
    """A record that was read; `said` is None for what could not be."""

    topic: str
    said: Record | None
    value: bytes


class Follower:
    """The present, and what is added to it. Use it with `async with`.

    Of `others`, topics besides the three, what comes after the beginning is handed over as it is.
    """

    def __init__(self, config: Config, *others: str) -> None:
        self._config, self._others = config, others
        self.present = Present(config)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            with records_bar() as progress:
                self._reader = await stack.enter_async_context(LogReader(self._config.kafka, progress))
                self._stretches = await self._reader.stretches((*TOPICS, *self._others))
                for stretch in (own for own in self._stretches if own.topic in TOPICS):
                    async for record in self._reader.records(stretch):
                        self.present.take(stretch.topic, record.value, record.timestamp * 1000)
            self._open = stack.pop_all()  # all went well: it stays open
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def batches(self) -> AsyncIterator[list[News]]:
        """What comes after, as it comes; an empty list where a moment brought nothing. Without end."""
        topics = {stretch.tp: stretch.topic for stretch in self._stretches}
        async for records in self._reader.follow(self._stretches):
            yield [self._news(topics[TopicPartition(record.topic, record.partition)], record) for record in records]

    def _news(self, topic: str, record: Any) -> News:  # noqa: ANN401 -- aiokafka's
        known = topic in TOPICS
        said = self.present.take(topic, record.value, record.timestamp * 1000) if known else None
        return News(topic, said, record.value or b"")


def read_present(config: Config) -> Present:
    """The present of now."""

    async def run() -> Present:
        async with Follower(config) as follower:
            return follower.present

    return asyncio.run(run())
