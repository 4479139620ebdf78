"""The demo's own hands on Kafka: it writes what the simulator emits and reads what tidegate answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec
from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas import topics
from schemas.config import Kafka
from schemas.outputs import Command, Finding, Result
from schemas.topics import Record
from schemas.units import to_us
from streams.broker import connect, new_consumer, new_producer
from streams.demo.incidents import Arrival
from streams.simulator import Emitted

T = TypeVar("T")

PARTITIONS: Final = 2  # of each input: few, so that each has traffic enough to move its watermark
BATCH_BYTES: Final = 256 * 1024
TIMEOUT_S: Final = 30.0
_murmur2: Callable[[bytes], int] = murmur2  # aiokafka is annotated in part only
OUTPUTS: Final[dict[str, type[Finding | Command | Result]]] = {
    topics.FINDINGS: Finding,
    topics.COMMANDS: Command,
    topics.RESULTS: Result,
}
SPREAD: Final = frozenset({*topics.INPUTS, topics.COMMANDS})  # over `PARTITIONS`; the others have one


class Taken(Record, Protocol):
    """A record as a consumer gives it: it also knows its topic."""

    @property
    def topic(self) -> str: ...


async def _in_time(work: Awaitable[T]) -> T:
    """What it gives, within the time-out. Not `asyncio.wait_for`: on Python 3.11 that may swallow a Ctrl-C."""
    async with asyncio.timeout(TIMEOUT_S):
        return await work


class Publisher:
    """Writes events in whole batches, which is five times as fast as record by record."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._partition_of: dict[bytes, int] = {}
        self._unacknowledged: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> Self:
        timeout_ms = int(TIMEOUT_S * 1000)
        self._producer = new_producer(
            self._kafka, acks="all", max_batch_size=BATCH_BYTES, request_timeout_ms=timeout_ms
        )
        await _in_time(self._producer.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await _in_time(self._producer.stop())

    async def send(self, events: Iterable[Emitted]) -> int:
        """Hand over events, in their order within each partition; returns how many."""
        building: dict[tuple[str, int], BatchBuilder] = {}
        sent = 0
        for event in events:
            sent += 1
            place = (event.topic, self._partition(event.key) if _partitions(event.topic) > 1 else 0)
            batch = building.get(place) or building.setdefault(place, self._producer.create_batch())
            if batch.append(timestamp=None, key=event.key, value=event.value) is None:
                await self._hand_over(place, batch)
                building[place] = batch = self._producer.create_batch()
                batch.append(timestamp=None, key=event.key, value=event.value)
        for place, batch in building.items():
            await self._hand_over(place, batch)
        return sent

    async def flushed(self) -> None:
        """Returns when the broker has all that was sent; raises what went wrong."""
        waiting, self._unacknowledged = self._unacknowledged, []
        await _in_time(asyncio.gather(*waiting))

    async def _hand_over(self, place: tuple[str, int], batch: BatchBuilder) -> None:
        topic, partition = place
        name = self._kafka.topic_prefix + topic
        sent = await _in_time(self._producer.send_batch(batch, name, partition=partition))
        self._unacknowledged = [f for f in self._unacknowledged if not f.done() or f.exception()]
        self._unacknowledged.append(sent)

    def _partition(self, key: bytes) -> int:
        """As every Kafka client chooses it."""
        partition = self._partition_of.get(key)
        if partition is None:
            partition = self._partition_of[key] = (_murmur2(key) & 0x7FFFFFFF) % PARTITIONS
        return partition


class Listener:
    """Reads findings, commands and what came of them from the first on, outside of any consumer group."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    async def __aenter__(self) -> Self:
        self._consumer = new_consumer(self._kafka, auto_offset_reset="earliest", fetch_max_wait_ms=100)
        await _in_time(self._consumer.start())
        partitions = [(name, number) for name in OUTPUTS for number in range(_partitions(name))]
        self._consumer.assign([TopicPartition(self._kafka.topic_prefix + name, number) for name, number in partitions])
        return self

    async def __aexit__(self, *_: object) -> None:
        await _in_time(self._consumer.stop())

    async def poll(self) -> list[tuple[Finding | Command | Result, int]]:
        """What has come since the last call, with the broker's time in ms; does not wait for more."""
        fetched = await _in_time(self._consumer.getmany(timeout_ms=0))
        records: list[Taken] = [record for records in fetched.values() for record in records]
        return [(self._read(record), record.timestamp) for record in sorted(records, key=_logged_ms)]

    def _read(self, record: Taken) -> Finding | Command | Result:
        kind = OUTPUTS[record.topic.removeprefix(self._kafka.topic_prefix)]
        return msgspec.json.decode(record.value or b"", type=kind)


async def arrivals(kafka: Kafka, since_ms: int, endpoints: frozenset[str]) -> list[Arrival]:
    """The input events of some endpoints that the broker took since then, read back from the topics."""
    consumer = new_consumer(kafka)
    await _in_time(consumer.start())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = map(_arrival, await _since(consumer, kafka, since_ms))
            return [arrival for arrival in found if arrival.endpoint in endpoints]
    finally:
        await _in_time(consumer.stop())


async def _since(consumer: Any, kafka: Kafka, since_ms: int) -> list[Taken]:  # noqa: ANN401 (annotated in part)
    partitions = [
        TopicPartition(kafka.topic_prefix + name, number) for name in topics.INPUTS for number in range(PARTITIONS)
    ]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    for partition in partitions:
        start = starts[partition]
        consumer.seek(partition, ends[partition] if start is None else start.offset)
    found: list[Taken] = []
    while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
        for records in (await consumer.getmany(timeout_ms=200)).values():
            found += records
    return found


def _partitions(topic: str) -> int:
    return PARTITIONS if topic in SPREAD else 1


def _logged_ms(record: Taken) -> int:
    return record.timestamp


def _arrival(record: Taken) -> Arrival:
    event = msgspec.json.decode(record.value or b"")
    time_s = event["time"] if "time" in event else event["period_start"]
    return Arrival(event["endpoint"], to_us(time_s), record.timestamp)


async def remove_topics(kafka: Kafka) -> None:
    """Leave a broker that is not ours as it was. A group without topics the broker itself forgets."""
    admin = await connect(kafka, patience_s=TIMEOUT_S)
    try:
        names = [name for name in await admin.list_topics() if name.startswith(kafka.topic_prefix)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()
