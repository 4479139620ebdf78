"""The gateway, driven by the executor that it is the other side of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actions.executors.interface import Plan, Reading
from actions.executors.webhook import WebhookExecutor
from actions.failure import Failure
from schemas.executors import Webhook
from schemas.outputs import Action, Command, Cost, Mode
from schemas.section import Secret
from streams.simulator.gateway import PATH, Gateway

KEY = "k" * 32
COMMAND = Command(
    id="1" * 32, action=Action.OVERFLOW, endpoint="acme/bert", parameters={"provider": "cheap"}, mode=Mode.AUTO,
    held=None, finding_id="2" * 32, episode="3" * 32, rule="daily_spend", issued_at="2026-01-01T00:00:00.000000Z",
    expires_at=None, reason="", cost=Cost(), before={},
)  # fmt: skip


def told(scenario: Callable[[Gateway, WebhookExecutor], Awaitable[None]], secret: str = KEY) -> None:
    async def told() -> None:
        async with Gateway(KEY) as gateway:
            executor = WebhookExecutor(Webhook(url=Secret(gateway.url + PATH), secret=Secret(secret)))
            await scenario(gateway, executor)
            await executor.close()

    asyncio.run(asyncio.wait_for(told(), 30))


def test_what_overflows_is_told_done_once_and_taken_back() -> None:
    """However often it is told; and whoever reads back is told what is so."""

    async def scenario(gateway: Gateway, executor: WebhookExecutor) -> None:
        plan = await executor.plan(COMMAND)
        assert isinstance(plan, Plan)
        assert gateway.overflows == {}
        for _ in range(2):
            assert await executor.apply(COMMAND, plan.before) is None
        assert gateway.overflows == {"acme/bert": "cheap"}
        assert await executor.read_back(COMMAND) == Reading({"surplus_goes_to": "cheap"}, None)
        not_undone = await executor.read_back(COMMAND, plan.before)
        assert isinstance(not_undone, Reading)
        assert not_undone.wrong is not None
        for _ in range(2):
            assert await executor.undo(COMMAND, plan.before) is None
        assert await executor.read_back(COMMAND, plan.before) == Reading({"surplus_goes_to": "nowhere"}, None)
        assert gateway.applied == {("acme/bert", "apply"): 1, ("acme/bert", "undo"): 1}

    told(scenario)


@pytest.mark.parametrize("secret", ["another", "k"])
def test_who_does_not_know_the_secret_is_not_heard(secret: str) -> None:
    """401, and nothing is done."""

    async def scenario(gateway: Gateway, executor: WebhookExecutor) -> None:
        failure = await executor.apply(COMMAND, {})
        assert isinstance(failure, Failure)
        assert failure.status == 401
        assert not gateway.applied

    told(scenario, secret)
