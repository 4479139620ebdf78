"""Laws of the docket: Hypothesis writes the commands, and kills the process between any two steps."""

from __future__ import annotations

from typing import Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from actions.docket import Step
from schemas.outputs import Action, Command, State
from schemas.units import US, from_rfc3339
from tests.actions.docket.commands import LIFETIME_S, command, office, renewal, restore
from tests.actions.docket.simulation import Fault, Simulation

laws = settings(deadline=None, max_examples=50)
GRACE_S: Final = 6
DAY_S: Final = 86_400


class Worker:
    """Commands as the action stage writes them: one brake at a time, each named by exactly one later command."""

    def __init__(self, desk: Simulation) -> None:
        self._desk = desk
        self.current: Command | None = None
        self.levels = 0
        self.alive = True

    def end(self) -> None:
        """The action stage notices by itself that a command has ended."""
        if self.current is not None and self._is_over(self.current):
            ended, self.current = self.current, None
            self._desk.write(restore(ended, from_rfc3339(ended.expires_at or "")))

    def brake(self) -> None:
        self.end()
        self.levels += 1
        action = Action.SHUTDOWN if self.levels % 3 == 0 else Action.THROTTLE
        restores = None if self.current is None else self.current.id
        parameters = {"level": self.levels}
        made = command(action, self._desk.now_us, restores=restores, parameters=parameters)
        self.current = self._desk.write(made)

    def renew(self) -> None:
        self.end()
        if self.current is not None:
            self.current = self._desk.write(renewal(self.current, self._desk.now_us))

    def restore(self) -> None:
        self.end()
        if self.current is not None:
            self._desk.write(restore(self.current, self._desk.now_us))
            self.current = None

    def weaken(self) -> None:
        """A restore, and at once what others still ask for."""
        self.restore()
        self.brake()

    def repeat(self, back: int) -> None:
        """A crash of the worker: some of its last commands come again, in order."""
        for again, _ in self._desk.log[-back:] if back else ():
            self._desk.write(again)

    def wanted(self) -> int:
        """The level that should be outside now."""
        if self.current is None or self._is_over(self.current):
            return 0
        level: int = self.current.parameters["level"]
        return level

    def _is_over(self, current: Command) -> bool:
        return from_rfc3339(current.expires_at or "") <= self._desk.now_us


class Move(NamedTuple):
    """One thing that happens, printable."""

    name: str
    argument: float = 0
    fault: Fault = Fault.NONE

    def __call__(self, desk: Simulation, worker: Worker) -> None:
        match self.name:
            case "step":
                desk.step(self.fault)
            case "wait":
                desk.wait(self.argument)
            case "repeat":
                worker.repeat(int(self.argument))
            case "read" | "commit" | "start" | "lose":
                getattr(desk, self.name)()
            case _:
                desk.wait(1)
                getattr(worker, self.name)()


MOVES: Final[st.SearchStrategy[Move]] = st.one_of(
    st.sampled_from(
        [Move(name) for name in ("brake", "renew", "restore", "weaken", "read", "commit", "start", "lose")]
    ),
    st.sampled_from([Move("step", fault=fault) for fault in Fault]),
    st.just(Move("step")),
    st.integers(1, 4).map(lambda back: Move("repeat", back)),
    st.sampled_from([Move("wait", seconds) for seconds in (1, 60, 400, LIFETIME_S + 2, LIFETIME_S + GRACE_S)]),
)


@laws
@given(st.lists(MOVES, max_size=40))
def test_the_end_is_what_was_commanded_last(moves: list[Move]) -> None:
    """Whatever comes between, crashes too: outside it is as the last command says, or as it was before all of them."""
    desk = Simulation(office(give_up_after_s=DAY_S))
    worker = Worker(desk)
    for move in moves:
        move(desk, worker)
    desk.settle()
    desk.settle()
    if worker.current is None or desk.now_us < from_rfc3339(worker.current.expires_at or ""):
        assert desk.outside.level == worker.wanted()
    assert desk.too_late() == []
    desk.wait(LIFETIME_S + GRACE_S)
    desk.settle()
    assert desk.outside.level == 0, "in force beyond its expiry"
    worker.end()
    desk.settle()
    desk.commit()
    assert desk.docket.committable() == len(desk.log), "settled, and yet read again"


@laws
@given(st.lists(MOVES, max_size=40))
def test_what_was_before_the_chain_is_what_is_come_back_to(moves: list[Move]) -> None:
    """Every `applying`, and every undo, holds the level from before the first of the chain: here it is always 0."""
    desk = Simulation(office(give_up_after_s=DAY_S))
    worker = Worker(desk)
    for move in moves:
        move(desk, worker)
    befores = [result.before for result in desk.results if result.state is State.APPLYING]
    befores += [dict(ask.before) for _, ask in desk.asked if ask.step is Step.UNDO]
    assert all(before == {"level": 0} for before in befores)


@laws
@given(st.lists(MOVES, max_size=40))
def test_nothing_is_written_twice_or_touched_before_it_is_told(moves: list[Move]) -> None:
    """Each command is written outside once at most, and only after its `applying` was told."""
    desk = Simulation(office(give_up_after_s=DAY_S))
    worker = Worker(desk)
    for move in moves:
        told = {result.command_id for result in desk.results if result.state is State.APPLYING}
        asked = len(desk.asked)
        move(desk, worker)
        applied = [ask.command.id for _, ask in desk.asked[asked:] if ask.step is Step.APPLY]
        assert set(applied) <= told
    braked = [level for level in desk.outside.writes if level]
    assert len(braked) == len(set(braked))


@laws
@given(st.lists(MOVES, max_size=30), st.integers(0, 3))
def test_a_worker_that_is_away_leaves_nothing_in_force(moves: list[Move], restarts: int) -> None:
    """No restore ever comes: a lifetime later everything is as it was."""
    desk = Simulation(office(give_up_after_s=DAY_S))
    worker = Worker(desk)
    for move in moves:
        move(desk, worker)
    for _ in range(restarts):
        desk.wait(LIFETIME_S / 3)
        desk.start()
        desk.settle()
    desk.wait(LIFETIME_S + GRACE_S)
    desk.settle()
    assert desk.outside.level == 0
    assert desk.now_us > 0
    assert desk.too_late() == []
    assert all(us < desk.now_us + US for us, _ in desk.asked)
