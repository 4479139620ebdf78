"""Over TLS, with passwords and rights, on a real Kafka: each process can do what it must, and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from msgspec import structs
from typer.testing import CliRunner, Result

from schemas import topics
from schemas.config import Config, Kafka, Secret
from schemas.outputs import State
from streams import acl, broker, rights
from streams.acl import Operation, Process, Right
from streams.broker import BrokerUnreachable
from streams.cli import app
from streams.knock import NotLetIn
from streams.log_reader import LogReader, LogUnreadable
from streams.topics import NotAllowed, TopicsWrong, needed, verify
from tests import planted
from tests.running import TIDEGATE, WAIT_S, Message, Starter, read_all, until
from tests.secure_kafka import ADMIN, EXECUTOR, STRANGER, Authority, Cluster

T = TypeVar("T")

ENDPOINT: Final = "acme/runaway"
FOREIGN: Final = [  # what would let one process act as another
    (Process.OPERATOR, topics.COMMANDS),
    (Process.EXECUTE, topics.FINDINGS),
    (Process.EXECUTE, topics.COMMANDS),
    (Process.ALERT, topics.RESULTS),
    (Process.VIEWER, topics.APPROVALS),
    (Process.INPUT, topics.FINDINGS),
    (Process.WORKER, topics.APPROVALS),
]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Within the time that every test has."""

    async def to_its_end() -> T:
        try:
            return await asyncio.wait_for(scenario, WAIT_S)
        finally:
            await asyncio.sleep(0.1)  # aiokafka does not wait until connections that failed are closed

    return asyncio.run(to_its_end())


async def connect(kafka: Kafka) -> None:
    """As every process begins."""
    admin = await broker.connect(kafka, patience_s=0.1)
    await admin.close()


async def send(config: Config, *messages: Message) -> None:
    """Write as this user."""
    may_write = config.kafka.security.username != Process.VIEWER
    made = broker.new_producer(config.kafka, enable_idempotence=may_write)  # who writes nothing is given no sequence
    try:
        await made.start()
        for message in messages:
            await made.send_and_wait(message.topic, message.value, message.key)
    finally:
        await made.stop()


async def allowed(config: Config, asked: list[Right]) -> set[Right]:
    """Which of these rights the broker says a user has."""
    admin = await broker.connect(config.kafka)
    try:
        return set(asked) - set((await rights.look(admin, asked)).lacking)
    finally:
        await admin.close()


@pytest.mark.parametrize("process", Process)
def test_a_process_has_the_rights_of_the_table_and_no_others(cluster: Cluster, process: Process) -> None:
    """Of every operation on every topic and group the broker allows each user exactly those of its process."""
    config = cluster.config(process)
    mine = acl.rights(config, process, EXECUTOR)
    of_all = {right for role in acl.roles(config) for right in acl.rights(config, *role)}
    names = [topic.name for topic in needed(config)]
    asked = {right for right in of_all if right.kind == "group" or right.name in names}
    asked |= {Right(operation, "topic", name) for operation in Operation for name in names}
    assert run(allowed(config, sorted(asked))) == asked & set(mine)


def test_with_their_rights_all_get_from_events_to_a_verified_command(cluster: Cluster, start_program: Starter) -> None:
    """Collector, worker, executor, operator and viewer, each its own user, over TLS; and no secret leaves any of them.

    Their configuration has one in every place; logs, metrics and every record of every topic are searched.
    """
    worker = start_program(*TIDEGATE, "run", "--config", str(cluster.file(Process.WORKER)))
    executing = ("execute", "--executor", EXECUTOR, "--config", str(cluster.file(Process.EXECUTE)))
    executor = start_program(*TIDEGATE, *executing)

    async def scenario() -> list[str]:
        await send(cluster.config(Process.INPUT), *runaway(), Message(topics.REQUESTS, b"a/b", b"no event"))
        await until(lambda: carried_out(cluster))
        paused = await asyncio.to_thread(operate, cluster, Process.OPERATOR, "pause-actions", "--why", "a test")
        assert paused.exit_code == 0, paused
        return [paused.output, *await everything(cluster.config(ADMIN)), await metrics(await worker.until("listening"))]

    told = run(scenario())
    assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
    assert executor.signalled(signal.SIGTERM) == 0, executor.log.read_text()
    lines = [*worker.lines(), *executor.lines()]
    assert {json.loads(line)["level"] for line in lines} == {"info"}, lines  # all is allowed that they ask for
    assert planted.found([*told, *lines]) == []


def operate(cluster: Cluster, user: Process, *verb: str) -> Result:
    """What a person sees who works with the rights of this user."""
    return CliRunner().invoke(app, [*verb, "--config", str(cluster.file(user))])


def test_a_viewer_sees_everything_and_changes_nothing(cluster: Cluster) -> None:
    """The status is theirs to read; an order is refused by the broker, and the message names the topic."""
    assert operate(cluster, Process.VIEWER, "status").exit_code == 0
    paused = operate(cluster, Process.VIEWER, "pause-actions", "--why", "a test")
    assert f"TopicAuthorizationFailedError: {topics.APPROVALS}" in str(paused.exception)


def runaway() -> list[Message]:
    """An endpoint with more replicas than expected."""
    event = {"endpoint": ENDPOINT, "ready_replicas": 40, "target_replicas": 40}
    times = (time.time(), time.time() + 1)
    return [Message(topics.SCALING, ENDPOINT.encode(), json.dumps({**event, "time": at}).encode()) for at in times]


async def carried_out(cluster: Cluster) -> bool:
    """Whether the viewer sees the command verified, and who looks after dead letters that one."""
    viewer, keeper = cluster.config(Process.VIEWER).kafka, cluster.config(Process.DEAD_LETTERS).kafka
    results = [json.loads(record.value) for record in await read_all(viewer, topics.RESULTS, 0)]
    letters = await read_all(keeper, topics.REQUESTS + topics.DEAD_LETTERS, 0)
    return bool(letters) and (ENDPOINT, State.VERIFIED) in [
        (told.get("endpoint"), told.get("state")) for told in results
    ]


async def everything(config: Config) -> list[str]:
    """Every record of every topic."""
    records = []
    places = [TopicPartition(topic.name, number) for topic in needed(config) for number in range(topic.partitions)]
    consumer = broker.new_consumer(config.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while [place for place in places if await consumer.position(place) < ends[place]]:
            records += [record for found in (await consumer.getmany(timeout_ms=200)).values() for record in found]
    finally:
        await consumer.stop()
    assert {record.topic for record in records} >= {topics.SCALING, topics.FINDINGS, topics.COMMANDS, topics.ALERTS}
    return [f"{record.key!r} {record.value!r} {record.headers!r}" for record in records]


async def metrics(listening: str) -> str:
    """What the worker tells whoever asks."""
    address = "http://{host}:{port}/metrics".format(**json.loads(listening))
    async with httpx.AsyncClient() as client:
        return (await client.get(address)).text


@pytest.mark.parametrize(("process", "topic"), FOREIGN)
def test_nobody_writes_what_is_anothers_to_say(cluster: Cluster, process: Process, topic: str) -> None:
    """The broker refuses the record, whatever the program."""
    with pytest.raises(TopicAuthorizationFailedError, match=topic):
        run(send(cluster.config(process), Message(topic, b"key", b"{}")))


def test_an_executor_does_its_work_with_its_rights(cluster: Cluster) -> None:
    """It takes commands in a group of its own, reads all results and writes some; another's group is closed to it."""
    config = cluster.config(Process.EXECUTE)

    async def take(group: str) -> None:
        consumer = broker.new_consumer(config.kafka, group_id=group, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.subscribe([topics.COMMANDS])
            await consumer.getmany(timeout_ms=10)
            await consumer.seek_to_beginning()
            await consumer.commit()
        finally:
            await consumer.stop()

    async def scenario() -> None:
        await take(f"tidegate.execute.{EXECUTOR}")
        await send(config, Message(topics.RESULTS, b"key", b"{}"))
        assert await read_all(config.kafka, topics.RESULTS, 0)
        with pytest.raises(GroupAuthorizationFailedError):
            await take("tidegate.alert")

    run(scenario())


def test_every_right_that_lacks_is_named_at_the_start(cluster: Cluster) -> None:
    """One message has the user, each operation and its topic or group; nothing is read before."""
    config = cluster.config(STRANGER)
    lacking = {Right(Operation.WRITE, "topic", topics.COMMANDS), Right(Operation.READ, "group", "tidegate")}
    granted = [right for right in acl.rights(config, Process.WORKER) if right not in lacking]
    with pytest.raises(NotAllowed, match=f"allow {STRANGER}: .*Read on topic {topics.REQUESTS}, "):
        run(verify(config))
    run(cluster.grant(STRANGER, granted))
    with pytest.raises(NotAllowed) as told:
        run(verify(config))
    assert str(told.value).startswith(
        f"Kafka does not allow {STRANGER}: Write on topic {topics.COMMANDS}, Read on group tidegate; "
    )


def test_who_may_not_see_a_topic_is_told_that_it_may_be_that(cluster: Cluster) -> None:
    """A broker hides what one may not see; so it is not said that the topic is missing, and no more."""

    async def scenario() -> None:
        async with LogReader(cluster.config(Process.INPUT).kafka) as reader:
            await reader.stretches([topics.COMMANDS])

    with pytest.raises(TopicsWrong, match=f"{topics.COMMANDS}; .* 'input' may not see"):
        run(scenario())


def test_who_may_not_read_a_topic_is_told_so(cluster: Cluster) -> None:
    """It may see it, as it may write it."""

    async def scenario() -> None:
        async with LogReader(cluster.config(Process.DEAD_LETTERS).kafka) as reader:
            for stretch in await reader.stretches([topics.SCALING]):
                async for _ in reader.records(stretch._replace(end=1)):
                    pass

    with pytest.raises(LogUnreadable, match=f"TopicAuthorizationFailedError.*{topics.SCALING}"):
        run(scenario())


MISTAKES: Final[dict[str, tuple[dict[str, Any], type[Exception], str]]] = {
    "wrong password": (
        {"password": Secret("planted-guess")},
        NotLetIn,
        "does not know the user 'worker' with this password",
    ),
    "unknown user": ({"username": "mallory"}, NotLetIn, "does not know the user 'mallory' with this password"),
    "another mechanism": ({"mechanism": "PLAIN"}, NotLetIn, "does not take kafka.security.mechanism PLAIN"),
    "no TLS": ({"protocol": "SASL_PLAINTEXT"}, BrokerUnreachable, "it hangs up on SASL_PLAINTEXT"),
    "nothing at all": ({"protocol": "PLAINTEXT"}, BrokerUnreachable, "it hangs up on PLAINTEXT"),
    "no password": ({"protocol": "SSL"}, BrokerUnreachable, "it hangs up on SSL"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_who_is_not_let_in_is_told_why(cluster: Cluster, mistake: str) -> None:
    """At once where the broker says so; and the password is not in the message."""
    change, kind, message = MISTAKES[mistake]
    kafka = cluster.config(Process.WORKER).kafka
    with pytest.raises(kind, match=message) as told:
        run(connect(structs.replace(kafka, security=structs.replace(kafka.security, **change))))
    assert planted.found([str(told.value)]) == []


def test_a_certificate_that_nobody_vouches_for_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """Before the password is sent; the message names the file of authorities that are believed."""
    other = tmp_path / "other.pem"
    other.write_text(Authority.new("somebody else").pem)
    kafka = cluster.config(Process.WORKER).kafka
    trusting = structs.replace(kafka, security=structs.replace(kafka.security, ca_file=str(other)))
    with pytest.raises(NotLetIn, match=r"not vouched for by .*other\.pem"):
        run(connect(trusting))


def test_a_program_that_is_not_let_in_says_so_in_one_line(cluster: Cluster, start_program: Starter) -> None:
    """No traceback, nothing of the libraries, no password, no waiting: exit code 1."""
    file = cluster.file(Process.WORKER, "planted-guess")
    worker = start_program(*TIDEGATE, "run", "--config", str(file))
    assert worker.process.wait(WAIT_S) == 1
    (line,) = worker.lines()
    assert "does not know the user 'worker'" in line
    assert planted.found([line]) == []
