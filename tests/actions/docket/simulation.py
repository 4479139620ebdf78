"""An executor's process without a process: two logs, an outside world, a virtual clock, and crashes at any point."""

from __future__ import annotations

from enum import Enum
from typing import Final

from actions.docket import Answer, Ask, Docket, Entry, Office, Past, Step
from actions.docket.standing import Turn
from actions.executors.interface import Plan, Reading
from actions.failure import Failure
from schemas.outputs import Command, Id, Result, State
from schemas.units import US, from_rfc3339
from tests.actions.docket.commands import NAME, START_US

BUSY: Final = Failure("busy", retryable=True)
MOST_TURNS: Final = 200


class Fault(Enum):
    """What may happen at one step."""

    NONE = "none"
    REFUSED = "refused"  # nothing was done, and it was said so
    CUT = "cut"  # it was done, and nobody heard
    CRASH_BEFORE = "crash_before"  # the question was not sent
    CRASH_AFTER = "crash_after"  # it was done, and the process died
    CRASH_UNTOLD = "crash_untold"  # the answer was understood, and not told


class Outside:
    """One endpoint with a level. Writes only what is not so already, and remembers each write."""

    def __init__(self) -> None:
        self.level = 0
        self.writes: list[int] = []

    def write(self, level: int) -> None:
        if level != self.level:
            self.level = level
            self.writes.append(level)

    def do(self, ask: Ask) -> Answer:
        level, back = ask.command.parameters.get("level", 0), ask.before.get("level")
        match ask.step:
            case Step.PLAN:
                return Plan({"level": self.level}, (f"{self.level} -> {level}",))
            case Step.APPLY:
                self.write(level)
            case Step.UNDO:
                assert back is not None
                self.write(back)
            case Step.READ_BACK:
                return Reading({"level": self.level}, None if self.level == level else "another level")
            case Step.READ_UNDONE:
                return Reading({"level": self.level}, None if self.level == back else "another level")
        return None


class Simulation:
    """One executor that may die and start again; what it told is kept."""

    def __init__(self, office: Office) -> None:
        self.office, self.outside, self.now_us = office, Outside(), START_US
        self.log: list[tuple[Command, int]] = []
        self.results: list[Result] = []
        self.asked: list[tuple[int, Ask]] = []
        self._committed = self._acknowledged = 0
        self.start()

    def start(self) -> None:
        """A new process: what was told, then the commands from the committed offset on."""
        past = Past(NAME)
        for result in self.results:
            past.add(result)
        self.docket = Docket(self.office, past)
        self._read = self._committed
        self.read()
        self.docket.caught_up(self.now_us)

    def write(self, command: Command) -> Command:
        self.log.append((command, self.now_us))
        return command

    def read(self) -> None:
        for offset in range(self._read, len(self.log)):
            command, logged_us = self.log[offset]
            self.tell(self.docket.read(Entry(command, offset), logged_us, self.now_us).tell)
        self._read = len(self.log)

    def tell(self, results: tuple[Result, ...]) -> None:
        self.results += results

    def lose(self) -> None:
        """The process dies, and what it told last is not acknowledged yet."""
        del self.results[self._acknowledged :]
        self.start()

    def commit(self) -> None:
        """Only after what was told is acknowledged."""
        self._acknowledged = len(self.results)
        self._committed = max(self._committed, self.docket.committable())

    def turn(self, endpoint: str) -> Turn:
        turn = self.docket.turn(endpoint, self.now_us)
        self.tell(turn.tell)
        return turn

    def step(self, fault: Fault = Fault.NONE) -> bool:
        """One question and its answer, of any endpoint; whether there was one."""
        for endpoint in self.docket.endpoints():
            turn = self.turn(endpoint)
            if turn.ask is not None:
                self._carry_out(turn.ask, fault)
                return True
        return False

    def _carry_out(self, ask: Ask, fault: Fault) -> None:
        if fault is Fault.CRASH_BEFORE:
            self.start()
            return
        if ask.step is Step.APPLY:
            self._acknowledged = len(self.results)
        self.asked.append((self.now_us, ask))
        answer = BUSY if fault is Fault.REFUSED else self.outside.do(ask)
        if fault is Fault.CRASH_AFTER:
            self.start()
            return
        told = self.docket.answer(ask, BUSY if fault is Fault.CUT else answer, self.now_us)
        if fault is Fault.CRASH_UNTOLD:
            self.start()
        else:
            self.tell(told)

    def settle(self) -> None:
        """Go on without faults until there is nothing to ask now; waits as long as a pause asks for."""
        for _ in range(MOST_TURNS):
            self.read()
            while self.step():
                pass
            turns = {endpoint: self.turn(endpoint) for endpoint in self.docket.endpoints()}
            waits = [t.again_us for name, t in turns.items() if t.again_us is not None and not self._is_at_rest(name)]
            if not waits:
                return
            self.now_us = max(self.now_us, min(waits))
        raise AssertionError("never settled")

    def _is_at_rest(self, endpoint: str) -> bool:
        """Whether there is nothing to do but to wait for the end of what is in force."""
        desk = self.docket._desks.get(endpoint)
        if desk is None or desk.hold is None:
            return False
        return desk.hold.state in (State.VERIFIED, State.FAILED) and desk.wanted is None and desk.lift is None

    def states(self, command_id: Id) -> list[State]:
        return [r.state for r in self.results if r.command_id == command_id and r.state is not None]

    def wait(self, seconds: float) -> None:
        self.now_us += round(seconds * US)

    def too_late(self) -> list[Ask]:
        """What was applied when its command had ended."""
        return [
            ask
            for at_us, ask in self.asked
            if ask.step is Step.APPLY and ask.command.expires_at and from_rfc3339(ask.command.expires_at) <= at_us
        ]
