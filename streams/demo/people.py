"""The two persons of the demo who are asked: each has a key, and says yes a moment after the question."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from schemas.orders import Order, Verb
from schemas.outputs import Command, Held, Id
from schemas.signatures import PrivateKey
from schemas.topics import APPROVALS
from schemas.units import US, from_rfc3339
from streams.operate.identity import Speaker
from streams.operate.speaking import new_order
from streams.simulator import Emitted

WHY: Final = "the surge is real, and more replicas would not pay"


class Person(NamedTuple):
    """Who they are, and how long they think."""

    speaker: Speaker
    thinks_s: float


class People:
    """Asked by every command that awaits approval. Time is a parameter, in microseconds."""

    def __init__(self) -> None:
        thinking = {"alice": 1.0, "bob": 2.0}
        self.persons = [Person(Speaker(name, PrivateKey.generate()), s) for name, s in thinking.items()]
        self._asked: set[Id] = set()
        self._to_say: list[tuple[int, Person, Command]] = []

    def operators(self) -> dict[str, dict[str, str]]:
        """The section `operators` of the configuration."""
        keys = {person.speaker.name: person.speaker.key for person in self.persons}
        return {name: {"public_key": str(key.public)} for name, key in keys.items() if key is not None}

    def hear(self, command: Command, now_us: int) -> None:
        """Whatever is commanded; only what waits for approval is a question, and only once."""
        if command.held is not Held.AWAITING_APPROVAL or command.id in self._asked:
            return
        self._asked.add(command.id)
        self._to_say += [(now_us + round(person.thinks_s * US), person, command) for person in self.persons]

    def say(self, now_us: int) -> list[Emitted]:
        """What they have decided by now, as records for the topic of approvals."""
        due = [each for each in self._to_say if each[0] <= now_us]
        self._to_say = [each for each in self._to_say if each[0] > now_us]
        return [_record(_approve(person, command, now_us), command) for _, person, command in due]


def _approve(person: Person, command: Command, now_us: int) -> Order:
    return new_order(person.speaker, Verb.APPROVE, WHY, now_us, command_id=command.id)


def _record(order: Order, command: Command) -> Emitted:
    return Emitted(from_rfc3339(order.at), APPROVALS, command.endpoint.encode(), msgspec.json.encode(order))
