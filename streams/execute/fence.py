"""Whether this process still is the one to act on a partition: the broker is asked, by a commit.

A process that slept through its session is woken as a zombie, and does not know. The broker does: it refuses the
offsets of whoever is no member of the group's present generation.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

ANSWER_S: Final = 5.0


class Standing(StrEnum):
    """What the broker says."""

    LIVE = "live"
    LOST = "lost"  # or about to be given to others
    UNKNOWN = "unknown"  # no broker answers


class Fence:
    """Commits offsets. `safe`: from where each partition may be read again, by what is told and acknowledged."""

    def __init__(self, consumer: Any) -> None:  # noqa: ANN401 -- aiokafka's
        self._consumer = consumer
        self.safe: dict[TopicPartition, int] = {}

    async def ask(self, partition: TopicPartition) -> Standing:
        """Commit what is safe anyway."""
        offset = self.safe.get(partition)
        if offset is None:
            return Standing.LOST
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._consumer.commit({partition: offset})
        except (CommitFailedError, IllegalStateError):
            return Standing.LOST
        except (KafkaError, TimeoutError):
            return Standing.UNKNOWN
        return Standing.LIVE
