"""The shortest program with a path as long as that from an event to its command: read, write, read, write.

Run as `python -m benchmarks.programs.echo ADDRESS FIRST SECOND THIRD` (topics of one partition); it says when it is
ready, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from typing import Any

from aiokafka import TopicPartition

from schemas.config import Kafka
from streams.broker import new_consumer, new_producer


async def echo(kafka: Kafka, topics: list[str]) -> None:
    """Carry from each topic to the next."""
    producer = new_producer(kafka, acks="all")
    await producer.start()
    hops = [hop(await consumer_of(kafka, source), producer, target) for source, target in pairwise(topics)]
    print("ready", flush=True)
    await asyncio.gather(*hops)


async def consumer_of(kafka: Kafka, topic: str) -> Any:  # noqa: ANN401 -- aiokafka's
    """A consumer that reads what comes from now on."""
    consumer = new_consumer(kafka, auto_offset_reset="latest", fetch_max_wait_ms=100)
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.position(TopicPartition(topic, 0))
    return consumer


async def hop(consumer: Any, producer: Any, target: str) -> None:  # noqa: ANN401 -- aiokafka's
    """Write what comes, as it comes; as in the worker, the next is read while an acknowledgement is awaited."""
    async for record in consumer:
        await producer.send(target, record.value, key=record.key, partition=0)


if __name__ == "__main__":
    asyncio.run(echo(Kafka(bootstrap_servers=sys.argv[1]), sys.argv[2:]))
