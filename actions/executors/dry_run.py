"""Says what it would do, and does nothing: to see the whole way of a command before anything is connected."""

from __future__ import annotations

from typing import Final

from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Command

NOTHING_DONE: Final = "dry run: nothing is done"


class DryRunExecutor:
    """Every command is carried out at once. Results say that it was none."""

    async def plan(self, command: Command) -> Plan | Failure:
        return Plan({}, (f"{NOTHING_DONE}; it would be {described(command)}",))

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        """Nothing."""

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        """Nothing."""

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        del command, back_to
        return Reading({"dry_run": True}, None)

    async def close(self) -> None:
        """Nothing is open."""


def described(command: Command) -> str:
    """`throttle of acme/bert (max_replicas: 2)`."""
    parameters = ", ".join(f"{name}: {value}" for name, value in command.parameters.items())
    return f"{command.action} of {command.endpoint}" + (f" ({parameters})" if parameters else "")
