"""A record at which the core fails: the worker stops, names it, and goes on once it is repaired or told to skip it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from detectors import SETTINGS
from schemas.topics import ALERTS, COMMANDS, DEAD_LETTERS, FINDINGS, REQUESTS, ROLLUPS, SCALING, STATE, Place
from streams import configuration, facts, topics
from streams.stages import build_stage
from tests.running import TIDEGATE, WAIT_S, Job, Message, Starter, read_all, read_topic, until, write
from tests.streams.buggy import NAME, POISON

CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", group: "{prefix}group",
         session_timeout: 6s, checkpoint_every: 500ms}}
http: {{port: 0}}
mode: auto
defaults: {{expected_max: 10, price_usd_per_hour: 2.0}}
budgets: {{all: {{daily_usd: 250, endpoints: ["*"]}}}}
safety: {{cooldown: 30s, max_evidence_age: 2h}}
"""
QUIET_S: Final = 60
LENGTH_S: Final = 600
OUTPUTS: Final = {
    REQUESTS: (ROLLUPS, FINDINGS),
    SCALING: (ROLLUPS, FINDINGS),
    ROLLUPS: (FINDINGS,),
    FINDINGS: (COMMANDS, ALERTS),
}
BUDGET_RULES: Final = ("hourly_spend", "telemetry_gap")

Outputs = dict[str, set[bytes]]


@pytest.fixture
def job(kafka: str, topic_prefix: str, tmp_path: Path) -> Job:
    return Job.of(CONFIG, kafka, topic_prefix, tmp_path)


def buggy(topic: str, job: Job) -> tuple[str, ...]:
    return sys.executable, "-m", "tests.streams.buggy", topic, str(job.file)


def events() -> tuple[list[Message], list[Message]]:
    """A quiet minute; then one event with the poison, and after it a runaway that also blows the budget."""
    begin = int(time.time()) - LENGTH_S
    quiet: list[Message] = []
    rest: list[Message] = []
    for second in range(0, LENGTH_S, 5):
        for name in ("acme/a", "acme/b"):
            n = 40 if name == "acme/b" and second >= QUIET_S + 20 else 2
            (quiet if second < QUIET_S else rest).append(event(SCALING, name, begin + second, n))
            (quiet if second < QUIET_S else rest).append(event(REQUESTS, name, begin + second, n))
        if second == QUIET_S:
            rest += [event(SCALING, NAME, begin + second, 40), event(REQUESTS, NAME, begin + second, 1)]
    return quiet, rest


def event(topic: str, name: str, at: int, n: int) -> Message:
    text = f'"ready_replicas":{n},"target_replicas":{n}' if topic == SCALING else '"status":200'
    return Message(topic, name.encode(), b'{"endpoint":"%s","time":%d,%s}' % (name.encode(), at, text.encode()))


async def written(job: Job, topic: str) -> Outputs:
    """What the stage of a topic wrote so far, by topic."""
    found = {name: await read_topic(job.config.kafka, name) for name in OUTPUTS[topic]}
    return {name: {r.value for r in records if made_by(topic, name, r.value)} for name, records in found.items()}


def made_by(topic: str, output: str, value: bytes) -> bool:
    """Whether it is this stage that writes such a record."""
    fields = msgspec.json.decode(value)
    if output == ROLLUPS:
        return bool(fields["source"] == topic)
    if output == FINDINGS:
        return bool((fields["rule"] in BUDGET_RULES) == (topic == ROLLUPS)) and (topic != REQUESTS)
    return True


async def expected(job: Job, topic: str, skipped: int | None = None) -> Outputs:
    """What an undisturbed fold of the stage's log writes, without the record that is skipped."""
    stage, outputs = build_stage(topic, 0, job.config), {name: set[bytes]() for name in OUTPUTS[topic]}
    log = [record for record in await read_all(job.config.kafka, topic, 0) if record.offset != skipped]
    for out in stage.apply(log).outgoing:
        outputs[out.topic].add(out.value or b"")
    return outputs


async def next_of(job: Job, topic: str) -> int:
    """Below which offset everything of a topic is durable."""
    return (await facts.read(job.config.kafka, job.config.kafka.topic_prefix + topic + STATE, 0)).next


async def all_read(job: Job, *wanted: str) -> bool:
    """Whether everything in these topics is read and durable."""
    logs = {topic: await read_all(job.config.kafka, topic, 0) for topic in wanted}
    return all([bool(log) and await next_of(job, topic) == log[-1].offset + 1 for topic, log in logs.items()])


async def poisoned(job: Job, topic: str, start_program: Starter) -> tuple[int, dict[str, Any]]:
    """Run a worker with the bug until it ends at the poison: where that is, and what its log says of it."""
    quiet, rest = events()
    await topics.declare(job.config, partitions=1)
    await write(job, quiet, iter([len(quiet)] * 2))

    async def is_durable() -> bool:
        return await next_of(job, SCALING) == len(quiet) // 2

    worker = start_program(*buggy(topic, job))
    await until(is_durable)
    await write(job, rest, iter([len(rest)] * 2))
    assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 1, worker.lines()
    (told,) = [msgspec.json.decode(line) for line in worker.lines() if "fails at this record" in line]
    at = next(record.offset for record in await read_all(job.config.kafka, topic, 0) if POISON[topic] in record.value)
    assert await next_of(job, topic) <= at
    assert not await read_all(job.config.kafka, topic + DEAD_LETTERS, 0)
    return at, told


@pytest.mark.kafka
@pytest.mark.parametrize("topic", OUTPUTS)
def test_a_record_that_makes_the_core_fail_is_named_and_can_be_skipped(
    job: Job, start_program: Starter, topic: str
) -> None:
    """The worker ends with 1, durable up to the record. Told to skip it, it goes on as if it had never been there."""

    async def scenario() -> None:
        at, told = await poisoned(job, topic, start_program)
        assert (told["topic"], told["offset"], told["level"]) == (topic, at, "critical")
        assert str(Place(topic, 0, at)) in told["to_pass_over_it"]
        job.file.write_text(job.file.read_text() + told["to_pass_over_it"] + "\n")
        skipping = Job(job.file, configuration.load(job.file, SETTINGS, {}))
        worker = start_program(*buggy(topic, job))

        async def is_settled() -> bool:
            assert worker.process.poll() is None, worker.lines()
            if not await all_read(job, SCALING, REQUESTS, topic):
                return False
            return await written(skipping, topic) == await expected(skipping, topic, at)

        await until(is_settled)
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 0, worker.lines()
        assert any((await expected(skipping, topic, at)).values())
        (letter,) = await read_all(job.config.kafka, topic + DEAD_LETTERS, 0)
        assert POISON[topic] in letter.value
        why = dict(letter.headers)
        assert (why["error.type"], why["source.offset"]) == (b"skipped", str(at).encode())

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


@pytest.mark.kafka
def test_a_repaired_worker_goes_on_where_the_other_failed(job: Job, start_program: Starter) -> None:
    """Without the bug it reads the record again, and every stage writes what an undisturbed one writes."""

    async def scenario() -> None:
        await poisoned(job, SCALING, start_program)
        worker = start_program(*TIDEGATE, "run", "--config", str(job.file))

        async def is_settled() -> bool:
            assert worker.process.poll() is None, worker.lines()
            if not await all_read(job, *OUTPUTS):
                return False
            return all([await written(job, topic) == await expected(job, topic) for topic in OUTPUTS])

        await until(is_settled)
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 0, worker.lines()
        findings = [msgspec.json.decode(record.value) for record in await read_all(job.config.kafka, FINDINGS, 0)]
        assert {NAME, "acme/b", "all"} <= {finding["subject"] for finding in findings}

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))
