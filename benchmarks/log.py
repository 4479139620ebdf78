"""The log that is measured on: request events of 166 bytes, their endpoints drawn at random, in a real Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from aiokafka import AIOKafkaProducer

SPAN_S: Final = 340  # of event time, ending now
BATCH: Final = 2000  # records a record batch
SEED: Final = 1
FAILED: Final = 0.01  # share of requests that end with status 500


class Log(NamedTuple):
    """How many events over how many endpoints, in how many partitions."""

    events: int = 1_000_000
    endpoints: int = 1_000
    partitions: int = 4


def records(log: Log, now_s: float) -> Iterator[tuple[int, bytes, bytes]]:
    """(partition, key, value) in order of event time. An endpoint is always in the same partition."""
    rng = np.random.default_rng(SEED)
    endpoint = rng.integers(0, log.endpoints, log.events).tolist()
    times = (now_s - SPAN_S + np.arange(log.events) * (SPAN_S / log.events)).tolist()
    failed = (rng.random(log.events) < FAILED).tolist()
    duration = rng.exponential(0.4, log.events).tolist()
    names = [f"bench/endpoint-{number:05d}" for number in range(log.endpoints)]
    for i, number in enumerate(endpoint):
        name, status = names[number], 500 if failed[i] else 200
        text = (
            f'{{"endpoint":"{name}","time":{times[i]:.6f},"status":{status},"duration_s":{duration[i]:.4f},'
            f'"region":"us-east-1","input_tokens":120,"output_tokens":300}}'
        )
        yield number % log.partitions, name.encode(), text.encode()


async def fill(address: str, topic: str, log: Log) -> None:
    """Write the log; the topic must be there."""
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", max_request_size=8 << 20)
    await producer.start()
    try:
        waiting = [producer.create_batch() for _ in range(log.partitions)]
        for partition, key, value in records(log, time.time()):
            if waiting[partition].record_count() == BATCH:
                await (await producer.send_batch(waiting[partition], topic, partition=partition))
                waiting[partition] = producer.create_batch()
            if waiting[partition].append(key=key, value=value, timestamp=None) is None:
                await (await producer.send_batch(waiting[partition], topic, partition=partition))
                waiting[partition] = producer.create_batch()
                waiting[partition].append(key=key, value=value, timestamp=None)
        for partition, batch in enumerate(waiting):
            if batch.record_count():
                await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


def fill_blocking(address: str, topic: str, log: Log) -> None:
    """`fill`, for a caller without an event loop."""
    asyncio.run(fill(address, topic, log))
