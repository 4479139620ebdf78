"""What the action stage remembers, as plain data, and how it is written down and read back.

Two kinds of subject: an episode's line, `(rule, subject)`, and an endpoint. Whoever changes one calls `line` or
`place` first, which notes that it has changed, and that it was heard of.

Bounded: what was silent for 24 hours of the stage's event time, and has nothing in force, is forgotten. Findings as
old as what was forgotten, about subjects that are not known, are then taken for repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from actions.brakes import Brake, Reality
from schemas.outputs import Action, Id, Severity
from schemas.recency import Heard, Marks, Recency
from schemas.units import HOUR_US

KEPT_US: Final = 24 * HOUR_US
MOST_TOLD: Final = 500  # held commands of one episode that are told once; of more, the first may be told again

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
    told: tuple[tuple[str, str, str], ...] = ()  # (endpoint, action, reason) of the last held commands published
    refused: tuple[tuple[str, Action], ...] = ()  # (endpoint, action) that operators said no to


class Place(Struct, array_like=True):
    """One endpoint: when it was last heard of and commanded, and what is in force."""

    seen_us: int = -1
    commanded_us: dict[Reality, int] = field(default_factory=dict)  # the last of each kind
    brakes: tuple[Brake, ...] = ()
    recent: tuple[tuple[Reality, int], ...] = ()  # when commands were issued, of the hour before the last one
    replicas: int = 0  # that were told of last; while a brake is on, those before it
    unrestored: Id | None = None  # the restore that an executor could not carry out
    failed_us: dict[Action, int] = field(default_factory=dict)  # when an executor could not carry that out


class Pause(Struct, array_like=True, frozen=True):
    """The kill switch, as an operator turned it."""

    order_id: Id
    by: str
    why: str
    since_us: int
    until_us: int | None


class Shared(Struct, array_like=True):
    """What belongs to no one subject."""

    time_us: int = -1  # the largest event time
    forgotten_us: int = -1  # the last finding of any line that was forgotten
    recent: tuple[tuple[Reality, int], ...] = ()  # when commands were issued, of the last hour
    marks: Marks = field(default_factory=Marks)
    pause: Pause | None = None
    ordered_us: int = -1  # by its own clock, the last order that turned the kill switch
    heard: dict[str, int] = field(default_factory=dict)  # of what is passed on: rule -> the last offset in its topic


class Fact(Struct, array_like=True):
    """One subject: when it was heard of last, and its `Line` or `Place`."""

    heard: Heard
    state: msgspec.Raw


class Memory:
    """All of the state, and what of it changed since it was last written down."""

    def __init__(self) -> None:
        self.shared = Shared()
        self.lines: dict[Key, Line] = {}
        self.places: dict[Key, Place] = {}
        self._braked: set[str] = set()
        self._recency: Recency[Key] = Recency()
        self._dirty: set[Key] = set()

    def line(self, rule: str, subject: str) -> Line:
        """The line, to be changed."""
        key = ("episode", rule, subject)
        self._hear(key)
        return self.lines.setdefault(key, Line())

    def place(self, endpoint: str) -> Place:
        """The endpoint, to be changed; its brakes through `brake` alone."""
        key = ("endpoint", endpoint)
        self._hear(key)
        return self.places.setdefault(key, Place())

    def brake(self, endpoint: str, brakes: Iterable[Brake]) -> None:
        """Say what is in force on the endpoint."""
        place = self.place(endpoint)
        place.brakes = tuple(brakes)
        (self._braked.add if place.brakes else self._braked.discard)(endpoint)

    def commanded(self, endpoint: str, kind: Reality, at_us: int) -> None:
        """Note that a command was issued, for those limits that count them."""
        place, hour_ago_us = self.place(endpoint), at_us - HOUR_US
        place.commanded_us[kind] = at_us
        place.recent = (*(issued for issued in place.recent if issued[1] > hour_ago_us), (kind, at_us))
        self.shared.recent += ((kind, at_us),)

    def is_paused(self, at_us: int) -> bool:
        """Whether an operator wants no new command at that time."""
        pause = self.shared.pause
        return pause is not None and (pause.until_us is None or at_us < pause.until_us)

    def peek_line(self, rule: str, subject: str) -> Line:
        return self.lines.get(("episode", rule, subject), Line())

    def peek_place(self, endpoint: str) -> Place:
        return self.places.get(("endpoint", endpoint), Place())

    def in_force(self) -> list[tuple[str, Brake]]:
        """Every brake with its endpoint, in an order that no history can change."""
        return [(name, brake) for name in sorted(self._braked) for brake in self.peek_place(name).brakes]

    def endpoints(self) -> set[str]:
        return {key[1] for key in self.places}

    def advance(self, at_us: int, kept_us: int = KEPT_US) -> list[tuple[Key, Line]]:
        """Move the stage's event time, and forget what was silent for `kept_us`: the lines with an open episode."""
        self.shared.time_us = max(self.shared.time_us, at_us)
        hour_ago_us = self.shared.time_us - HOUR_US
        self.shared.recent = tuple(issued for issued in self.shared.recent if issued[1] > hour_ago_us)
        return self._forget_silent(self.shared.time_us - kept_us)

    def changed(self) -> list[tuple[bytes, bytes | None]]:
        """(subject, state) of what changed since the last call; None: it is forgotten."""
        facts = [(msgspec.json.encode(key), self._fact(key)) for key in sorted(self._dirty)]
        self._dirty.clear()
        return facts

    def position(self) -> bytes:
        """What belongs to no one subject."""
        self.shared.marks = self._recency.marks
        return _packed(self.shared)

    def restore(self, position: bytes, facts: Sequence[tuple[bytes, bytes]]) -> None:
        """Become what was written: a position, and the newest fact of each subject."""
        self.shared = msgspec.msgpack.decode(position, type=Shared)
        found = {msgspec.json.decode(name, type=Key): msgspec.msgpack.decode(fact, type=Fact) for name, fact in facts}
        heard = {key: fact.heard for key, fact in found.items()}
        self._dirty.update(self._recency.restore(self.shared.marks, heard))
        for key in found.keys() - self._dirty:
            self._take(key, found[key].state)

    def _fact(self, key: Key) -> bytes | None:
        state = self.lines.get(key) or self.places.get(key)
        return None if state is None else _packed(Fact(self._recency[key], msgspec.Raw(_packed(state))))

    def _take(self, key: Key, state: msgspec.Raw) -> None:
        if key[0] == "episode":
            self.lines[key] = msgspec.msgpack.decode(state, type=Line)
            return
        self.places[key] = place = msgspec.msgpack.decode(state, type=Place)
        if place.brakes:
            self._braked.add(key[1])

    def _forget_silent(self, until_us: int) -> list[tuple[Key, Line]]:
        """Whatever still has something in force is not forgotten: for it, the silence begins anew."""
        over: list[tuple[Key, Line]] = []
        for key in self._recency.silent(until_us):
            if self._is_held(key):
                self._hear(key)
                continue
            self._recency.forget(key)
            self._dirty.add(key)
            self.places.pop(key, None)
            line = self.lines.pop(key, None)
            if line is not None:
                self.shared.forgotten_us = max(self.shared.forgotten_us, line.at_us)
            if line is not None and line.open:
                over.append((key, line))
        return sorted(over, key=lambda item: item[0])

    def _is_held(self, key: Key) -> bool:
        line = self.lines.get(key)
        if line is None:
            return bool(self.places[key].brakes)
        return any(brake.claim_of(line.episode) is not None for _, brake in self.in_force())

    def _hear(self, key: Key) -> None:
        self._recency.hear(key, self.shared.time_us)
        self._dirty.add(key)


def _packed(state: Struct) -> bytes:
    return msgspec.msgpack.encode(state)
