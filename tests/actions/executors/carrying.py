"""What the tests of executors have in common: commands, and how they are carried out as `tidegate execute` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from actions.executors.interface import Executor, Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Action, Command
from tests.actions.docket.commands import command

ENDPOINT: Final = "acme/llama"
MOST_TRIES: Final = 10
PATIENCE_S: Final = 30.0

Attempt = Callable[[], Awaitable[Failure | None]]


def brake(action: Action, endpoint: str = ENDPOINT, **parameters: Any) -> Command:
    """A command in force."""
    return command(action, endpoint=endpoint, parameters=parameters)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run it, but not for ever."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(run())


async def planned(executor: Executor, command: Command) -> Plan:
    plan = await executor.plan(command)
    assert isinstance(plan, Plan), plan
    return plan


async def refused(executor: Executor, command: Command) -> Failure:
    """Why it cannot even be planned."""
    plan = await executor.plan(command)
    assert isinstance(plan, Failure), plan
    return plan


async def applied(executor: Executor, command: Command) -> Saved:
    """Plan and apply it, against all faults; how things were."""
    plan = await planned(executor, command)
    assert await settled(lambda: executor.apply(command, plan.before)) is None
    return plan.before


async def settled(attempt: Attempt) -> Failure | None:
    """Try again for as long as that can help; the failure that is final, if there is one."""
    for _ in range(MOST_TRIES):
        failure = await attempt()
        if failure is None or not failure.retryable:
            return failure
    raise AssertionError(f"not done in {MOST_TRIES} attempts: {failure}")


async def read(executor: Executor, command: Command, back_to: Saved | None = None) -> Reading:
    reading = await executor.read_back(command, back_to)
    assert isinstance(reading, Reading), reading
    return reading
