"""`tidegate replay`: the same decisions from files, without a broker. `tidegate test rules` feeds it from memory.

Each input goes through its own endpoint stage, as one partition of its topic would. What the three emit is
merged by event time, then topic, then place in the file, and goes on to the budget stage and the action stage.
Everything is pulled through in chunks, so memory does not grow with the files.

The wall clock is that of the events: as it passes, each input has been read until then.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Final

from schemas.config import Config
from schemas.decode import EVENTS
from schemas.events import BadEvent
from schemas.outputs import Alert, Command, Finding, Result, Rollup
from schemas.topics import BILLING, REQUESTS, SCALING, Record, clock_of
from schemas.units import US, from_rfc3339
from streams.control_stages import ActionStage
from streams.core_stage import CoreStage
from streams.lines import Line, opened, read, unknown_fields
from streams.stages import MARK_EVERY_US, BillingStage, BudgetStage, RequestStage, ScalingStage

ORDER: Final = (SCALING, BILLING, REQUESTS)  # of two things at one moment, what costs comes first

Said = Finding | Command | Result | Alert
Emitted = tuple[int, int, int, Finding | Rollup]


@dataclass
class Replay:
    """A replay of files (input topic -> file name, `-` for standard input), and what it counted.

    `complain(file, line number, reason)` is called for each bad line, `progress(bytes)` for each block read, and
    `ignore(file, names)` if there are fields in the first block of a file that no such event has.
    """

    config: Config
    files: Mapping[str, str]
    complain: Callable[[str, int, str], None]
    progress: Callable[[int], None] = lambda _: None
    ignore: Callable[[str, list[str]], None] = lambda *_: None
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def run(self) -> Iterator[Said]:
        """What is found and commanded, in event order."""
        with ExitStack() as stack:
            sources = {topic: stack.enter_context(opened(name)) for topic, name in self.files.items()}
            yield from self.decide({topic: self._read(topic, file) for topic, file in sources.items()})

    def decide(self, logs: Mapping[str, Iterable[Sequence[Record]]], until_us: int = 0) -> Iterator[Said]:
        """The same of any logs: input topic -> its records, some at a time.

        After the last of them the clock alone goes on to `until_us`.
        """
        streams = [self._emitted(rank, topic, logs[topic]) for rank, topic in enumerate(ORDER) if topic in logs]
        yield from self._decided(heapq.merge(*streams), until_us)

    def _read(self, topic: str, file: IO[bytes]) -> Iterator[list[Line]]:
        for number, lines in enumerate(read(file, EVENTS[topic], self.now_ms, self.progress)):
            if number == 0 and (names := unknown_fields(lines, EVENTS[topic])):
                self.ignore(self.files[topic], names)
            yield lines

    def _emitted(self, rank: int, topic: str, log: Iterable[Sequence[Record]]) -> Iterator[Emitted]:
        """What an input's endpoint stage emits, with the running maximum of event time to merge by."""
        stage = _stage(topic, self.config)
        clock_us = number = 0
        for chunk in log:
            values, counts = stage.fold(chunk)
            self.counts.update({(topic, *label[1:]): count for label, count in counts.items()})
            for value in values:
                if isinstance(value, BadEvent):
                    self.complain(self.files.get(topic, topic), value.offset, f"{value.why}: {value.message}")
                elif isinstance(value, Finding | Rollup):
                    clock_us, number = max(clock_us, _time_us(value)), number + 1
                    yield clock_us, rank, number, value

    def _decided(self, emitted: Iterable[Emitted], until_us: int) -> Iterator[Said]:
        budgets, actions = BudgetStage(self.config, 0), ActionStage(self.config, 0)
        marks = Marks()
        second = 0
        for clock_us, _, _, value in emitted:
            if clock_us // US > second:
                second = clock_us // US
                yield from _passed(clock_us, marks, budgets, actions)
            if isinstance(value, Rollup):
                marks.hear(value)
            for finding in budgets.apply_value(value) if isinstance(value, Rollup) else [value]:
                yield finding
                yield from actions.apply_value(finding)
        for later in range(second + 1, until_us // US + 1) if second else ():  # 0: there is nothing to wait for
            yield from _passed(later * US, marks, budgets, actions)


class Marks:
    """Until when each input was read, as stages say from time to time; here all of them until the present moment."""

    def __init__(self) -> None:
        self._heard_us: dict[tuple[str, str], int] = {}  # budget and input -> the newest that it told
        self._marked_us = 0

    def hear(self, rollup: Rollup) -> None:
        place = rollup.budget, rollup.source
        self._heard_us[place] = max(rollup.time_us, self._heard_us.get(place, 0))

    def due(self, now_us: int) -> list[Rollup]:
        if now_us - self._marked_us < MARK_EVERY_US:
            return []
        self._marked_us = now_us
        return [
            Rollup(budget, clock_of(source), 0, now_us // US, now_us // US * US, heard_us=heard_us)
            for (budget, source), heard_us in self._heard_us.items()
        ]


def _passed(clock_us: int, marks: Marks, budgets: BudgetStage, actions: ActionStage) -> Iterator[Said]:
    """What the worker would learn from the wall clock, which here is the clock of the events."""
    overdue = actions.overdue(clock_us)
    if overdue is not None:
        yield from actions.apply_value(overdue)
    for mark in marks.due(clock_us):
        for finding in budgets.apply_value(mark):
            yield finding
            yield from actions.apply_value(finding)


def _stage(topic: str, config: Config) -> CoreStage:
    kinds: dict[str, Callable[..., CoreStage]] = {
        REQUESTS: RequestStage,
        SCALING: ScalingStage,
        BILLING: BillingStage,
    }
    return kinds[topic](config, 0, keyed=False)


def _time_us(value: Finding | Rollup) -> int:
    return value.time_us if isinstance(value, Rollup) else from_rfc3339(value.at)
