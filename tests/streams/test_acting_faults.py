"""The processes that act, `tidegate execute` and `tidegate alert`, while a broker dies and a process sleeps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.outputs import Action, Alert, Command, State
from schemas.topics import ALERTS
from schemas.units import US, rfc3339
from streams.execute.process import wall_clock_us
from streams.local_kafka import LocalKafka
from streams.simulator.pagerduty import PagerDuty
from streams.topics import declare
from tests.actions.alerting.alerts import alert, over
from tests.actions.docket.commands import KEY, command
from tests.doubles.webhook import SECRET, webhook_double
from tests.running import TIDEGATE, WAIT_S, Job, Starter
from tests.streams.alert.test_live import tell
from tests.streams.execute.test_execute import Bench, back, states, throttle

LASTS_S = 9
BEGUN = [State.APPLYING, State.APPLIED, State.VERIFIED]
CONFIG = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", session_timeout: 2s, checkpoint_every: 1s}}
http: {{port: 0}}
signing: {{trusted: ["PUBLIC"]}}
executors: {{gate: {{type: webhook, url: "URL", secret: "SECRET"}}}}
receivers: {{pager: {{type: pagerduty, url: "PAGER", routing_key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk}}}}
alerting: {{route: {{receiver: pager, group_interval: 0s}}}}
"""


class Act:
    """An executor and alerting in processes of their own, and what they talk to."""

    def __init__(self, table: Bench, pager: PagerDuty, start: Starter) -> None:
        self.table, self.pager, self.double = table, pager, table.double
        self.executor = table.execute()
        self.alerting = start(*TIDEGATE, "alert", "--config", str(table.job.file))

    async def ready(self) -> None:
        await self.executor.until("assigned")
        await self.alerting.until('"delivering"')

    async def tell(self, *lines: Alert) -> None:
        await tell(self.table.job, ALERTS, *lines)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 -- in other processes
                await asyncio.sleep(0.1)


@pytest.mark.kafka
def test_nothing_is_lost_or_done_twice_when_an_executor_sleeps_and_the_broker_dies(
    new_kafka: Callable[[], LocalKafka], start_program: Starter, tmp_path: Path
) -> None:
    """A brake comes off by itself without a broker, what a zombie would undo stays, and all is told and paged once.

    One executor is frozen beyond its session, and another has its partition. One of two brakes is renewed; the broker
    is killed, and the other brake ends. The broker comes back, and the sleeper wakes, who holds both for over.
    """

    async def scenario(kafka: LocalKafka) -> None:
        async with webhook_double() as double, PagerDuty() as pager:
            text = CONFIG.replace("PUBLIC", str(KEY.public)).replace("SECRET", SECRET)
            text = text.replace("URL", double.url).replace("PAGER", pager.url)
            job = Job.of(text, kafka.address, "act.", tmp_path)
            await declare(job.config, partitions=1)
            async with Bench(job, double, start_program) as table:
                await play(Act(table, pager, start_program), kafka)

    asyncio.run(asyncio.wait_for(scenario(new_kafka()), 3 * WAIT_S))


async def play(act: Act, kafka: LocalKafka) -> None:
    table, double, firing = act.table, act.double, alert("e")
    await act.ready()
    ends = rfc3339(wall_clock_us() + LASTS_S * US)
    left, kept = throttle("acme/left", expires_at=ends), throttle("acme/kept", expires_at=ends)
    await table.write(left, kept, left)  # as a worker does that was killed
    await act.tell(firing, firing)
    await table.until((left.id, State.VERIFIED), (kept.id, State.VERIFIED))
    await act.until(lambda: len(act.pager.incidents) == 1)

    act.executor.process.send_signal(signal.SIGSTOP)
    async with table.executing():
        await table.write(renewed := again(kept))
        await table.until((renewed.id, State.VERIFIED))
        await asyncio.to_thread(kafka.kill)
        await act.until(lambda: double.level("acme/left") is None)
        await asyncio.to_thread(kafka.start)
        await table.until((left.id, State.RESTORED))
        await act.tell(over("e"))
        await act.until(lambda: act.pager.incidents[0].status == "resolved")

        act.executor.process.send_signal(signal.SIGCONT)
        await act.executor.until('"assigned"', times=2)
        assert double.levels == {"acme/left": None, "acme/kept": 5}
        await table.write(restore := back(renewed))
        results = await table.until((restore.id, State.VERIFIED))
        assert act.executor.signalled(signal.SIGTERM) == 0, act.executor.log.read_text()
    assert act.alerting.signalled(signal.SIGTERM) == 0, act.alerting.log.read_text()
    assert double.levels == {"acme/left": None, "acme/kept": None}
    assert set(double.done.values()) == set(double.asked.values()) == {1}
    assert states(results, left.id) == [*BEGUN, State.EXPIRED, State.RESTORED]
    assert states(results, kept.id) == BEGUN, "the sleeper has said that it ended"
    assert [event["event_action"] for event in act.pager.incidents[0].log] == ["trigger", "resolve"]
    assert len(act.pager.incidents) == 1


def again(brake: Command) -> Command:
    """Its renewal."""
    about = {"endpoint": brake.endpoint, "executor": "gate", "parameters": brake.parameters, "restores": brake.id}
    return command(Action.THROTTLE, wall_clock_us(), **about)
