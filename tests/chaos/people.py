"""Persons and an executor: what they write about the commands that workers write.

Two persons approve, reject, roll back and pause, at times with a forged word, at times twice; and the executor says of
commands that it has verified them, or failed. Whom that reaches, and when, is the campaign's to disturb.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from actions.docket.telling import Said, Subject, Voice, state_of
from schemas.config import Config
from schemas.orders import Order, Verb, seal
from schemas.outputs import Command, Held, State
from schemas.signatures import PrivateKey
from schemas.topics import APPROVALS, COMMANDS, RESULTS
from schemas.units import rfc3339
from streams import broker
from streams.topics import PARTITIONS
from tests.chaos.load import Message

PERSONS: Final = ("alice", "bob")
EXECUTOR: Final = "dry"
PAUSE_EVERY_S: Final = 12.0
PAUSED_S: Final = 2.0
AGAIN_S: Final = 1.0
POLL_MS: Final = 200
CLOSE_S: Final = 5.0
TWICE: Final = 0.1
FAILED: Final = 0.15
SILENT, BY_ONE, REJECTED, FORGED = 0.1, 0.25, 0.4, 0.5  # of what is asked; the rest is approved by both
ROLLED_BACK: Final = 0.05
BAD_ORDER: Final = Message(APPROVALS, b"nobody", b'{"verb": "approve", "who": ')
SECTIONS: Final = """
signing: {{key_file: "{key_file}"}}
operators: {{alice: {{public_key: "{alice}"}}, bob: {{public_key: "{bob}"}}}}
executors: {{dry: {{type: dry_run}}}}
approvals:
  - {{endpoints: ["*[02468ace]"], approve: {{persons: 2, within: 30d, otherwise: reject}}}}
  - {{endpoints: ["*[13]"], approve: {{persons: 1, within: 1h, otherwise: issue}}}}
  - {{approve: auto}}
"""


class Keys(NamedTuple):
    """Of each person; the worker's own is in a file."""

    persons: dict[str, PrivateKey]
    key_file: Path

    @classmethod
    def new(cls, folder: Path) -> Keys:
        file = folder / "worker.key"
        file.write_text(PrivateKey.generate().pem().reveal())
        file.chmod(0o600)
        return cls({name: PrivateKey.generate() for name in PERSONS}, file)

    def sections(self) -> str:
        """The part of the configuration that names them."""
        return SECTIONS.format(key_file=self.key_file, **{name: str(key.public) for name, key in self.persons.items()})


class Replies:
    """What is said of each command, once, drawn from the seed. `now_us` is the wall clock's."""

    def __init__(self, keys: Keys, seed: int) -> None:
        self._keys, self._seen = keys, set[str]()
        self._rng = random.Random(f"people {seed}")  # noqa: S311 -- no secret

    def to(self, command: Command, now_us: int) -> Iterator[Message]:
        """Some messages are there twice."""
        if command.id in self._seen:
            return
        self._seen.add(command.id)
        for message in self._about(command, now_us):
            yield message
            if self._rng.random() < TWICE:
                yield message

    def of_the_kill_switch(self, *, on: bool, now_us: int) -> Message:
        return _message(self._order(Verb.PAUSE if on else Verb.RESUME, "alice", now_us))

    def _about(self, command: Command, now_us: int) -> Iterable[Message]:
        if command.held is Held.AWAITING_APPROVAL:
            return self._answered(command, now_us)
        if command.held is None:
            return self._carried_out(command, now_us)
        return ()

    def _answered(self, command: Command, now_us: int) -> Iterator[Message]:
        chance, about = self._rng.random(), {"command_id": command.id}
        if chance < SILENT:
            return
        if chance < BY_ONE:
            yield _message(self._order(Verb.APPROVE, "bob", now_us, **about))
        elif chance < REJECTED:
            yield _message(self._order(Verb.REJECT, "bob", now_us, **about))
        elif chance < FORGED:
            yield _message(msgspec.structs.replace(self._order(Verb.APPROVE, "bob", now_us, **about), who="alice"))
            yield BAD_ORDER
        else:
            for person in PERSONS:
                yield _message(self._order(Verb.APPROVE, person, now_us, **about))

    def _carried_out(self, command: Command, now_us: int) -> Iterator[Message]:
        state = State.FAILED if self._rng.random() < FAILED else State.VERIFIED
        told = state_of(Subject.of(command), state, Voice(EXECUTOR, now_us), Said("as the campaign wants it"))
        yield Message(RESULTS, command.endpoint.encode(), msgspec.json.encode(told))
        if self._rng.random() < ROLLED_BACK:
            yield _message(self._order(Verb.ROLLBACK, "bob", now_us, command_id=command.id))

    def _order(self, verb: Verb, who: str, now_us: int, **fields: Any) -> Order:
        given = Order(id="0" * 32, verb=verb, who=who, why="chaos", at=rfc3339(now_us), **fields)
        return self._keys.persons[who].sign(seal(given))


class People:
    """Reads commands, and writes what is said of them until it is in the log."""

    def __init__(self, config: Config, keys: Keys, seed: int) -> None:
        self.written = 0
        self._config, self._replies = config, Replies(keys, seed)

    async def run(self, stopped: asyncio.Event) -> None:
        """Until told to stop; a broker that is away is waited for."""
        while not stopped.is_set():
            with suppress(KafkaError, TimeoutError):
                await self._talk(stopped)
            await asyncio.sleep(AGAIN_S)

    async def _talk(self, stopped: asyncio.Event) -> None:
        kafka = self._config.kafka
        consumer = broker.new_consumer(kafka, auto_offset_reset="earliest")
        producer = broker.new_producer(kafka, acks="all", enable_idempotence=True)
        try:
            await consumer.start()
            await producer.start()
            consumer.assign([TopicPartition(kafka.topic_prefix + COMMANDS, n) for n in range(PARTITIONS)])
            await asyncio.gather(self._answer(consumer, producer, stopped), self._pause(producer, stopped))
        finally:
            for client in (consumer, producer):
                with suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(client.stop(), CLOSE_S)

    async def _answer(self, consumer: Any, producer: Any, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    command = msgspec.json.decode(record.value, type=Command)
                    for message in self._replies.to(command, time.time_ns() // 1000):
                        await self._write(producer, message)

    async def _pause(self, producer: Any, stopped: asyncio.Event) -> None:
        """Now and then, for a moment."""
        on = False
        while not stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), PAUSED_S if on else PAUSE_EVERY_S)
            on = not on
            await self._write(producer, self._replies.of_the_kill_switch(on=on, now_us=time.time_ns() // 1000))

    async def _write(self, producer: Any, message: Message) -> None:
        topic = self._config.kafka.topic_prefix + message.topic
        await producer.send_and_wait(topic, message.value, message.key)
        self.written += 1


def _message(order: Order) -> Message:
    return Message(APPROVALS, order.who.encode(), msgspec.json.encode(order))
