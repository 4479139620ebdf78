"""`--dry-run`: any executor, of which only the plan is asked; results say what would be done, and claim no state."""

from __future__ import annotations

from actions.docket.telling import without_state
from actions.executors.interface import Executor, Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Command, Result

GROUP_SUFFIX = ".dry-run"  # what a rehearsal has read, the real executor still has to read


class Rehearsal:
    """Reads, and changes nothing."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def plan(self, command: Command) -> Plan | Failure:
        return await self._executor.plan(command)

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        """Nothing."""

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        """Nothing."""

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        del command, back_to
        return Reading({}, None)

    async def close(self) -> None:
        await self._executor.close()


def as_rehearsed(result: Result) -> Result:
    """What would be told, as something that changes no command's state."""
    told = result.refusal if result.refusal is not None else result.state
    return without_state(result, f"dry run, nothing is changed: {told}; {result.reason}".rstrip("; "))
