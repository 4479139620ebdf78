"""The logs as anybody may read them: by plain aiokafka, from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import TopicPartition

from schemas.config import Config
from streams import broker
from streams.topics import STAGES

POLL_MS: Final = 500
FETCH_BYTES: Final = 8 << 20
READ_S: Final = 60.0  # between two batches


async def batches(config: Config, topic: str, partition: int) -> AsyncIterator[list[Any]]:
    """Every record of a partition, in order; `topic` is without prefix."""
    tp = TopicPartition(config.kafka.topic_prefix + topic, partition)
    consumer = broker.new_consumer(config.kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES)
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        while await asyncio.wait_for(consumer.position(tp), READ_S) < end:
            for records in (await consumer.getmany(tp, timeout_ms=POLL_MS)).values():
                yield records
    finally:
        await consumer.stop()


async def partitions(config: Config) -> dict[str, int]:
    """How many partitions each topic has; names are without prefix."""
    admin = await broker.connect(config.kafka)
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    prefix = config.kafka.topic_prefix
    return {
        topic["topic"].removeprefix(prefix): len(topic["partitions"])
        for topic in described
        if topic["topic"].startswith(prefix)
    }


async def ends(config: Config, counts: dict[str, int]) -> dict[tuple[str, int], int]:
    """Where each of these partitions ends."""
    prefix = config.kafka.topic_prefix
    wanted = [TopicPartition(prefix + topic, n) for topic, count in counts.items() for n in range(count)]
    consumer = broker.new_consumer(config.kafka)
    await consumer.start()
    try:
        found = await consumer.end_offsets(wanted)
    finally:
        await consumer.stop()
    return {(tp.topic.removeprefix(prefix), tp.partition): end for tp, end in found.items()}


async def committed(config: Config) -> dict[tuple[str, int], int]:
    """What the group has committed."""
    admin = await broker.connect(config.kafka)
    try:
        offsets = await admin.list_consumer_group_offsets(config.kafka.group)
    finally:
        await admin.close()
    prefix = config.kafka.topic_prefix
    return {(tp.topic.removeprefix(prefix), tp.partition): known.offset for tp, known in offsets.items()}


async def behind(config: Config) -> list[str]:
    """The partitions read by stages whose end is not committed."""
    counts = await partitions(config)
    known, done = await ends(config, {topic: counts[topic] for topic in STAGES}), await committed(config)
    return [
        f"{topic}-{number}: {done.get((topic, number), 0)} of {end}"
        for (topic, number), end in known.items()
        if done.get((topic, number), 0) != end
    ]
