"""The play itself: keeps the fleet going in real time, gives it its cues and tidegate's commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from schemas.outputs import Command, Finding
from schemas.units import US
from streams.courses import Courses, Turn
from streams.demo import messages
from streams.demo.board import Board
from streams.demo.incidents import Incidents
from streams.demo.kafka_io import Listener, Publisher
from streams.demo.script import Cue
from streams.demo.view import View
from streams.demo.worker import Worker
from streams.simulator import Emitted, Fleet

SLICE_S: Final = 0.1


def clock_us() -> int:
    """Now, in microseconds since the epoch."""
    return round(time.time() * US)


Tools = tuple[Publisher, Listener, Worker]


def _is_cancelled() -> bool:
    """Whether a Ctrl-C was swallowed: aiokafka uses `asyncio.wait_for`, which does that now and then on Python 3.11."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class StageHand:
    """Everything that goes on while the demo waits or plays, done once per slice of a tenth of a second."""

    def __init__(self, fleet: Fleet, view: View, incidents: Incidents) -> None:
        self._fleet = fleet
        self._view = view
        self._incidents = incidents
        self._board = Board(fleet)
        self._cues: list[Cue] = []
        self._began_us: int | None = None
        self._seen: set[str] = set()
        self._courses = Courses()
        self.sent = 0

    @property
    def at_s(self) -> float | None:
        """Seconds since the play began."""
        return None if self._began_us is None else (clock_us() - self._began_us) / US

    def begin(self, cues: tuple[Cue, ...]) -> None:
        """From now on the cues are given, each at its time."""
        self._began_us = clock_us()
        self._cues = list(cues)

    async def go_on(
        self,
        tools: tuple[Publisher, Listener, Worker],
        until: Callable[[], Awaitable[bool]],
        timeout_s: float,
    ) -> bool:
        """Slice after slice until the condition holds; False if the time is up before."""
        publisher, listener, worker = tools
        deadline = time.monotonic() + timeout_s
        while not await until():
            if _is_cancelled():
                raise asyncio.CancelledError
            if time.monotonic() > deadline:
                return False
            worker.check()
            await self._listen(listener)  # first, so that what came before a cue is also said before it
            await self._send(publisher)
            if self.at_s is not None:
                self._view.frame(self._board.frame(self.at_s))
            await asyncio.sleep(SLICE_S - time.time() % SLICE_S)
        return True

    async def _send(self, publisher: Publisher) -> None:
        events = [*self._fleet.advance(clock_us()), *self._give_cues()]
        self.sent += await publisher.send(events)

    def _give_cues(self) -> list[Emitted]:
        at_s = self.at_s
        events: list[Emitted] = []
        while at_s is not None and self._cues and self._cues[0].at_s <= at_s:
            cue = self._cues.pop(0)
            self._view.say(messages.cued(cue, at_s))
            events += cue.play(self._fleet)
        return events

    async def _listen(self, listener: Listener) -> None:
        for output, logged_ms in await listener.poll():
            if output.id in self._seen:
                continue
            self._seen.add(output.id)
            at_s = None if self._began_us is None else logged_ms / 1000 - self._began_us / US
            self._note(output, logged_ms, at_s)

    def _note(self, output: Finding | Command, logged_ms: int, at_s: float | None) -> None:
        if isinstance(output, Finding):
            self._incidents.note_finding(output)
            self._board.note_finding(output)
            turn = self._courses.take(output)
            if turn is not Turn.GOES_ON:
                self._view.say(messages.found(output, at_s, turn))
        else:
            self._incidents.note_command(output, logged_ms)
            self._board.note_command(output)
            self._fleet.obey(output)
            self._view.say(messages.commanded(output, at_s))
