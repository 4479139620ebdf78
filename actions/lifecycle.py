"""The life of a command, as one table, and the fold that rebuilds the present from the two topics that record it.

    proposed           -> awaiting_approval, held, issued
    awaiting_approval  -> rejected, held, issued, expired, replaced, restored
    rejected           ->
    held               -> expired, replaced, restored
    issued             -> applying, failed, expired, replaced, restored
    applying           -> applied, failed, expired, replaced, restored
    applied            -> verified, failed, expired, replaced, restored
    verified           -> failed, expired, replaced, restored
    failed             -> expired, replaced, restored
    expired            -> replaced, restored
    replaced           -> restored
    restored           ->

Every arrow is a record: a command on `control.commands.v1` (held, awaiting approval, issued; and one that `restores`
another, or carries out its `proposal`), or a result on `control.results.v1`. Of two topics, several partitions and
processes that repeat themselves, records come in any order and some more than once. So what is kept is the set of what
was said, and the present is a function of that set: of all that the table allows after the command's own word, the
furthest along the table. What was said of a life that the table allows lies on one path, so each record moves
along arrows or is older news. Of what contradicts itself the later row of the table counts, whichever came first:
what may be in force outside outranks what was turned down.

What a word means depends on whom it is about. A command that came into force is replaced or restored by commands that
came into force, one in name only also by what is in name only; and it is restored once somebody says so: the
executor, of it or of the restore itself. Where no executor takes it, the restore is the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.outputs import Action, Command, Held, Id, Result, State

# in order of rank: no arrow points upwards
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.PROPOSED: frozenset({State.HELD, State.AWAITING_APPROVAL, State.ISSUED}),
    State.AWAITING_APPROVAL: frozenset(
        {State.HELD, State.REJECTED, State.ISSUED, State.EXPIRED, State.REPLACED, State.RESTORED}
    ),
    State.REJECTED: frozenset(),
    State.HELD: frozenset({State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.ISSUED: frozenset({State.APPLYING, State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.APPLYING: frozenset({State.APPLIED, State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.APPLIED: frozenset({State.VERIFIED, State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.VERIFIED: frozenset({State.FAILED, State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.FAILED: frozenset({State.EXPIRED, State.REPLACED, State.RESTORED}),
    State.EXPIRED: frozenset({State.REPLACED, State.RESTORED}),
    State.REPLACED: frozenset({State.RESTORED}),
    State.RESTORED: frozenset(),
}
_RANKS: Final = {state: rank for rank, state in enumerate(NEXT)}
IN_FORCE: Final = frozenset({State.ISSUED, State.APPLYING, State.APPLIED, State.VERIFIED})
UNFINISHED: Final = IN_FORCE | {State.FAILED, State.EXPIRED}  # something of it may still be in force outside
CARRIED_OUT: Final = frozenset({State.APPLIED, State.VERIFIED})


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


def furthest(first: State, said: Iterable[State]) -> State:
    """The present of a life that began in `first`: of what the table allows from there, what is furthest along it."""
    return max((state for state in said if state in REACHABLE[first]), key=_RANKS.__getitem__, default=first)


class Life:
    """One command, and all that was said of it: each record once, whatever the order."""

    __slots__ = ("_followers", "_issued_as", "_results", "command", "id")

    def __init__(self, command_id: Id) -> None:
        self.id = command_id
        self.command: Command | None = None  # None: only others spoke of it so far
        self._results: dict[Id, Result] = {}
        self._followers: dict[Id, Life] = {}  # commands that name it in `restores`
        self._issued_as: dict[Id, Life] = {}  # commands that carry out what it proposed

    @property
    def results(self) -> list[Result]:
        """What was said of it, by time; refusals too."""
        return sorted(self._results.values(), key=lambda result: (result.at, _rank(result), result.id))

    @property
    def state(self) -> State:
        return furthest(State.PROPOSED if self.command is None else first_state(self.command), self._said())

    @property
    def progress(self) -> State:
        """How far its executor came with it, whatever took its place since."""
        return furthest(State.ISSUED, (result.state for result in self._results.values() if result.state in IN_FORCE))

    @property
    def is_real(self) -> bool:
        """Whether it is a brake that came into force, and not in name only."""
        command = self.command
        return command is not None and command.held is None and command.action is not Action.RESTORE

    @property
    def is_awaiting(self) -> bool:
        is_asked = self.command is not None and self.command.held is Held.AWAITING_APPROVAL
        return is_asked and self.state is State.AWAITING_APPROVAL

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who has approved it so far."""
        given = (result for result in self.results if result.state is State.AWAITING_APPROVAL)
        return tuple(dict.fromkeys(person for result in given for person in result.by))

    @property
    def restore(self) -> Life | None:
        """The command that takes it off, if one was given."""
        return next((life for life in self._real_followers() if _action(life) is Action.RESTORE), None)

    @property
    def successor(self) -> Life | None:
        """The brake that took its place."""
        return next((life for life in self._real_followers() if _action(life) is not Action.RESTORE), None)

    @property
    def issued_as(self) -> Life | None:
        """What carries out what it proposed."""
        return min(self._issued_as.values(), key=lambda life: life.id, default=None)

    def follow(self, life: Life) -> None:
        """Note a command that names this one in `restores`."""
        self._followers[life.id] = life

    def issue(self, life: Life) -> None:
        """Note a command that carries this one out."""
        self._issued_as[life.id] = life

    def hear(self, result: Result) -> None:
        """Note what somebody says of it."""
        self._results[result.id] = result

    def _said(self) -> Iterator[State]:
        yield from (result.state for result in self._results.values() if result.state is not None)
        if self._issued_as:
            yield State.ISSUED
        if self.successor is not None:
            yield State.REPLACED
        if (restore := self.restore) is not None and self._is_done(restore):
            yield State.RESTORED

    def _real_followers(self) -> list[Life]:
        """Those whose word counts for this one, in an order that no arrival can change."""
        in_name_only = self.command is not None and not self.is_real
        counting = (life for life in self._followers.values() if in_name_only or _is_unheld(life))
        return sorted(counting, key=lambda life: life.id)

    def _is_done(self, restore: Life) -> bool:
        """Whether the restore has come to its end: at once, where nobody reports."""
        if restore.progress in CARRIED_OUT:
            return True
        return self.command is not None and (self.command.executor is None or not self.is_real)


class Lives:
    """All commands that the two topics tell of. Feed it their records, in any order."""

    def __init__(self) -> None:
        self._lives: dict[Id, Life] = {}

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
        if command.proposal is not None:
            self._life(command.proposal).issue(life)
        if command.restores is not None:
            self._life(command.restores).follow(life)

    def add_result(self, result: Result) -> None:
        """A record of `control.results.v1`. Refusals are kept with the command, and change nothing."""
        if result.command_id is not None:
            self._life(result.command_id).hear(result)

    def known(self) -> list[Life]:
        """Those whose command was read, in order of time."""
        found = (life for life in self._lives.values() if life.command is not None)
        return sorted(found, key=lambda life: (life.command.issued_at if life.command else "", life.id))

    def _life(self, command_id: Id) -> Life:
        found = self._lives.get(command_id)
        if found is None:
            found = self._lives[command_id] = Life(command_id)
        return found


def first_state(command: Command) -> State:
    """What the command itself says. A restore waits for nobody: held, it undoes in name only."""
    if command.held is None:
        return State.ISSUED
    is_asked = command.held is Held.AWAITING_APPROVAL and command.action is not Action.RESTORE
    return State.AWAITING_APPROVAL if is_asked else State.HELD


def _rank(result: Result) -> int:
    return -1 if result.state is None else _RANKS[result.state]


def _action(life: Life) -> Action | None:
    return None if life.command is None else life.command.action


def _is_unheld(life: Life) -> bool:
    return life.command is not None and life.command.held is None
