from __future__ import annotations

import asyncio
import gc
import uuid
import weakref
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import Kafka
from streams import broker
from streams.lane import Batch, Chunk, Drain, UnsupportedVersion, cut, fetch, lean_drain, require, stock_drain
from streams.topics import _NewTopic as NewTopic

WAIT_S = 20.0

Read = tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int]


class Row(NamedTuple):
    """A record, as far as cutting is concerned."""

    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def test_other_versions_are_refused() -> None:
    """The error says what is needed and what is there."""
    with pytest.raises(UnsupportedVersion, match=r"needs aiokafka 0\.14, found 0\.15\.0"):
        require({"aiokafka": "0.14."}, lambda _: "0.15.0")


@given(st.lists(st.sets(st.integers(0, 9)), max_size=8), st.integers(1, 30), st.integers(0, 12))
def test_the_pieces_are_the_chunk(batches: list[set[int]], size: int, into: int) -> None:
    """No record and no offset is lost between two pieces, and none is larger than asked for unless a batch is."""
    rows = [[Row(10 * place + offset) for offset in sorted(batch)] for place, batch in enumerate(batches)]
    ends = [10 * place + 10 for place in range(len(batches))]
    start, end = min(into, 10 * len(batches)), 10 * len(batches) + 3
    chunk = Chunk(start, end, [Batch(*batch) for batch in zip(ends, rows, strict=True)])
    pieces = list(cut(chunk, size))
    expected = [row for batch in rows for row in batch if row.offset >= start]
    assert [record for piece in pieces for record in piece.records(start)] == expected == chunk.records(start)
    assert [piece.start for piece in pieces] == [start, *[piece.end for piece in pieces[:-1]]]
    assert pieces[-1].end == end
    assert all(piece.end - piece.start <= max(size, 10) for piece in pieces[:-1])
    assert all(piece.start <= r.offset < piece.end for piece in pieces for r in piece.records(piece.start))


async def write_mixed_batches(kafka: Kafka, topic: str) -> None:
    """Batches of every kind: every codec, empty and null values, headers, transactions with their markers."""
    for compression in (None, "gzip", "snappy", "lz4", "zstd"):
        producer = broker.new_producer(kafka, compression_type=compression, linger_ms=20)
        await producer.start()
        for n in range(300):
            headers = [("ce_id", b"%d" % n), ("empty", b""), ("none", None)] if n % 3 == 0 else []
            value = None if n % 50 == 7 else b"x" * (n % 40)
            key = None if n % 11 == 0 else b"k%d" % n
            await producer.send(topic, value, key, partition=0, timestamp_ms=1_000_000 + n, headers=headers)
        await producer.stop()
    await write_transactions(kafka, topic)


async def write_transactions(kafka: Kafka, topic: str) -> None:
    producer = broker.new_producer(kafka, transactional_id=f"parity-{uuid.uuid4().hex}")
    await producer.start()
    for n in range(6):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"in a transaction %d" % n, b"t", partition=0)
        await (producer.commit_transaction() if n % 2 else producer.abort_transaction())
    await producer.stop()


def seen(records: Any) -> list[Read]:
    return [(r.offset, r.key, r.value, tuple(r.headers), r.timestamp) for r in records]


async def read_stock(kafka: Kafka, tp: Any, begin: int) -> list[Read]:
    consumer = broker.new_consumer(kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=2000)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, begin)
        end, found = (await consumer.end_offsets([tp]))[tp], []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                found += seen(records)
        return found
    finally:
        await consumer.stop()


async def read_chunks(kafka: Kafka, tp: Any, begin: int, drain: Drain) -> list[Read]:
    consumer = broker.new_consumer(kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=2000)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, begin)
        end, found, at = (await consumer.end_offsets([tp]))[tp], [], begin
        while at < end:
            for chunk in (await fetch(consumer._fetcher, {tp}, 0.5, drain)).values():
                assert chunk.start == at
                at = chunk.end
                found += seen(chunk.records(begin))
        return found
    finally:
        await consumer.stop()


@pytest.mark.kafka
@pytest.mark.parametrize("drain", [lean_drain, stock_drain])
def test_a_fetch_yields_what_the_stock_path_yields(kafka: str, drain: Drain) -> None:
    """The same records, also from the middle of a batch; and each chunk begins where one ended."""
    settings, topic = Kafka(bootstrap_servers=kafka), f"parity-{uuid.uuid4().hex}"

    async def compare() -> None:
        admin = await broker.connect(settings)
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await admin.close()
        await write_mixed_batches(settings, topic)
        tp: Any = TopicPartition(topic, 0)
        for begin in (0, 5, 333, 601, 1333, 1501):
            stock = await read_stock(settings, tp, begin)
            assert stock
            assert await read_chunks(settings, tp, begin, drain) == stock

    asyncio.run(asyncio.wait_for(compare(), WAIT_S))


@pytest.mark.kafka
def test_what_was_fetched_does_not_wait_for_the_garbage_collector(kafka: str) -> None:
    """It is megabytes, and the worker hardly ever collects."""
    settings, topic = Kafka(bootstrap_servers=kafka), f"parity-{uuid.uuid4().hex}"
    drained: list[weakref.ref[Any]] = []

    def watched(result: Any) -> Chunk:
        drained.append(weakref.ref(result._partition_records))
        return lean_drain(result)

    async def watch() -> None:
        admin = await broker.connect(settings)
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await admin.close()
        await write_mixed_batches(settings, topic)
        assert await read_chunks(settings, TopicPartition(topic, 0), 0, watched)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(watch(), WAIT_S))
        assert len(drained) > 1
        assert not any(part() for part in drained[:-1])
    finally:
        gc.enable()
