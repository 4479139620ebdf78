"""`tidegate alert` on a real Kafka: two processes, of which the one that delivers is killed in the middle of a page."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from schemas.orders import Order, Verb, seal
from schemas.outputs import Action, Alert, Result, State
from schemas.topics import ALERTS, APPROVALS, RESULTS, STATE
from schemas.units import rfc3339
from streams import topics
from streams.alert.state import select
from tests.actions.alerting.alerts import START_US, alert, over
from tests.running import TIDEGATE, WAIT_S, Job, Message, Program, Starter, read_all, write

KEY: Final = "k" * 32
CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", group: "{prefix}group",
         session_timeout: 6s, checkpoint_every: 1s}}
http: {{port: 0}}
receivers:
  pager: {{type: pagerduty, url: "URL", routing_key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk, timeout: 60s}}
  down: {{type: webhook, url: "http://127.0.0.1:9/"}}
alerting: {{route: {{receiver: pager, group_interval: 0s, routes: [{{receiver: down, continue: true}}, {{}}]}}}}
"""


class Pager:
    """Answers after a while, if at all: `answer` is what it waits for."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.came, self.answer = asyncio.Event(), asyncio.Event()

    async def post(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        self.came.set()
        await self.answer.wait()
        return web.json_response({"status": "success"}, status=202)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                self.came.clear()
                await self.came.wait()

    @property
    def actions(self) -> list[str]:
        return [event.get("event_action", "change") for event in self.events]


@asynccontextmanager
async def serving(pager: Pager) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v2/{kind:.*}", pager.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        pager.answer.set()
        await runner.cleanup()


def message(topic: str, value: Alert | Order | Result) -> Message:
    return Message(topic, b"key", msgspec.json.encode(value))


async def tell(job: Job, topic: str, *values: Alert | Order | Result) -> None:
    await write(job, [message(topic, value) for value in values], iter([100]))


async def delivering(*programs: Program) -> Program:
    """The one that delivers."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for program in programs:
                if any('"delivering"' in line for line in program.lines()):
                    return program
                assert program.process.poll() is None, program.log.read_text()
            await asyncio.sleep(0.1)


@pytest.mark.kafka
def test_one_trigger_and_one_resolve_though_the_process_is_killed_in_between(
    kafka: str, topic_prefix: str, start_program: Starter, tmp_path: Path
) -> None:
    """The trigger has arrived and nobody could write that down; another process takes over, and tells the end."""

    async def scenario() -> None:
        pager = Pager()
        async with serving(pager) as url:
            job = Job.of(CONFIG.replace("URL", url), kafka, topic_prefix, tmp_path)
            await topics.declare(job.config)
            command = (*TIDEGATE, "alert", "--config", str(job.file))
            both = start_program(*command), start_program(*command)
            first = await delivering(*both)
            await tell(job, ALERTS, alert("e"))
            await pager.until(1)
            first.signalled(signal.SIGKILL)
            await tell(job, ALERTS, over("e"))
            pager.answer.set()
            (second,) = (program for program in both if program is not first)
            await pager.until(2)
            assert second.signalled(signal.SIGTERM) == 0, second.log.read_text()
            assert pager.actions == ["trigger", "resolve"]
            assert len({event["dedup_key"] for event in pager.events}) == 1
            assert KEY not in first.log.read_text() + second.log.read_text()
            await check_that_little_is_kept(job)

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


async def check_that_little_is_kept(job: Job) -> None:
    """Of an episode that is over, nothing; the receiver that is down was told nothing of it, and never will be."""
    rows = {record.key: record.value for record in await read_all(job.config.kafka, ALERTS + STATE, 0)}
    kept = select({key: value for key, value in rows.items() if value is not None})
    assert kept.position.alerts == 2
    assert kept.facts == {}


@pytest.mark.kafka
def test_silences_changes_and_restarts(kafka: str, topic_prefix: str, start_program: Starter, tmp_path: Path) -> None:
    """A silence holds over a restart until it is taken back; a change is told once; what was told is not told again."""
    silence = order(Verb.SILENCE, matchers=("rule=latency",))

    async def scenario() -> None:
        pager = Pager()
        pager.answer.set()
        async with serving(pager) as url:
            job = Job.of(CONFIG.replace("URL", url), kafka, topic_prefix, tmp_path)
            await topics.declare(job.config)
            await tell(job, RESULTS, result("old"))
            await tell(job, APPROVALS, silence)
            await tell(job, ALERTS, alert("quiet"), alert("loud", rule="error_rate"))
            program = start_program(*TIDEGATE, "alert", "--config", str(job.file))
            await pager.until(1)
            await tell(job, RESULTS, result("new"))
            await pager.until(2)
            assert program.signalled(signal.SIGTERM) == 0, program.log.read_text()
            program = start_program(*TIDEGATE, "alert", "--config", str(job.file))
            await program.until('"delivering"')
            program.process.send_signal(signal.SIGHUP)
            await program.until('"delivering"', times=2)
            await tell(job, APPROVALS, order(Verb.UNSILENCE, silence_id=silence.id))
            await pager.until(3)
            assert program.signalled(signal.SIGTERM) == 0, program.log.read_text()
            assert pager.actions == ["trigger", "change", "trigger"]
            assert [event["payload"].get("class") for event in pager.events] == ["error_rate", None, "latency"]
            problems = [json.loads(line) for line in program.lines() if '"error"' in line]
            assert problems == []

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


def order(verb: Verb, **own: Any) -> Order:
    return seal(Order(id="0" * 32, verb=verb, who="ann", why="deploying", at=rfc3339(START_US), **own))


def result(reason: str) -> Result:
    return Result(
        id=("0" if reason == "old" else "1") * 32,
        command_id="2" * 32,
        state=State.VERIFIED,
        refusal=None,
        endpoint="acme/bert",
        action=Action.THROTTLE,
        executor="hf",
        at=rfc3339(START_US),
        reason=reason,
    )
