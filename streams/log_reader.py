"""Reads topics from the beginning, or from a time on, to where they end now, and on: what the verbs that look do.

No consumer group and no commits: a worker never notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from schemas.config import Kafka
from streams import broker
from streams.errors import TidegateError
from streams.topics import TopicsWrong, partition_counts

T = TypeVar("T")

PATIENCE_S: Final = 15.0  # for a broker to answer
STALLED_S: Final = 30.0  # without a record, though there must be more
POLL_MS: Final = 500
FETCH_BYTES: Final = 8 << 20


class LogUnreadable(TidegateError):
    """The broker does not hand the records over."""


class Stretch(NamedTuple):
    """The part of a partition that is read. `topic` has no prefix."""

    topic: str
    tp: TopicPartition
    begin: int
    end: int


class LogReader:
    """A connection that reads. `progress` is told how many records each step was. Use it with `async with`."""

    def __init__(self, kafka: Kafka, progress: Callable[[int], None] = lambda _: None) -> None:
        self._kafka, self._progress = kafka, progress
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        admin = await broker.connect(self._kafka, PATIENCE_S)
        try:
            self._partitions = partition_counts(await admin.describe_topics())
        finally:
            await admin.close()
        settings = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
        self._consumer = broker.new_consumer(
            self._kafka, group_id=None, max_partition_fetch_bytes=FETCH_BYTES, **settings
        )
        try:
            await _answered(self._consumer.start())
        except LogUnreadable:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def stretches(self, topics: Sequence[str], since_ms: int | None = None) -> list[Stretch]:
        """What there is to read now of topics without prefix, partition by partition."""
        return await _answered(self._stretches(topics, since_ms))

    async def _stretches(self, topics: Sequence[str], since_ms: int | None) -> list[Stretch]:
        missing = [name for name in topics if self._full(name) not in self._partitions]
        if missing:
            names = ", ".join(map(self._full, missing))
            raise TopicsWrong(f"missing topics: {names}; {self._remedy()}")
        found: list[Stretch] = []
        for topic in topics:
            tps = [TopicPartition(self._full(topic), n) for n in range(self._partitions[self._full(topic)])]
            begins, ends = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
            if since_ms is not None:
                times = await self._consumer.offsets_for_times(dict.fromkeys(tps, since_ms))
                begins = {tp: ends[tp] if at is None else at.offset for tp, at in times.items()}
            found += [Stretch(topic, tp, begins[tp], ends[tp]) for tp in tps]
        return found

    async def records(self, stretch: Stretch) -> AsyncIterator[Any]:
        """Every record of a stretch, in its order."""
        if stretch.begin >= stretch.end:
            return
        self._consumer.assign([stretch.tp])
        self._consumer.seek(stretch.tp, stretch.begin)
        loop = asyncio.get_running_loop()
        moved_at, position = loop.time(), stretch.begin
        while position < stretch.end:
            batches = await self._taken(stretch.tp)
            for record in batches.get(stretch.tp, ()):
                if record.offset < stretch.end:
                    yield record
            before, position = position, await self._consumer.position(stretch.tp)
            self._progress(min(position, stretch.end) - before)
            if position > before:
                moved_at = loop.time()
            elif loop.time() - moved_at > STALLED_S:
                at = f"{stretch.tp.topic}, partition {stretch.tp.partition}, offset {position}"
                raise LogUnreadable(f"no broker handed over {at} within {STALLED_S:g} s")

    async def follow(self, stretches: Sequence[Stretch]) -> AsyncIterator[list[Any]]:
        """What comes after the stretches, as it comes; an empty list where a moment brought nothing. Without end."""
        tps = [stretch.tp for stretch in stretches]
        self._consumer.assign(tps)
        for stretch in stretches:
            self._consumer.seek(stretch.tp, stretch.end)
        while True:
            batches = await self._taken(*tps)
            yield [record for records in batches.values() for record in records]

    async def _taken(self, *tps: TopicPartition) -> dict[TopicPartition, list[Any]]:
        try:
            taken: dict[TopicPartition, list[Any]] = await self._consumer.getmany(*tps, timeout_ms=POLL_MS)
        except KafkaError as error:
            raise _unreadable(error) from error
        return taken

    def _remedy(self) -> str:
        """A broker hides what a user may not see."""
        declared = "`tidegate topics create` declares the topics"
        user = self._kafka.security.username
        return declared if user is None else f"{declared}, unless they are there and {user!r} may not see them"

    def _full(self, topic: str) -> str:
        return self._kafka.topic_prefix + topic


@contextmanager
def records_bar() -> Iterator[Callable[[int], None]]:
    """A bar on stderr over the records that are read, on a terminal only; yields what to call with their number."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda count: bar.advance(task, count)


async def _answered(question: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(question, PATIENCE_S)
    except (KafkaError, TimeoutError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> LogUnreadable:
    return LogUnreadable(f"cannot read: {type(error).__name__} {error}".rstrip())
