"""The life of a command, as one table, and the fold that rebuilds the present from the two topics that record it.

    proposed ─┬─► held ───────────────────────────────────────────────────────────┐
              ├─► awaiting_approval ─┬─► rejected                                 │
              │                      ├─► expired                                  ▼
              │                      └─► issued                          replaced, restored
              └─► issued ─► applying ─► applied ─► verified ─► expired ─► restored
                              └─► failed (from issued to applied) ───────► restored

Every arrow is a record: a command on `control.commands.v1` (held, awaiting approval, issued; and one that `restores`
another, or carries out its `proposal`), or a result on `control.results.v1`. The records of one command come in any
order, and some more than once. So the table is a partial order: a record moves a command to a state that can be
reached from where it is, over however many arrows, and one that cannot be reached is older news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.outputs import Action, Command, Held, Id, Result, State

NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.PROPOSED: frozenset({State.HELD, State.AWAITING_APPROVAL, State.ISSUED}),
    State.HELD: frozenset({State.REPLACED, State.RESTORED, State.EXPIRED}),
    State.AWAITING_APPROVAL: frozenset(
        {State.ISSUED, State.REJECTED, State.EXPIRED, State.HELD, State.REPLACED, State.RESTORED}
    ),
    State.ISSUED: frozenset({State.APPLYING, State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.APPLYING: frozenset({State.APPLIED, State.FAILED}),
    State.APPLIED: frozenset({State.VERIFIED, State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.VERIFIED: frozenset({State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.FAILED: frozenset({State.RESTORED, State.REPLACED}),
    State.EXPIRED: frozenset({State.RESTORED}),
    State.REPLACED: frozenset({State.RESTORED}),
    State.RESTORED: frozenset(),
    State.REJECTED: frozenset(),
}
IN_FORCE: Final = frozenset({State.ISSUED, State.APPLYING, State.APPLIED, State.VERIFIED})


def reachable(table: Mapping[State, Iterable[State]] = NEXT) -> Mapping[State, frozenset[State]]:
    """Each state with all that may ever come after it."""
    found: dict[State, frozenset[State]] = {}

    def after(state: State) -> frozenset[State]:
        if state not in found:
            direct = frozenset(table[state])
            found[state] = direct.union(*(after(following) for following in direct))
        return found[state]

    for state in table:
        after(state)
    return found


REACHABLE: Final = reachable()


def moved(state: State, to: State) -> State:
    """The state after a record that says `to`."""
    return to if to in REACHABLE[state] else state


class Life:
    """One command, what was last recorded of it, and the results about it in order of the log."""

    def __init__(self) -> None:
        self.state = State.PROPOSED
        self.command: Command | None = None  # None: only results came so far
        self.results: list[Result] = []

    def move(self, to: State) -> None:
        self.state = moved(self.state, to)


class Lives:
    """All commands that the two topics tell of. Feed it their records, each in its topic's order."""

    def __init__(self) -> None:
        self._lives: dict[Id, Life] = {}
        self._orphans: dict[Id, list[State]] = {}

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives.values())

    def get(self, command_id: Id) -> Life | None:
        return self._lives.get(command_id)

    def add_command(self, command: Command) -> None:
        """A record of `control.commands.v1`."""
        life = self._life(command.id)
        if life.command is not None:
            return  # written again after a crash
        life.command = command
        life.move(first_state(command))
        if command.proposal is not None:
            self._life(command.proposal).move(State.ISSUED)
        if command.restores is not None and command.action is not Action.RESTORE:
            self._life(command.restores).move(State.REPLACED)

    def add_result(self, result: Result) -> None:
        """A record of `control.results.v1`."""
        if result.command_id is None or result.state is None:
            return
        life = self._life(result.command_id)
        life.results.append(result)
        life.move(result.state)

    def _life(self, command_id: Id) -> Life:
        return self._lives.setdefault(command_id, Life())


def first_state(command: Command) -> State:
    """What the command itself says."""
    if command.held is Held.AWAITING_APPROVAL:
        return State.AWAITING_APPROVAL
    return State.ISSUED if command.held is None else State.HELD
