"""State that is not of this version, or not of this log: the worker ends with one clear line, and wrote nothing."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from schemas.config import Config
from schemas.topics import COMMANDS, REQUESTS, STATE
from streams import broker, facts, topics
from tests.running import Program, read_all, read_topic
from tests.streams.test_worker import (
    WAIT_S,
    fresh,
    start,  # noqa: F401 -- a fixture
    until_written,
    write_bursts,
    written,
)


def refusal(worker: Program) -> dict[str, Any]:
    """The line that says why the worker stopped, as the only one of its level."""
    log = worker.log.read_text()
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    (told,) = [line for line in lines if line["event"] == "stopped"]
    return dict(told)


@pytest.mark.kafka
def test_a_state_of_another_format_ends_the_worker_before_it_reads_or_writes(
    kafka: str,
    start: Callable[[Config], Program],  # noqa: F811
) -> None:
    """Its topic, partition, subject and both formats are named, and where it says what to do."""
    config = fresh(kafka)
    state = config.kafka.topic_prefix + REQUESTS + STATE

    async def scenario() -> None:
        await topics.declare(config)
        await write_bursts(config, 2)
        producer = broker.new_producer(config.kafka)
        await producer.start()
        newer = facts.Writer({}, facts.new_writer(), 99)
        for subject in (b"key-1", facts.PARTITION):
            key, value = newer.row(subject, 5, b"")
            await producer.send_and_wait(state, value, key, partition=1)
        await producer.stop()
        worker = start(config)
        assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 1
        reason = refusal(worker)["reason"]
        assert f"{state}, partition 1" in reason
        assert "found format 99, expected 1" in reason
        assert "docs/operations.md" in reason
        assert len(await read_all(config.kafka, REQUESTS + STATE, 1)) == 2

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


@pytest.mark.kafka
def test_a_topic_that_was_made_again_ends_the_worker(
    kafka: str,
    start: Callable[[Config], Program],  # noqa: F811
) -> None:
    """Its offsets mean other records now: what is below the old ones would be passed over in silence."""
    config = fresh(kafka)
    requests = config.kafka.topic_prefix + REQUESTS

    async def scenario() -> None:
        await topics.declare(config)
        await write_bursts(config, 6)
        first = start(config)
        await until_written(config, 20)
        assert await asyncio.to_thread(first.signalled, signal.SIGTERM) == 0, first.log.read_text()
        admin = await broker.connect(config.kafka)
        await admin.delete_topics([requests])
        await admin.close()
        await _declared_again(config, requests)
        await write_bursts(config, 1)
        before = await read_topic(config.kafka, COMMANDS)
        second = start(config)
        assert await asyncio.to_thread(second.process.wait, WAIT_S) == 1
        reason = refusal(second)["reason"]
        assert requests in reason
        assert "was created again" in reason
        assert "docs/operations.md" in reason
        assert len(await read_topic(config.kafka, COMMANDS)) == len(before)
        assert await written(config)

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


async def _declared_again(config: Config, name: str) -> None:
    """A topic is deleted in the background: creating it takes until then."""
    async with asyncio.timeout(WAIT_S):
        while not any(topic.name == name and is_new for topic, is_new in await topics.declare(config)):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
