"""Where a scenario takes place: a Kafka, and topics with a prefix of their own, so that each log is written once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson

from benchmarks import log
from benchmarks.log import Log
from schemas.config import Config, Kafka
from schemas.topics import INPUTS, REQUESTS
from streams.broker import connect
from streams.local_kafka import LocalKafka
from streams.topics import declare, needed

GONE_S: Final = 30.0  # for topics that were deleted to be gone
NO_BUDGET: Final[Mapping[str, Any]] = {}
BUDGET: Final[Mapping[str, Any]] = {"all": {"daily_usd": 1_000_000, "endpoints": ["bench/*"]}}


class Site(NamedTuple):
    """`broker` is the process id of its Kafka, None where that is not ours."""

    address: str
    prefix: str = ""
    broker: int | None = None

    @property
    def kafka(self) -> Kafka:
        return Kafka(bootstrap_servers=self.address, topic_prefix=self.prefix)

    @property
    def requests(self) -> str:
        """The full name of the topic of request events."""
        return self.prefix + REQUESTS

    def declared(self, name: str, partitions: int) -> Self:
        """The same Kafka with new topics."""
        new = self._replace(prefix=f"{self.prefix}{name}-{uuid.uuid4().hex[:8]}.")
        asyncio.run(declare(Config(kafka=new.kafka), partitions))
        return new

    def filled(self, *logs: Log) -> Self:
        """The same Kafka with new topics and these logs, one after the other, in that of the requests."""
        new = self.declared("log", logs[0].partitions)
        for each in logs:
            log.write(each, new.kafka, new.requests)
        return new

    def forget(self, partitions: int) -> None:
        """Delete all that a worker has written, its state above all; what it has read stays."""
        asyncio.run(_forget(Config(kafka=self.kafka), partitions))

    def config(self, folder: Path, **sections: Mapping[str, Any]) -> Path:
        """A configuration for a worker here, in mode auto and without limits on actions; `sections` add to it."""
        group = uuid.uuid4().hex  # a new one has committed nothing, and there is nobody to wait for
        file = folder / f"{group}.yaml"
        kafka = {"bootstrap_servers": self.address, "topic_prefix": self.prefix, "group": group}
        written = {
            "http": {"port": 0},
            "mode": "auto",
            "defaults": {"price_usd_per_hour": 1.0},
            "safety": {"max_actions_per_hour": 1_000_000},
            **sections,
            "kafka": {**kafka, **sections.get("kafka", {})},
        }
        file.write_bytes(orjson.dumps(written))  # JSON is YAML
        return file


@contextmanager
def local_site() -> Iterator[Site]:
    """A Kafka that lives as long as the scenario."""
    with LocalKafka() as kafka:
        yield Site(kafka.address, broker=kafka.pid)


async def _forget(config: Config, partitions: int) -> None:
    inputs = {config.kafka.topic_prefix + name for name in INPUTS}
    unwanted = {topic.name for topic in needed(config)} - inputs
    admin = await connect(config.kafka)
    try:
        await admin.delete_topics(sorted(unwanted))
        async with asyncio.timeout(GONE_S):
            while unwanted & set(await admin.list_topics()):  # noqa: ASYNC110 -- Kafka tells nobody
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await declare(config, partitions)
