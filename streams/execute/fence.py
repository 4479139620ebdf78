"""Whether this process still is the one to act on a partition: the broker is asked, by a commit.

A process that slept through its session is woken as a zombie, and does not know. The broker does: it refuses the
offsets of whoever is no member of the group's present generation.
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

ANSWER_S: Final = 5.0
DOUBT_SHARE: Final = 0.5  # of the session time-out may pass without a beat before it is in doubt who this process is


class Standing(StrEnum):
    """What the broker says."""

    LIVE = "live"
    LOST = "lost"  # or about to be given to others
    UNKNOWN = "unknown"  # no broker answers


class Fence:
    """Commits offsets. `safe`: from where each partition may be read again, by what is told and acknowledged.

    `beat` is to be called all the time; that it was not is how a process notices that it was stopped.
    """

    def __init__(self, consumer: Any, session_timeout_s: float) -> None:  # noqa: ANN401 -- aiokafka's
        self._consumer = consumer
        self.safe: dict[TopicPartition, int] = {}
        self._longest_s, self._beat_s = session_timeout_s * DOUBT_SHARE, time.monotonic()
        self._is_in_doubt = False

    def beat(self) -> None:
        """This process runs."""
        now_s = time.monotonic()
        self._is_in_doubt = self._is_in_doubt or now_s - self._beat_s > self._longest_s
        self._beat_s = now_s

    async def has_lost(self, partition: TopicPartition) -> bool:
        """Whether this process was stopped, and has the partition no more: not even its word counts then."""
        self.beat()
        if not self._is_in_doubt:
            return False
        standing = await self.ask(partition)
        self._is_in_doubt = standing is not Standing.LIVE
        return standing is Standing.LOST

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
