"""PagerDuty is out of order for ten minutes, in simulated time; the receivers and what they talk to are real."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import repeat

import pytest

from actions.alerting.dispatch import Came, Dispatch
from actions.receivers.interface import Receiver
from schemas.outputs import Alert, Severity
from schemas.receivers import Route
from schemas.units import US
from streams.simulator.faulty_server import Fault
from streams.simulator.pagerduty import PagerDuty
from tests.actions.alerting.alerts import START_US, alert, config, episode_id, over
from tests.actions.receivers.kinds import pagerduty, webhook
from tests.doubles.hooks import HookDouble

MINUTE_US = 60 * US
WAIT_S = 60.0
BOTH = Route(receiver="pager", routes=(Route(receiver="hook", continue_=True), Route(receiver="pager")))
BUSY, BROKEN = Fault(429, {"Retry-After": "7"}), Fault(500)
CUT, CUT_AFTER = Fault(), Fault(is_done=True)


class Desk:
    """Alerts as they come, and a task for each receiver, on one virtual clock."""

    def __init__(self) -> None:
        self.now_us, self._offset = START_US, 0
        self.pager, self.hook = PagerDuty(self.now_s), HookDouble()
        self.dispatch = Dispatch(config("pager", "hook", route=BOTH))
        self._receivers: dict[str, Receiver] = {}

    async def open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.pager)
        await stack.enter_async_context(self.hook)
        self._receivers = {"pager": pagerduty(self.pager.url, self.now_s), "hook": webhook(self.hook.url)}
        for receiver in self._receivers.values():
            stack.push_async_callback(receiver.close)

    def now_s(self) -> float:
        return self.now_us / US

    def hear(self, *lines: Alert) -> None:
        for line in lines:
            self.dispatch.hear(line, Came(self._offset, self.now_us))
            self._offset += 1

    async def run(self, minutes: float) -> None:
        """Whenever something is due, it is done."""
        until_us = self.now_us + round(minutes * MINUTE_US)
        while True:
            while [name for name in self._receivers if await self._step(name)]:
                pass
            woken = [backlog.wake_us() for backlog in self.dispatch.backlogs.values()]
            wake_us = min((at for at in woken if at is not None), default=until_us)
            self.now_us = min(max(wake_us, self.now_us), until_us)
            if wake_us >= until_us:
                return

    async def _step(self, name: str) -> bool:
        delivery = self.dispatch.take(name, self.now_us)
        if delivery is None:
            return False
        failure = await self._receivers[name].notify(delivery.notification)
        backlog = self.dispatch.backlogs[name]
        if failure is None:
            backlog.delivered(self.now_us)
        else:
            backlog.failed(failure, self.now_us, jitter=1.0)
        return True

    def actions(self, episode: str) -> list[list[str]]:
        """What happened to each incident of an episode."""
        return [[e["event_action"] for e in one.log] for one in self.pager.incidents_of(episode_id(episode))]


@pytest.mark.parametrize("fault", [BUSY, BROKEN, CUT, CUT_AFTER], ids=["429", "500", "cut", "cut_after"])
def test_after_ten_minutes_each_open_episode_is_one_incident_and_nobody_else_has_waited(fault: Fault) -> None:
    """It gets what is still so, once, in its newest words; what passed meanwhile is at most opened and closed."""

    async def scenario(desk: Desk) -> None:
        desk.pager.faults.extend(repeat(fault, 1000))
        desk.hear(alert("lasts"), alert("passes"))
        await desk.run(5)
        desk.hear(alert("lasts", "it burns more", severity=Severity.CRITICAL), over("passes"))
        await desk.run(5)
        assert len(desk.hook.bodies) == 4
        assert fault is CUT_AFTER or not desk.pager.incidents
        desk.pager.faults.clear()
        await desk.run(2)
        (incident,) = desk.pager.incidents_of(episode_id("lasts"))
        assert incident.log[-1]["payload"]["summary"] == "it burns more"
        assert (incident.status, set(*desk.actions("lasts"))) == ("triggered", {"trigger"})
        assert fault is CUT_AFTER or incident.count("trigger") == 1
        desk.hear(over("lasts"))
        await desk.run(2)
        assert incident.count("resolve") == 1
        assert {one.status for one in desk.pager.incidents} == {"resolved"}
        assert (desk.actions("passes") == []) is (fault is not CUT_AFTER)

    async def played() -> None:
        async with AsyncExitStack() as stack:
            desk = Desk()
            await desk.open(stack)
            await scenario(desk)

    asyncio.run(asyncio.wait_for(played(), WAIT_S))
