"""A cluster as operators see it: topics with what a worker and executors wrote, the verbs, and who answers them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.admin import NewTopic
from typer.testing import CliRunner

from actions import ActionFold, passed_on
from detectors import SETTINGS
from schemas.config import Config
from schemas.orders import Order
from schemas.outputs import Alert, Command, Finding, Result
from schemas.signatures import PrivateKey
from schemas.topics import ALERTS, APPROVALS, COMMANDS, RESULTS
from streams import broker, configuration
from streams.cli import app
from streams.errors import TidegateError
from tests.running import WAIT_S, read_all

COMMAND_PARTITIONS: Final = 3
Said = Command | Result | Order | Alert
Reply = Callable[[Order], Sequence[Said]]
_TOPICS: Final = {Command: COMMANDS, Result: RESULTS, Order: APPROVALS, Alert: ALERTS}


class Done(NamedTuple):
    """How a verb ended. `error` is what the program prints to a person."""

    code: int
    out: str
    error: str

    @property
    def objects(self) -> list[Any]:
        assert self.code == 0, self.error
        return [json.loads(line) for line in self.out.splitlines()]


class Worker:
    """The action stage itself, without the rest of the worker: it hears findings and orders, and signs commands."""

    def __init__(self, cluster: Cluster) -> None:
        self._config, self._key = cluster.config, cluster.worker
        self._fold = ActionFold(cluster.config)
        self._heard = 0

    def find(self, finding: Finding) -> list[Said]:
        """What comes of a finding."""
        return [self._signed(one) for one in self._fold.apply(finding, None)]

    def __call__(self, order: Order) -> list[Said]:
        """What comes of an order."""
        self._heard += 1
        heard = passed_on.pass_on(order, time.time_ns() // 1000, self._heard, self._config)
        if heard is None:
            return []
        return self.find(heard) if isinstance(heard, Finding) else [heard]

    def _signed(self, said: Said) -> Said:
        return self._key.sign(said) if isinstance(said, Command) and said.held is None else said


class Cluster:
    """Topics of its own, and a configuration file in a folder, with two people who may approve."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self.folder = folder
        self.worker = PrivateKey.generate()
        self.keys = {name: PrivateKey.generate() for name in ("alice", "bob")}
        for name, key in self.keys.items():
            (folder / f"{name}.key").write_text(key.pem().reveal(), encoding="utf-8")
            (folder / f"{name}.key").chmod(0o600)
        self.file = folder / "tidegate.yaml"
        self._settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": kafka, "topic_prefix": prefix},
            "operators": {name: {"public_key": str(key.public)} for name, key in self.keys.items()},
            "signing": {"trusted": [str(self.worker.public)]},
        }
        self._answered: set[str] = set()
        self.configure()
        asyncio.run(self._declare())

    def configure(self, **sections: Any) -> None:
        self.file.write_text(json.dumps({**self._settings, **sections}), encoding="utf-8")
        self.config: Config = configuration.load(self.file, SETTINGS, {})

    def run(self, *arguments: str, reply: Reply | None = None) -> Done:
        """A verb of the command line; `reply` says what a worker writes about each order."""
        return asyncio.run(asyncio.wait_for(self._run(arguments, reply), WAIT_S))

    def by(self, name: str) -> tuple[str, ...]:
        """The options with which somebody speaks."""
        return ("--key", str(self.folder / f"{name}.key"), "--why", "because")

    def write(self, *said: Said) -> None:
        asyncio.run(self._write(said))

    def orders(self) -> list[Order]:
        """Everything that operators have said."""
        return asyncio.run(self._orders())

    async def _run(self, arguments: tuple[str, ...], reply: Reply | None) -> Done:
        answering = None if reply is None else asyncio.create_task(self._answer(reply))
        try:
            return await asyncio.to_thread(self._invoke, arguments)
        finally:
            if answering is not None:
                answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering

    def _invoke(self, arguments: tuple[str, ...]) -> Done:
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.file)])
        error = done.exception
        if isinstance(error, TidegateError):
            return Done(error.exit_code, done.stdout, f"{done.stderr}{error}")
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Done(done.exit_code, done.stdout, done.stderr)

    async def _declare(self) -> None:
        admin = await broker.connect(self.config.kafka)
        prefix = self.config.kafka.topic_prefix
        try:
            made: Callable[..., Any] = NewTopic
            topics = [made(prefix + name, 1, 1) for name in (RESULTS, APPROVALS, ALERTS)]
            await admin.create_topics([*topics, made(prefix + COMMANDS, COMMAND_PARTITIONS, 1)])
        finally:
            await admin.close()

    async def _with_producer(self, work: Callable[[Any], Awaitable[None]]) -> None:
        producer = broker.new_producer(self.config.kafka)
        await producer.start()
        try:
            await work(producer)
        finally:
            await producer.stop()

    async def _write(self, said: Sequence[Said]) -> None:
        async def all_of_it(producer: Any) -> None:
            for one in said:
                await self._send(producer, one)

        await self._with_producer(all_of_it)

    async def _send(self, producer: Any, said: Said) -> None:
        key = (getattr(said, "endpoint", None) or "tidegate").encode()
        topic = self.config.kafka.topic_prefix + _TOPICS[type(said)]
        await producer.send_and_wait(topic, msgspec.json.encode(said), key)

    async def _answer(self, reply: Reply) -> None:
        """What a worker does: hears each order once it is in the log, and says what comes of it."""
        consumer = broker.new_consumer(self.config.kafka, auto_offset_reset="earliest")
        consumer.subscribe([self.config.kafka.topic_prefix + APPROVALS])
        await consumer.start()
        try:

            async def answer(producer: Any) -> None:
                async for record in consumer:
                    order = msgspec.json.decode(record.value, type=Order)
                    for one in () if order.id in self._answered else reply(order):
                        await self._send(producer, one)
                    self._answered.add(order.id)

            await self._with_producer(answer)
        finally:
            await consumer.stop()

    async def _orders(self) -> list[Order]:
        return [msgspec.json.decode(one.value, type=Order) for one in await read_all(self.config.kafka, APPROVALS, 0)]
