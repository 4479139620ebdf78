"""What the action stage remembers, as plain data, and how it is written down and read back.

Two kinds of subject: an episode's line, `(rule, subject)`, and an endpoint. Whoever changes one calls
`line` or `place` first, which notes what it was. `changed` writes both what it is and what it was at the
call before, with the number of findings applied (`step`). The limits are shared by all subjects, so facts
and position must be of one moment: a fact from beyond the position (the process died while it wrote them)
is read as what it was before.

Bounded: once an hour of event time, what was silent for 24 hours and has nothing in force is forgotten.
Findings as old as what was forgotten, about subjects that are not known, are then taken for repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from actions.brakes import Brake
from schemas.outputs import Id, Mode, Severity
from schemas.units import HOUR_US

KEPT_US: Final = 24 * HOUR_US

Key = tuple[str, ...]


class Line(Struct, array_like=True):
    """How far the episodes of one rule and subject have been followed.

    Starts as one that nothing was heard of.
    """

    episode: Id = ""
    opened_us: int = -1
    at_us: int = -1
    seen: tuple[Id, ...] = ()  # the findings at exactly `at_us`
    severity: Severity = Severity.INFO  # the highest that was told
    open: bool = False
    told: tuple[tuple[str, str, str], ...] = ()  # (endpoint, action, reason) of the held commands published


class Place(Struct, array_like=True):
    """One endpoint: when it was last heard of and commanded, and what is in force."""

    seen_us: int = -1
    commanded_us: dict[Mode, int] = field(default_factory=dict)  # the last in each mode
    brakes: tuple[Brake, ...] = ()


class Shared(Struct, array_like=True):
    """What belongs to no one subject."""

    step: int = 0  # findings applied
    time_us: int = -1  # the largest event time
    forgotten_us: int = -1  # the last finding of any line that was forgotten
    recent: tuple[tuple[Mode, int], ...] = ()  # when commands were issued, of the last hour


class Fact(Struct, array_like=True):
    """One subject as of `step`, and as of the fact before; None: nothing to remember."""

    step: int
    now: bytes | None
    earlier: bytes | None


class Memory:
    """All of the state, and the notes of what changed since it was last written down."""

    def __init__(self) -> None:
        self.shared = Shared()
        self.lines: dict[Key, Line] = {}
        self.places: dict[Key, Place] = {}
        self._braked: set[str] = set()
        self._earlier: dict[Key, bytes | None] = {}

    def line(self, rule: str, subject: str) -> Line:
        """The line, to be changed."""
        key = ("episode", rule, subject)
        self._note(key)
        return self.lines.setdefault(key, Line())

    def place(self, endpoint: str) -> Place:
        """The endpoint, to be changed; its brakes through `brake` alone."""
        key = ("endpoint", endpoint)
        self._note(key)
        return self.places.setdefault(key, Place())

    def brake(self, endpoint: str, brakes: Iterable[Brake]) -> None:
        """Say what is in force on the endpoint."""
        place = self.place(endpoint)
        place.brakes = tuple(brakes)
        (self._braked.add if place.brakes else self._braked.discard)(endpoint)

    def peek_line(self, rule: str, subject: str) -> Line:
        return self.lines.get(("episode", rule, subject), Line())

    def peek_place(self, endpoint: str) -> Place:
        return self.places.get(("endpoint", endpoint), Place())

    def in_force(self) -> list[tuple[str, Brake]]:
        """Every brake with its endpoint, in an order that no history can change."""
        return [(name, brake) for name in sorted(self._braked) for brake in self.peek_place(name).brakes]

    def endpoints(self) -> set[str]:
        return {key[1] for key in self.places}

    def advance(self, at_us: int) -> list[tuple[Key, Line]]:
        """Move the stage's event time, and forget at each full hour: the lines forgotten with an open episode."""
        was_us, self.shared.time_us = self.shared.time_us, max(self.shared.time_us, at_us)
        hour_ago_us = self.shared.time_us - HOUR_US
        self.shared.recent = tuple(issued for issued in self.shared.recent if issued[1] > hour_ago_us)
        if was_us // HOUR_US == self.shared.time_us // HOUR_US:
            return []
        return self._forget(self.shared.time_us - KEPT_US)

    def changed(self) -> list[tuple[bytes, bytes]]:
        """(subject, state) of what changed since the last call.

        A subject that was forgotten has a state, too.
        """
        facts = [(msgspec.json.encode(key), self._fact(key, was)) for key, was in self._earlier.items()]
        self._earlier.clear()
        return facts

    def position(self) -> bytes:
        return _packed(self.shared)

    def restore(self, position: bytes, facts: Sequence[tuple[bytes, bytes]]) -> None:
        """Become what was written.

        Several facts of a subject may be given: the newest below the position counts.
        """
        self.shared = msgspec.msgpack.decode(position, type=Shared)
        newest: dict[Key, Fact] = {}
        for name, state in facts:
            key, fact = msgspec.json.decode(name, type=Key), msgspec.msgpack.decode(state, type=Fact)
            if key not in newest or self._rank(fact) > self._rank(newest[key]):
                newest[key] = fact
        for key, fact in newest.items():
            self._take(key, fact)

    def _fact(self, key: Key, was: bytes | None) -> bytes:
        return _packed(Fact(self.shared.step, self._now(key), was))

    def _take(self, key: Key, fact: Fact) -> None:
        torn = fact.step > self.shared.step
        state = fact.earlier if torn else fact.now
        if torn:
            self._earlier[key] = None if state is None else bytes(state)  # so that the next checkpoint mends it
        if state is None:
            return
        if key[0] == "episode":
            self.lines[key] = msgspec.msgpack.decode(state, type=Line)
            return
        self.places[key] = place = msgspec.msgpack.decode(state, type=Place)
        if place.brakes:
            self._braked.add(key[1])

    def _rank(self, fact: Fact) -> int:
        return fact.step if fact.step <= self.shared.step else -fact.step

    def _forget(self, until_us: int) -> list[tuple[Key, Line]]:
        held = {claim.episode for _, brake in self.in_force() for claim in brake.claims}
        silent = [
            (key, line)
            for key, line in sorted(self.lines.items(), key=lambda item: item[0])
            if line.at_us < until_us and line.episode not in held
        ]
        for key, line in silent:
            self._drop(key)
            self.shared.forgotten_us = max(self.shared.forgotten_us, line.at_us)
        for key, place in list(self.places.items()):
            if not place.brakes and max((place.seen_us, *place.commanded_us.values())) < until_us:
                self._drop(key)
        return [(key, line) for key, line in silent if line.open]

    def _drop(self, key: Key) -> None:
        self._note(key)
        self.lines.pop(key, None)
        self.places.pop(key, None)

    def _note(self, key: Key) -> None:
        if key not in self._earlier:
            self._earlier[key] = self._now(key)

    def _now(self, key: Key) -> bytes | None:
        state = self.lines.get(key) or self.places.get(key)
        return None if state is None else _packed(state)


def _packed(state: Struct) -> bytes:
    return msgspec.msgpack.encode(state)
