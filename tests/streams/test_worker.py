"""The worker on a real Kafka: whatever happens to it, what it writes is what an undisturbed fold writes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiokafka.admin import NewPartitions as Untyped
from msgspec import structs

from schemas.config import Config, Kafka, Security
from schemas.topics import COMMANDS, FINDINGS, REQUESTS, STATE
from streams import broker, facts, topics
from streams.local_kafka import LocalKafka
from tests.running import Program, Starter, read_all, read_topic
from tests.streams.toy import ToyStage, toy_config

WAIT_S = 45.0
STOP_S = 30.0  # what a container is given to stop
BURSTS, BURST, KEYS = 40, 100, 30

NewPartitions: Any = Untyped  # in aiokafka

Outputs = dict[str, set[bytes]]  # id -> every content it was ever written with


def toy(config: Config) -> tuple[str, ...]:
    """The command that runs a worker of toy stages."""
    kafka = config.kafka
    options = () if kafka.lean_fetch else ("stock",)
    return sys.executable, "-m", "tests.streams.toy", kafka.bootstrap_servers, kafka.topic_prefix, "0.01", *options


@pytest.fixture
def start(start_program: Starter) -> Callable[[Config], Program]:
    """Starts workers."""
    return lambda config: start_program(*toy(config), wait_s=WAIT_S)


def fresh(kafka: str) -> Config:
    """A configuration whose topics nobody else has."""
    return toy_config(kafka, f"t{uuid.uuid4().hex[:10]}.")


async def write_bursts(config: Config, bursts: int, pause_s: float = 0.2) -> None:
    """Records of every key, a burst at a time."""
    producer = broker.new_producer(config.kafka, linger_ms=5)
    await producer.start()
    for burst in range(bursts):
        for n in range(BURST):
            at = burst * BURST + n
            await producer.send(config.kafka.topic_prefix + REQUESTS, b"%d" % at, b"key-%d" % (at % KEYS))
        await asyncio.sleep(pause_s)
    await producer.stop()


async def written(config: Config) -> Outputs:
    """What workers have written so far, by id."""
    outputs: Outputs = {}
    for record in await read_topic(config.kafka, COMMANDS):
        outputs.setdefault(msgspec.json.decode(record.value)["id"], set()).add(record.value)
    return outputs


async def undisturbed(config: Config) -> tuple[Outputs, list[ToyStage]]:
    """What one fold of each partition's log writes, and the stages after it."""
    outputs: Outputs = {}
    stages = [ToyStage(partition) for partition in range(topics.PARTITIONS)]
    for stage in stages:
        applied = stage.apply(await read_all(config.kafka, REQUESTS, stage.partition))
        for out in applied.outgoing:
            outputs[msgspec.json.decode(out.value or b"")["id"]] = {out.value or b""}
    return outputs, stages


async def until_written(config: Config, at_least: int) -> None:
    """Wait until so many ids were written."""
    async with asyncio.timeout(WAIT_S):
        while len(await written(config)) < at_least:  # noqa: ASYNC110  (waits for another process)
            await asyncio.sleep(0.2)


async def committed(config: Config) -> list[int | None]:
    """What the group has committed of the requests."""
    admin = await broker.connect(config.kafka)
    try:
        offsets = await admin.list_consumer_group_offsets(config.kafka.group)
    finally:
        await admin.close()
    found = {(tp.topic, tp.partition): known.offset for tp, known in offsets.items()}
    return [found.get((config.kafka.topic_prefix + REQUESTS, n)) for n in range(topics.PARTITIONS)]


@pytest.mark.kafka
def test_kill_9_a_join_and_a_leave_change_nothing(kafka: str, start: Callable[[Config], Program]) -> None:
    """Ids and contents written are those of an undisturbed fold, and so is the state left behind."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        writing = asyncio.create_task(write_bursts(config, BURSTS))
        first = start(config)
        await until_written(config, 20)
        assert first.signalled(signal.SIGKILL) == -signal.SIGKILL
        second = start(config)
        await until_written(config, len(await written(config)) + 20)
        third = start(config)
        await third.until("assigned")
        await writing
        await write_bursts(config, 3)
        assert third.signalled(signal.SIGTERM) == 0, third.log.read_text()
        expected, stages = await undisturbed(config)
        await until_written(config, len(expected))
        assert await written(config) == expected
        assert second.signalled(signal.SIGTERM) == 0, second.log.read_text()
        await compare_state(config, stages, start)

    asyncio.run(scenario())


async def compare_state(config: Config, stages: list[ToyStage], start: Callable[[Config], Program]) -> None:
    """After a stop everything is durable; committed is what is durable, or less.

    A worker that stops while its group rebalances cannot commit. The next one to restore does it.
    """
    state = config.kafka.topic_prefix + REQUESTS + STATE
    for stage in stages:
        restored = await facts.read(config.kafka, state, stage.partition)
        assert restored.next == stage.applied
        assert dict(restored.facts) == {fact.subject: fact.state for fact in stage.changed()}
    applied = [stage.applied for stage in stages]
    for offset, limit in zip(await committed(config), applied, strict=True):
        assert (offset or 0) <= limit
    after = start(config)
    await after.until('"restored"', times=sum(offset > 0 for offset in applied))
    assert after.signalled(signal.SIGTERM) == 0, after.log.read_text()
    assert await committed(config) == [offset or None for offset in applied]


@pytest.mark.kafka
def test_a_zombie_that_wakes_spoils_nothing(kafka: str, start: Callable[[Config], Program]) -> None:
    """A worker that was stopped until it lost its partitions wakes, and no output and no state suffers."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        zombie = start(config)
        await write_bursts(config, 5)
        await until_written(config, 20)
        os.kill(zombie.process.pid, signal.SIGSTOP)
        owner = start(config)
        await write_bursts(config, 5)
        await owner.until("assigned")
        os.kill(zombie.process.pid, signal.SIGCONT)
        await write_bursts(config, 5)
        expected, stages = await undisturbed(config)
        await until_written(config, len(expected))
        assert owner.signalled(signal.SIGTERM) == 0, owner.log.read_text()
        assert zombie.signalled(signal.SIGTERM) == 0, zombie.log.read_text()
        assert await written(config) == expected
        await compare_state(config, stages, start)

    asyncio.run(scenario())


@pytest.mark.kafka
def test_without_the_lean_fetch_it_is_the_same(kafka: str, start: Callable[[Config], Program]) -> None:
    """The switch that leaves reading to aiokafka changes no output and no state."""
    config = fresh(kafka)
    config = structs.replace(config, kafka=structs.replace(config.kafka, lean_fetch=False))

    async def scenario() -> None:
        await topics.declare(config)
        worker = start(config)
        await write_bursts(config, 5)
        expected, stages = await undisturbed(config)
        await until_written(config, len(expected))
        assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
        assert await written(config) == expected
        await compare_state(config, stages, start)

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


@pytest.mark.kafka
def test_state_that_was_deleted_is_made_anew_from_the_log(kafka: str, start: Callable[[Config], Program]) -> None:
    """Also where the group has committed all of it, and no new record comes to show the gap."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        first = start(config)
        await write_bursts(config, 5)
        expected, stages = await undisturbed(config)
        await until_written(config, len(expected))
        assert first.signalled(signal.SIGTERM) == 0, first.log.read_text()
        admin = await broker.connect(config.kafka)
        state = config.kafka.topic_prefix + REQUESTS + STATE
        await admin.delete_topics([state])
        async with asyncio.timeout(WAIT_S):
            while state in await admin.list_topics():  # noqa: ASYNC110  (waits for the broker)
                await asyncio.sleep(0.1)
        await admin.close()
        await topics.declare(config)
        second = start(config)
        async with asyncio.timeout(WAIT_S):
            while len(await read_topic(config.kafka, COMMANDS)) < 2 * len(expected):  # noqa: ASYNC110  (see above)
                await asyncio.sleep(0.2)
        assert second.signalled(signal.SIGTERM) == 0, second.log.read_text()
        assert await written(config) == expected
        await compare_state(config, stages, start)

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


@pytest.mark.kafka
def test_a_worker_says_how_it_is(kafka: str, start: Callable[[Config], Program]) -> None:
    """Healthy and ready once everything is restored, with metrics; SIGHUP keeps it running."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        worker = start(config)
        listening = await worker.until('"event": "listening"')
        url = f"http://127.0.0.1:{msgspec.json.decode(listening)['port']}"
        async with aiohttp.ClientSession() as session, asyncio.timeout(WAIT_S):
            await until_served(session, f"{url}/-/ready", "ready")
            os.kill(worker.process.pid, signal.SIGHUP)
            await until_served(session, f"{url}/metrics", 'tidegate_reloads_total{outcome="kept"} 1.0')
            assert await fetch(session, f"{url}/-/healthy") == (200, "healthy\n")
        assert worker.signalled(signal.SIGINT) == 0, worker.log.read_text()

    asyncio.run(scenario())


async def until_served(session: aiohttp.ClientSession, url: str, text: str) -> None:
    """Wait until a line of the answer is the text."""
    while text not in (await fetch(session, url))[1].splitlines():  # noqa: ASYNC110  (in another process)
        await asyncio.sleep(0.1)


async def fetch(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.kafka
def test_a_bug_in_the_core_stops_the_worker_before_it_is_passed(kafka: str, start: Callable[[Config], Program]) -> None:
    """Exit code 1, the place in the log, and nothing durable beyond it: a repaired worker reads it again."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        producer = broker.new_producer(config.kafka)
        await producer.start()
        await producer.send_and_wait(config.kafka.topic_prefix + REQUESTS, b"bug", partition=0)
        await producer.stop()
        worker = start(config)
        assert worker.process.wait(WAIT_S) == 1
        log = worker.log.read_text()
        assert '"first_offset": 0' in log
        assert '"topic": "inference.requests.v1"' in log
        assert await committed(config) == [None] * topics.PARTITIONS
        restored = await facts.read(config.kafka, config.kafka.topic_prefix + REQUESTS + STATE, 0)
        assert restored.position is None

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


@pytest.mark.kafka
def test_a_worker_ends_when_one_of_many_states_cannot_be_read(kafka: str, start: Callable[[Config], Program]) -> None:
    """What the others would commit is left to the next owner: the thread that would do it is gone by then."""
    config = fresh(kafka)

    async def scenario() -> None:
        await topics.declare(config)
        state = config.kafka.topic_prefix + REQUESTS + STATE
        writer = facts.Writer({}, facts.new_writer(), ToyStage.state_format)
        producer = broker.new_producer(config.kafka)
        await producer.start()
        for number in range(topics.PARTITIONS - 1):
            await producer.send(state, *reversed(writer.row(facts.PARTITION, 7, b"\x07")), partition=number)
        await producer.send(state, b"of another program", b"\0w@7", partition=topics.PARTITIONS - 1)
        await producer.stop()
        worker = start(config)
        assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 1
        assert "of format None" in worker.log.read_text().splitlines()[-1]

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


@pytest.mark.kafka
def test_missing_topics_are_one_clear_message(kafka: str, start: Callable[[Config], Program]) -> None:
    """It names the topics and the command that makes them; no traceback."""
    config = fresh(kafka)
    worker = start(config)
    assert worker.process.wait(WAIT_S) == 1
    log = worker.log.read_text()
    assert config.kafka.topic_prefix + FINDINGS in log
    assert "tidegate topics create" in log
    assert "Traceback" not in log


def test_a_broker_that_is_away_is_one_clear_message() -> None:
    """It names the address and how long was waited."""
    with socket.socket() as held:  # bound and not listening: nobody answers here
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(broker.BrokerUnreachable, match=f"{address} within 1 s"):
            asyncio.run(broker.connect(Kafka(bootstrap_servers=address), patience_s=1.2))


def test_a_reload_that_comes_too_early_is_no_harm(tmp_path: Path) -> None:
    """A worker that still waits for its broker survives SIGHUP."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        worker = Program(toy(toy_config(f"127.0.0.1:{held.getsockname()[1]}", "t.")), tmp_path, WAIT_S)
        try:
            asyncio.run(worker.until("broker away"))
            os.kill(worker.process.pid, signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(0.5)
        finally:
            worker.close()


@pytest.mark.kafka
def test_a_broker_that_crashes_and_comes_back_loses_nothing(
    new_kafka: Callable[[], LocalKafka], start: Callable[[Config], Program]
) -> None:
    """The worker goes on where it was; when the broker is gone for good it still stops within seconds."""
    server = new_kafka()
    config = fresh(server.address)

    async def scenario() -> None:
        await topics.declare(config)
        worker = start(config)
        writing = asyncio.create_task(write_bursts(config, 20, 0.1))
        await until_written(config, 20)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await writing
        await write_bursts(config, 3)
        expected, stages = await undisturbed(config)
        await until_written(config, len(expected))
        assert await written(config) == expected
        assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
        await compare_state(config, stages, start)
        worker = start(config)
        await worker.until('"assigned"')
        await write_bursts(config, 10)  # something is always about to be committed
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(1.5)
        begun = time.monotonic()
        os.kill(worker.process.pid, signal.SIGTERM)
        await asyncio.to_thread(worker.process.wait, WAIT_S)
        assert time.monotonic() - begun < STOP_S

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


def test_an_unusable_certificate_is_one_clear_message(tmp_path: Path) -> None:
    """It names the file; a locked key is an error, and never a question to a terminal."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(broker.CertificateUnusable, match=r"ca_file '.*ca\.pem'"):
        broker.tls(Security(protocol="SSL", ca_file=str(file)))


def test_partition_counts_that_do_not_match_are_named() -> None:
    """A state topic has its source's partitions, and the findings have one."""
    config = Config()
    found = {topic.name: topic.partitions for topic in topics.needed(config)}
    assert topics.problems(config, found) == []
    found[REQUESTS] = 8
    found[FINDINGS] = 2
    wrong = "; ".join(topics.problems(config, found))
    assert f"{FINDINGS} has 2 partitions and must have exactly 1" in wrong
    assert f"{REQUESTS}{STATE} has 4 partitions and must have 8" in wrong


@pytest.mark.kafka
def test_a_state_topic_follows_its_source(kafka: str) -> None:
    """Partitions that an input got meanwhile are missed at the next start, and added by declaring the topics again."""
    config = fresh(kafka)
    source = config.kafka.topic_prefix + REQUESTS

    async def scenario() -> None:
        await topics.declare(config)
        admin = await broker.connect(config.kafka)
        await admin.create_partitions({source: NewPartitions(topics.PARTITIONS + 2)})
        await admin.close()
        wrong = ""
        while not wrong:  # until the broker tells of them
            try:
                await topics.verify(config)
            except topics.TopicsWrong as error:
                wrong = str(error)
        assert f"{source}{STATE} has 4 partitions and must have 6" in wrong
        declared = {topic.name: topic.partitions for topic, _ in await topics.declare(config)}
        assert declared[source + STATE] == declared[source] == topics.PARTITIONS + 2
        await topics.verify(config)

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


ALREADY_OPEN = """
import asyncio, sys
from streams import logs, worker
from streams.stages import build_stage
from tests.streams.toy import toy_config

logs.configure()
owner = worker.build(toy_config("127.0.0.1:9", "t."), build_stage)
owner.opened = lambda: asyncio.sleep(0)
sys.exit(worker.execute(owner))
"""


def test_a_broker_that_goes_while_a_worker_starts_is_named_as_the_reason(start_program: Starter) -> None:
    """It answered when the topics were checked; nobody is to read "None"."""
    program = start_program(sys.executable, "-c", ALREADY_OPEN)
    assert program.process.wait(WAIT_S) == 1
    (stopped,) = [line for line in program.lines() if '"event": "stopped"' in line]
    assert '"reason": "no Kafka broker answered: ' in stopped
