"""Reads the dead letters of a cluster, and the marks of those that were sent again.

A mark is a record in the same topic, whose key is the place of the letter and whose one header is `REPLAYED`. It is
kept for as long as the letter itself, and lies behind it: who reads from any letter on reads its mark, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Final, NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.config import Kafka
from schemas.topics import DEAD_LETTERS, STAGES, Place
from streams import broker, dead_letters
from streams.errors import TidegateError, UsageError
from streams.stage import Headers
from streams.topics import TopicsWrong, partition_counts
from streams.values import nearest

REPLAYED: Final = "tidegate.replayed"  # header of a mark, and of an event that was sent again
FOREIGN: Final = "foreign"  # in the place of `error.type`: no letter of tidegate's
PATIENCE_S: Final = 15.0  # for a broker to answer
STALLED_S: Final = 30.0  # without a record, though there must be more
POLL_MS: Final = 500
FETCH_BYTES: Final = 8 << 20


class DeadLettersUnreadable(TidegateError):
    """The broker does not hand them over."""


class Selection(NamedTuple):
    """Which letters are meant. Empty means all; `since_ms` is when they were written."""

    topics: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    offsets: frozenset[int] = frozenset()
    since_ms: int | None = None

    def matches(self, letter: Letter) -> bool:
        """All but the topic and the time, which are where reading begins."""
        right = not self.why or letter.why in self.why
        return right and (not self.offsets or letter.place.offset in self.offsets)


class Letter(NamedTuple):
    """A dead letter. `headers` are those that the event came with; `source` is None for a foreign record."""

    place: Place
    written_ms: int
    why: str
    message: str
    source: Place | None
    key: bytes | None
    value: bytes | None
    headers: Headers


class Mark(NamedTuple):
    """Says that the letter at a place was sent again."""

    letter: Place


class Stretch(NamedTuple):
    """The part of a partition that is read. `topic` has no prefix."""

    topic: str
    tp: TopicPartition
    begin: int
    end: int


def chosen_topics(names: Collection[str], prefix: str = "") -> tuple[str, ...]:
    """The stages' topics that are meant, each named with or without prefix and `.dlq`; all if none is named."""
    chosen = [name.removeprefix(prefix).removesuffix(DEAD_LETTERS) for name in names]
    for name in chosen:
        if name not in STAGES:
            raise UsageError(f"no topic '{name}' has dead letters{nearest(name, STAGES)}")
    return tuple(dict.fromkeys(chosen)) or STAGES


class Reader:
    """A connection to the dead letters. Use it with `async with`."""

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
            await asyncio.wait_for(self._consumer.start(), PATIENCE_S)
        except (KafkaError, TimeoutError) as error:
            await self._consumer.stop()
            raise DeadLettersUnreadable(f"cannot read: {type(error).__name__} {error}".rstrip()) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def stretches(self, selection: Selection) -> list[Stretch]:
        """What there is to read now, partition by partition."""
        try:
            return await asyncio.wait_for(self._stretches(selection), PATIENCE_S)
        except (KafkaError, TimeoutError) as error:
            raise DeadLettersUnreadable(f"cannot read: {type(error).__name__} {error}".rstrip()) from error

    async def _stretches(self, selection: Selection) -> list[Stretch]:
        wanted = [topic + DEAD_LETTERS for topic in selection.topics or STAGES]
        missing = [name for name in wanted if self._full(name) not in self._partitions]
        if missing:
            names = ", ".join(map(self._full, missing))
            raise TopicsWrong(f"missing topics: {names}; `tidegate topics create` declares the topics")
        found: list[Stretch] = []
        for topic in wanted:
            tps = [TopicPartition(self._full(topic), n) for n in range(self._partitions[self._full(topic)])]
            begins, ends = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
            if selection.since_ms is not None:
                times = await self._consumer.offsets_for_times(dict.fromkeys(tps, selection.since_ms))
                begins = {tp: ends[tp] if at is None else at.offset for tp, at in times.items()}
            found += [Stretch(topic, tp, begins[tp], ends[tp]) for tp in tps]
        return found

    async def read(self, stretch: Stretch) -> AsyncIterator[Letter | Mark]:
        """Every record of a stretch, in its order."""
        if stretch.begin >= stretch.end:
            return
        self._consumer.assign([stretch.tp])
        self._consumer.seek(stretch.tp, stretch.begin)
        async for record in self._records(stretch):
            yield _parsed(stretch.topic, record)

    async def _records(self, stretch: Stretch) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        moved_at, position = loop.time(), stretch.begin
        while position < stretch.end:
            batches = await self._consumer.getmany(stretch.tp, timeout_ms=POLL_MS)
            for record in batches.get(stretch.tp, ()):
                if record.offset < stretch.end:
                    yield record
            before, position = position, await self._consumer.position(stretch.tp)
            self._progress(min(position, stretch.end) - before)
            if position > before:
                moved_at = loop.time()
            elif loop.time() - moved_at > STALLED_S:
                at = f"{stretch.tp.topic}, partition {stretch.tp.partition}, offset {position}"
                raise DeadLettersUnreadable(f"no broker handed over {at} within {STALLED_S:g} s")

    def _full(self, topic: str) -> str:
        return self._kafka.topic_prefix + topic


def mark(letter: Letter) -> tuple[bytes, Headers]:
    """Key and headers of the mark that says that a letter was sent again."""
    return str(letter.place).encode(), ((REPLAYED, b""),)


def _parsed(topic: str, record: Any) -> Letter | Mark:  # noqa: ANN401 -- aiokafka's
    if not record.value and [name for name, _ in record.headers] == [REPLAYED]:
        return Mark(Place.parse((record.key or b"").decode()))
    place = Place(topic, record.partition, record.offset)
    added = dead_letters.added(record.headers)
    if not added:
        return Letter(place, record.timestamp, FOREIGN, "", None, record.key, record.value, tuple(record.headers))
    source = Place(added[dead_letters.TOPIC], *(int(added[n]) for n in (dead_letters.PARTITION, dead_letters.OFFSET)))
    headers = dead_letters.original(record.headers)
    why, message = added[dead_letters.TYPE], added[dead_letters.MESSAGE]
    return Letter(place, record.timestamp, why, message, source, record.key, record.value, headers)
