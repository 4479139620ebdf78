"""The log that is measured on: request events of about 166 bytes, as Kafka's record batches or as lines of a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np

from schemas.config import Kafka
from streams.broker import new_producer

PIECE: Final = 100_000  # events encoded at a time
BATCH_BYTES: Final = 16_384  # of a record batch: what producers are set to unless told otherwise
SEED: Final = 1
FAILED: Final = 0.005  # share of requests that end with status 500, ...
DURATION_S: Final = 0.1  # ... and the mean time of an answer: of a fleet that is well, no rule fires
VALUE: Final = (
    b'{"endpoint":"%s","time":%.6f,"status":%d,"duration_s":%.4f,'
    b'"region":"us-east-1","input_tokens":120,"output_tokens":300}'
)


class Log(NamedTuple):
    """`events` over `endpoints` in `partitions`, evenly over `span_s` of event time that ended `ago_s` before now.

    Endpoints are drawn at random, or come `in_turn`: with as many as events, each name is new.
    """

    events: int = 1_000_000
    endpoints: int = 1_000
    partitions: int = 4
    span_s: int = 340
    ago_s: int = 0
    in_turn: bool = False
    namespace: str = "bench"


class Piece(NamedTuple):
    """Some events in order of event time: the number of the endpoint of each, its name and its value."""

    endpoints: list[int]
    keys: list[bytes]
    values: list[bytes]


def name(log: Log, endpoint: int) -> bytes:
    """The endpoint's id, which is its key too."""
    return b"%s/endpoint-%07d" % (log.namespace.encode(), endpoint)


def pieces(log: Log, now_s: float) -> Iterator[Piece]:
    """The whole log, piece by piece. The same log has the same events, but for when `now_s` is."""
    rng = np.random.default_rng(SEED)
    names = [name(log, number) for number in range(log.endpoints)]
    begin_s = now_s - log.ago_s - log.span_s
    for start in range(0, log.events, PIECE):
        place = np.arange(start, min(start + PIECE, log.events))
        endpoints = (place % log.endpoints if log.in_turn else rng.integers(0, log.endpoints, len(place))).tolist()
        times = (begin_s + place * (log.span_s / log.events)).tolist()
        status = np.where(rng.random(len(place)) < FAILED, 500, 200).tolist()
        duration = rng.exponential(DURATION_S, len(place)).tolist()
        keys = [names[number] for number in endpoints]
        yield Piece(endpoints, keys, [VALUE % row for row in zip(keys, times, status, duration, strict=True)])


def write(log: Log, kafka: Kafka, topic: str) -> None:
    """Write the log to a topic that is there. An endpoint is always in the same partition."""
    asyncio.run(_write(log, kafka, topic))


async def _write(log: Log, kafka: Kafka, topic: str) -> None:
    async with Batches(kafka, topic, log.partitions) as batches:
        for piece in pieces(log, time.time()):
            for number, key, value in zip(*piece, strict=True):
                if not batches.append(number % log.partitions, key, value):
                    await batches.hand_over(number % log.partitions)
                    batches.append(number % log.partitions, key, value)


class Batches:
    """Writes whole record batches, which is several times as fast as record by record."""

    def __init__(self, kafka: Kafka, topic: str, partitions: int) -> None:
        self._producer = new_producer(kafka, acks="all", max_batch_size=BATCH_BYTES)
        self._topic = topic
        self._building: list[Any] = [self._producer.create_batch() for _ in range(partitions)]
        self._sent: set[Any] = set()

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for partition in range(len(self._building)):
                await self.hand_over(partition)
            await asyncio.gather(*self._sent)
        finally:
            await self._producer.stop()

    def append(self, partition: int, key: bytes, value: bytes) -> bool:
        """Whether the batch of the partition had room for it."""
        return self._building[partition].append(key=key, value=value, timestamp=None) is not None

    async def hand_over(self, partition: int) -> None:
        """Send the batch of the partition, unless it is empty, and begin another."""
        if self._building[partition].record_count():
            sent = await self._producer.send_batch(self._building[partition], self._topic, partition=partition)
            self._sent.add(sent)
            sent.add_done_callback(self._acknowledged)
            self._building[partition] = self._producer.create_batch()

    def _acknowledged(self, sent: Any) -> None:  # noqa: ANN401 -- aiokafka is annotated in part only
        if sent.exception() is None:  # one that failed is kept for whoever waits for it
            self._sent.discard(sent)


def write_file(log: Log, path: Path) -> None:
    """Write the log as NDJSON."""
    with path.open("wb") as file:
        for piece in pieces(log, time.time()):
            file.writelines(value + b"\n" for value in piece.values)
