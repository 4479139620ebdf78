"""How an endpoint stands: what waits, what is held, what is to be undone; and what may be asked of an executor."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Command, Id, Result, State

Told = tuple[Result, ...]
NOTHING: Final[Told] = ()


class Step(StrEnum):
    """What can be asked of an executor."""

    PLAN = "plan"
    APPLY = "apply"
    READ_BACK = "read_back"
    UNDO = "undo"
    READ_UNDONE = "read_undone"


class Ask(NamedTuple):
    """One question to the executor."""

    step: Step
    command: Command
    before: Saved


Answer = Plan | Reading | Failure | None


class Turn(NamedTuple):
    """What to tell now, what to ask then, or when to come again (None: when something is read)."""

    tell: Told = ()
    ask: Ask | None = None
    again_us: int | None = None


class Entry(NamedTuple):
    """A command, and where it lies in its partition. `is_misplaced`: it is not the partition of its endpoint."""

    command: Command
    offset: int
    is_misplaced: bool = False

    @property
    def ids(self) -> frozenset[Id]:
        """The names by which a later command may mean it."""
        return frozenset({self.command.id, self.command.proposal or self.command.id})


class Wanted(NamedTuple):
    """What waits. `links`: the ids that mean it; `is_chained`: it takes the place of what is held."""

    entry: Entry
    links: frozenset[Id]
    is_chained: bool


class Hold(NamedTuple):
    """What was begun outside. `is_stuck`: for a day it could not be undone.

    `others_us`: the end of the last command of the chain that another executor has.
    """

    entry: Entry
    before: Saved
    state: State  # applying, applied, verified or failed
    links: frozenset[Id]
    is_stuck: bool = False
    others_us: int = 0


class Lift(NamedTuple):
    """That what is held must be undone. `by`: the restores that are answered when it is; none: its time has passed."""

    why: str
    by: tuple[Entry, ...] = ()
    pinned: int | None = None  # the offset of another executor's restore that is the reason
    undone_us: int | None = None  # the undo was accepted, and is being read back
    is_told_failed: bool = False
