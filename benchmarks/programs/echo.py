"""The shortest program with a path as long as that from an event to its command: read, write, read, write.

Run as `python -m benchmarks.programs.echo ADDRESS FIRST SECOND THIRD` (topics of one partition); it runs until
it is killed.
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
    await asyncio.gather(*[hop(kafka, producer, *ends) for ends in pairwise(topics)])


async def hop(kafka: Kafka, producer: Any, source: str, target: str) -> None:  # noqa: ANN401 -- aiokafka's
    """Write what comes, as it comes; as in the worker, the next is read while an acknowledgement is awaited."""
    consumer = new_consumer(kafka, auto_offset_reset="latest", fetch_max_wait_ms=100)
    await consumer.start()
    consumer.assign([TopicPartition(source, 0)])
    async for record in consumer:
        await producer.send(target, record.value, key=record.key, partition=0)


if __name__ == "__main__":
    asyncio.run(echo(Kafka(bootstrap_servers=sys.argv[1]), sys.argv[2:]))
