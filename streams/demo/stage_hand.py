"""The play itself: keeps the fleet going in real time, gives it its cues, and follows what tidegate says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from schemas.outputs import Command, Finding, Result, State
from schemas.topics import PASSED_ON
from schemas.units import US
from streams.courses import Courses, Turn
from streams.demo import messages
from streams.demo.board import Board
from streams.demo.incidents import Incidents
from streams.demo.kafka_io import Listener, Publisher
from streams.demo.outside import Outside
from streams.demo.people import People
from streams.demo.process import Crew
from streams.demo.script import Cue
from streams.demo.view import View
from streams.simulator import Emitted, Fleet

SLICE_S: Final = 0.1


def clock_us() -> int:
    """Now, in microseconds since the epoch."""
    return round(time.time() * US)


class Tools(NamedTuple):
    """What the stage hand works with; `crew` is only looked at."""

    publisher: Publisher
    listener: Listener
    crew: Crew
    outside: Outside


def _is_cancelled() -> bool:
    """Whether a Ctrl-C was swallowed: aiokafka uses `asyncio.wait_for`, which does that now and then on Python 3.11."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class StageHand:
    """Everything that goes on while the demo waits or plays, done once per slice of a tenth of a second."""

    def __init__(self, fleet: Fleet, view: View, incidents: Incidents, people: People) -> None:
        self._fleet = fleet
        self._view = view
        self._incidents = incidents
        self._board = Board(fleet)
        self._cues: list[Cue] = []
        self._began_us: int | None = None
        self._seen: set[str] = set()
        self._courses = Courses()
        self._people = people
        self.sent = 0

    @property
    def at_s(self) -> float | None:
        """Seconds since the play began."""
        return None if self._began_us is None else (clock_us() - self._began_us) / US

    def begin(self, cues: tuple[Cue, ...]) -> None:
        """From now on the cues are given, each at its time."""
        self._began_us = clock_us()
        self._cues = list(cues)

    async def go_on(self, tools: Tools, until: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
        """Slice after slice until the condition holds; False if the time is up before."""
        deadline = time.monotonic() + timeout_s
        while not await until():
            if _is_cancelled():
                raise asyncio.CancelledError
            if time.monotonic() > deadline:
                return False
            tools.crew.check()
            await self._listen(tools)  # first, so that what came before a cue is also said before it
            tools.outside.lead(self._fleet)
            await self._send(tools.publisher)
            if self.at_s is not None:
                self._view.frame(self._board.frame(self.at_s))
            await asyncio.sleep(SLICE_S - time.time() % SLICE_S)
        return True

    async def _send(self, publisher: Publisher) -> None:
        events = [*self._fleet.advance(clock_us()), *self._give_cues()]
        self.sent += await publisher.send(events)
        await publisher.send(self._people.say(clock_us()))

    def _give_cues(self) -> list[Emitted]:
        at_s = self.at_s
        events: list[Emitted] = []
        while at_s is not None and self._cues and self._cues[0].at_s <= at_s:
            cue = self._cues.pop(0)
            self._view.say(messages.cued(cue, at_s))
            events += cue.play(self._fleet)
        return events

    async def _listen(self, tools: Tools) -> None:
        for output, logged_ms in await tools.listener.poll():
            if output.id in self._seen:
                continue
            self._seen.add(output.id)
            at_s = None if self._began_us is None else logged_ms / 1000 - self._began_us / US
            self._note(output, logged_ms, at_s)
        self._incidents.note_pages(tools.outside.pages())

    def _note(self, output: Finding | Command | Result, logged_ms: int, at_s: float | None) -> None:
        match output:
            case Finding():
                self._note_finding(output, at_s)
            case Command():
                self._note_command(output, logged_ms, at_s)
            case Result():
                self._note_result(output, at_s)

    def _note_finding(self, finding: Finding, at_s: float | None) -> None:
        if finding.rule in PASSED_ON:
            return
        self._incidents.note_finding(finding)
        self._board.note_finding(finding)
        turn = self._courses.take(finding)
        if turn is not Turn.GOES_ON:
            self._view.say(messages.found(finding, at_s, turn))

    def _note_command(self, command: Command, logged_ms: int, at_s: float | None) -> None:
        self._incidents.note_command(command, logged_ms)
        self._board.note_command(command)
        self._people.hear(command, clock_us())
        if command.proposal is not None:
            self._view.say(messages.approved(command.proposal, command.approved_by, len(command.approved_by), at_s))
        self._view.say(messages.commanded(command, at_s))

    def _note_result(self, result: Result, at_s: float | None) -> None:
        self._incidents.note_result(result)
        asked = self._incidents.command(result.command_id)
        if result.state is State.AWAITING_APPROVAL and asked is not None and asked.approval is not None:
            self._view.say(messages.approved(asked.id, result.by, asked.approval.persons, at_s))
        elif (said := messages.came(result, at_s)) is not None:
            self._view.say(said)
