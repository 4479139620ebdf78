"""What every executor is: plan, apply, undo, read back. Each is safe to ask again after a crash anywhere.

`apply` and `undo` read before they write, and write only what is not so already; so what was done before a crash, and
not reported, is not done twice. None of them retries or waits for more than one request: whether to try again, and
when, is in the `Failure`, and the loop of `tidegate execute` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from actions.failure import Failure
from schemas.outputs import Command

Saved = Mapping[str, Any]  # plain JSON: it travels in a result's `before`


class Plan(NamedTuple):
    """What a command would change. `before`: how things are, to come back to; no change: they are so already.

    Of a chain of commands all keys of all plans are kept, each as the first plan has it.
    """

    before: Saved
    changes: tuple[str, ...]


class Reading(NamedTuple):
    """How things are after a command. `wrong`: what is not yet as it should be; None: it is verified."""

    after: Saved
    wrong: str | None


class Executor(Protocol):
    """One system. All of it is keyed by the command's endpoint; a secret is in no answer."""

    async def plan(self, command: Command) -> Plan | Failure:
        """Read how things are, and say what would change. Changes nothing."""

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        """Do it. `before` is what the first plan for this brake read, maybe in a process that has died since.

        It only ever tightens: what is to be weaker than the brake in force begins with an `undo` of that one.
        """

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        """Come back to `before` from whatever `command` did."""

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        """Whether the command has its effect; with `back_to`, whether it is undone."""

    async def close(self) -> None:
        """Close the connections."""
