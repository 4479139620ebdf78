"""Findings, commands and alerts from the topics."""

from __future__ import annotations

import asyncio
from typing import Final

from schemas.config import Kafka, Seconds
from schemas.topics import ALERTS, COMMANDS, FINDINGS
from streams.explain.sources import Source, Take
from streams.log_reader import LogReader, LogUnreadable, records_bar

TOPICS: Final = (FINDINGS, COMMANDS, ALERTS)


class TopicSource(Source):
    """What the workers wrote, from the beginning of the topics to their present end."""

    def __init__(self, kafka: Kafka, timeout: Seconds) -> None:
        self._kafka, self._timeout = kafka, timeout
        names = ", ".join(kafka.topic_prefix + topic for topic in TOPICS)
        self.name = f"{names} at {kafka.bootstrap_servers}"

    def each(self, take: Take) -> int:
        return asyncio.run(self._each(take))

    async def _each(self, take: Take) -> int:
        read = 0
        try:
            with records_bar() as progress:
                async with asyncio.timeout(self._timeout), LogReader(self._kafka, progress) as reader:
                    for stretch in await reader.stretches(TOPICS):
                        async for record in reader.records(stretch):
                            read += 1
                            take(record.value or b"")
        except TimeoutError as error:
            after = f"stopped after {self._timeout.text}, {read:,} records into {self.name}"
            raise LogUnreadable(f"{after}; --timeout gives more time") from error
        return read
