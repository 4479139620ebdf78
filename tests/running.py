"""Programs under test in processes of their own, and what they read from Kafka and write to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition

from detectors import SETTINGS
from schemas.config import Config, Kafka
from streams import broker, configuration
from streams.topics import partition_counts

WAIT_S: Final = 60.0
TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; main()")

Headers = tuple[tuple[str, bytes], ...]


class Program:
    """A process with its log in a file; whatever waits for it waits for `wait_s` at most."""

    def __init__(self, command: Iterable[str], folder: Path, wait_s: float) -> None:
        self.log = folder / f"{uuid.uuid4().hex}.log"
        self._wait_s = wait_s
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command], stdout=log, stderr=log)

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    async def until(self, text: str, times: int = 1) -> str:
        """The log line with the text, once it has come so many times."""
        async with asyncio.timeout(self._wait_s):
            while True:
                found = [line for line in self.lines() if text in line]
                if len(found) >= times:
                    return found[times - 1]
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.1)

    def signalled(self, number: int) -> int:
        """The exit code after a signal."""
        os.kill(self.process.pid, number)
        return self.process.wait(self._wait_s)

    def close(self) -> None:
        """Leave nothing running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(self._wait_s)


class Starter:
    """Starts programs with their logs in a folder, and ends those that still run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Program] = []

    def __call__(self, *command: str, wait_s: float = WAIT_S) -> Program:
        self._started.append(Program(command, self._folder, wait_s))
        return self._started[-1]

    def close(self) -> None:
        for program in self._started:
            program.close()


class Message(NamedTuple):
    """A record to write."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Job(NamedTuple):
    """A configuration with topics of its own, and the file that holds it."""

    file: Path
    config: Config

    @classmethod
    def of(cls, text: str, kafka: str, prefix: str, folder: Path) -> Job:
        """With the address and the prefix put into the text."""
        file = folder / "tidegate.yaml"
        file.write_text(text.format(address=kafka, prefix=prefix))
        return cls(file, configuration.load(file, SETTINGS, {}))


@asynccontextmanager
async def producer(job: Job) -> AsyncIterator[Any]:
    made = broker.new_producer(job.config.kafka, linger_ms=5, max_request_size=4 << 20)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def write(job: Job, messages: Iterable[Message], sizes: Iterator[int], pause_s: float = 0.0) -> None:
    """Write in batches of these sizes, one after another, with a pause between two."""
    left = next(sizes)
    async with producer(job) as made:
        for topic, key, value, headers in messages:
            await made.send(job.config.kafka.topic_prefix + topic, value, key, headers=list(headers))
            left -= 1
            if left == 0:
                await made.flush()
                await asyncio.sleep(pause_s)
                left = next(sizes)


async def read_all(kafka: Kafka, topic: str, partition: int) -> list[Any]:
    """Every record of a partition, by aiokafka's own means."""
    return (await read_many(kafka, topic, [partition]))[partition]


async def read_topic(kafka: Kafka, topic: str) -> list[Any]:
    """Every record of a topic, partition by partition."""
    admin = await broker.connect(kafka)
    try:
        (count,) = partition_counts(await admin.describe_topics([kafka.topic_prefix + topic])).values()
    finally:
        await admin.close()
    return [record for records in (await read_many(kafka, topic, range(count))).values() for record in records]


async def read_many(kafka: Kafka, topic: str, partitions: Iterable[int]) -> dict[int, list[Any]]:
    """Every record of some partitions, by partition."""
    wanted = [TopicPartition(kafka.topic_prefix + topic, partition) for partition in partitions]
    found: dict[int, list[Any]] = {tp.partition: [] for tp in wanted}
    consumer = broker.new_consumer(kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    try:
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        while [tp for tp in wanted if await consumer.position(tp) < ends[tp]]:
            for tp, records in (await consumer.getmany(*wanted, timeout_ms=500)).items():
                found[tp.partition] += records
        return found
    finally:
        await consumer.stop()


async def until(reached: Callable[[], Any]) -> None:
    """Wait until an asynchronous question is answered with yes."""
    async with asyncio.timeout(WAIT_S):
        while not await reached():  # noqa: ASYNC110  (in other processes)
            await asyncio.sleep(0.3)
