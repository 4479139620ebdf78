from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.config import Kafka
from streams import broker
from streams.outbox import Outbox, SendFailed, new_producer
from streams.topics import _NewTopic as NewTopic

LIMIT = 600
WAIT_S = 60.0


async def end_of(settings: Kafka, topic: str) -> int:
    """How many records lie in a topic of one partition."""
    tp = TopicPartition(topic, 0)
    consumer: Any = broker.new_consumer(settings)
    await consumer.start()
    try:
        return int((await consumer.end_offsets([tp]))[tp])
    finally:
        await consumer.stop()


async def go_on(outbox: Outbox, topic: str) -> None:
    """Small records for ever: they wait in a batch of their own while the one before is on its way."""
    while True:
        await outbox.send(topic, b"key", b"small", partition=0)
        await asyncio.sleep(0.001)


@pytest.mark.kafka
def test_nothing_is_written_behind_what_was_refused(kafka: str, topic_prefix: str) -> None:
    """Not even by a producer that the broker does not know yet, whose gaps it would take."""
    settings, topic = Kafka(bootstrap_servers=kafka), f"{topic_prefix}narrow"

    async def scenario() -> int:
        admin = await broker.connect(settings)
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": str(LIMIT)})])
        await admin.close()
        producer = new_producer(settings)
        await producer.start()
        outbox = Outbox(producer, lambda: None)
        await outbox.send(topic, b"key", b"x" * 2 * LIMIT, partition=0)
        with pytest.raises(SendFailed, match=f"could not write to {topic}: MessageSizeTooLargeError"):
            await go_on(outbox, topic)
        await producer.stop()  # which would send what is buffered
        return await end_of(settings, topic)

    assert asyncio.run(asyncio.wait_for(scenario(), WAIT_S)) == 0
