"""`tidegate execute` on a real Kafka, with a webhook's double."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import pytest
from aiokafka import TopicPartition

from actions.docket.telling import Said, Subject, Voice, state_of
from actions.executors.registry import executor_of
from schemas.outputs import Action, Command, Refusal, Result, State
from schemas.topics import COMMANDS, RESULTS
from schemas.units import US, rfc3339
from streams import broker
from streams.execute.command import office_of
from streams.execute.process import Execution, wall_clock_us
from streams.execute.rehearsal import Rehearsal
from streams.topics import declare
from tests.actions.docket.commands import KEY, command
from tests.doubles.webhook import SECRET, TOKEN, WebhookDouble, webhook_double
from tests.running import TIDEGATE, Job, Program, Starter, producer

WAIT_S = 30.0
PARTITIONS = 2
NAMES = ("acme/llama", "acme/whisper", "acme/clip")

encode = msgspec.json.encode

CONFIG = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", session_timeout: 2s}}
http: {{port: 0}}
signing: {{trusted: ["PUBLIC"]}}
executors:
  gate: {{type: webhook, url: "URL", secret: "SECRET"}}
  dry: {{type: dry_run}}
"""

Run = Callable[[], AbstractAsyncContextManager["Bench"]]


class Bench:
    """Topics of its own, commands into them, results out of them, and executors in processes of their own."""

    def __init__(self, job: Job, double: WebhookDouble, start: Starter) -> None:
        self.job, self.double, self._start = job, double, start
        self.results: list[Result] = []
        self._prefix = job.config.kafka.topic_prefix

    async def __aenter__(self) -> Self:
        self._consumer = broker.new_consumer(self.job.config.kafka, auto_offset_reset="earliest")
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self._prefix + RESULTS, 0)])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    def execute(self) -> Program:
        return self._start(*TIDEGATE, "execute", "--executor", "gate", "--config", str(self.job.file))

    async def scrape(self, program: Program) -> str:
        """What Prometheus would get, of a process that says that it is ready."""
        port = json.loads(await program.until("listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", raise_for_status=True) as session:
            await session.get("/-/ready")
            await session.get("/-/healthy")
            return await (await session.get("/metrics")).text()

    @asynccontextmanager
    async def executing(self, *, rehearse: bool = False) -> AsyncIterator[None]:
        """The same in this process, which is cheaper; it stops in order."""
        executor = executor_of(self.job.config.executors["gate"])
        made = Rehearsal(executor) if rehearse else executor
        execution = Execution(self.job.config, office_of(self.job.config, "gate"), made, rehearse=rehearse)
        running = asyncio.create_task(execution.run())
        try:
            yield
        finally:
            execution.stop()
            await asyncio.wait_for(running, WAIT_S)

    async def write(self, *commands: Command | bytes) -> None:
        async with producer(self.job) as made:
            for each in commands:
                value, key = (each, b"") if isinstance(each, bytes) else (encode(each), each.endpoint.encode())
                await made.send_and_wait(self._prefix + COMMANDS, value, key)

    async def tell(self, about: Command, *states: State) -> None:
        """As an earlier process would have."""
        voice, said = Voice("gate", wall_clock_us()), Said(before={"limit": None})
        async with producer(self.job) as made:
            for state in states:
                result = state_of(Subject.of(about), state, voice, said)
                await made.send_and_wait(self._prefix + RESULTS, encode(result), about.endpoint.encode())

    async def until(self, *wanted: tuple[str | None, State | None], count: int = 0) -> list[Result]:
        """The results, once all of these are among them, and so many."""
        async with asyncio.timeout(WAIT_S):
            while not set(wanted) <= {(r.command_id, r.state) for r in self.results} or len(self.results) < count:
                for records in (await self._consumer.getmany(timeout_ms=200)).values():
                    self.results += [msgspec.json.decode(record.value, type=Result) for record in records]
        return self.results

    async def committed(self) -> int:
        """The sum of the group's offsets."""
        kafka = self.job.config.kafka
        consumer = broker.new_consumer(kafka, group_id=f"{kafka.group}.execute.gate", enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [TopicPartition(self._prefix + COMMANDS, n) for n in range(PARTITIONS)]
            return sum([await consumer.committed(tp) or 0 for tp in tps])
        finally:
            await consumer.stop()


@pytest.fixture
def bench(kafka: str, topic_prefix: str, tmp_path: Path, start_program: Starter) -> Run:
    """Everything but the executors' processes."""

    @asynccontextmanager
    async def made() -> AsyncIterator[Bench]:
        async with webhook_double() as double:
            text = CONFIG.replace("PUBLIC", str(KEY.public)).replace("URL", double.url).replace("SECRET", SECRET)
            job = Job.of(text, kafka, topic_prefix, tmp_path)
            await declare(job.config, PARTITIONS)
            async with Bench(job, double, start_program) as table:
                yield table

    return made


def throttle(endpoint: str, limit: float = 5, **changes: Any) -> Command:
    parameters = {"max_requests_per_second": limit}
    made = {"endpoint": endpoint, "executor": "gate", "parameters": parameters, **changes}
    return command(Action.THROTTLE, wall_clock_us(), **made)


def back(of: Command) -> Command:
    return command(Action.RESTORE, wall_clock_us(), endpoint=of.endpoint, executor="gate", restores=of.id)


def states(results: list[Result], command_id: str) -> list[State | None]:
    return [result.state for result in results if result.command_id == command_id]


def test_a_signed_command_is_carried_out_verified_and_undone(bench: Run) -> None:
    """And what is not signed by the trusted key is refused, what nobody can read is too, and both hold up nothing."""

    async def scenario() -> None:
        async with bench() as table:
            given, forged = throttle("acme/bert"), msgspec.structs.replace(throttle("acme/clip"), signature=None)
            await table.write(forged, b'{"id": "\xff"}', given)
            program = table.execute()
            await table.until((given.id, State.VERIFIED))
            assert table.double.level("acme/bert") == 5
            await table.write(restore := back(given))
            results = await table.until((restore.id, State.VERIFIED), (forged.id, None), (None, None))
            assert table.double.levels == {"acme/bert": None}
            assert states(results, given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED, State.RESTORED]
            refused = {r.refusal for r in results if r.refusal is not None}
            assert refused == {Refusal.UNSIGNED, Refusal.UNREADABLE}
            scraped = await table.scrape(program)
            assert 'tidegate_execute_results_total{executor="gate",state="verified"} 2.0' in scraped
            assert 'tidegate_execute_refusals_total{executor="gate",reason="unsigned"} 1.0' in scraped
            assert 'tidegate_execute_verified_seconds_count{executor="gate"} 1.0' in scraped
            assert program.signalled(signal.SIGTERM) == 0
            assert await table.committed() == 4, "settled, and yet to be read again"
            assert SECRET not in program.log.read_text()
            assert TOKEN not in program.log.read_text()

    asyncio.run(scenario())


def test_killed_before_it_could_report_another_goes_on_and_nothing_is_applied_twice(bench: Run) -> None:
    """The receiver has done it and never answered; the other process asks again with the same key, and reports."""

    async def scenario() -> None:
        async with bench() as table:
            await (first := table.execute()).until("assigned")
            await (second := table.execute()).until("assigned")
            await first.until("assigned", times=2)
            table.double.faults.append("hang")
            await table.write(given := throttle("acme/bert"))
            async with asyncio.timeout(WAIT_S):
                await table.double.hung.wait()
            victim = first if '"state": "applying"' in first.log.read_text() else second
            victim.signalled(signal.SIGKILL)
            await table.write(*(others := [throttle(name) for name in NAMES]))
            results = await table.until(*((brake.id, State.VERIFIED) for brake in (given, *others)))
            assert states(results, given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED]
            assert table.double.asked[f"{given.id}:apply"] == 2
            assert set(table.double.done.values()) == {1}
            assert table.double.levels == dict.fromkeys(("acme/bert", *NAMES), 5)

    asyncio.run(scenario())


def test_what_outlived_itself_while_nobody_ran_is_undone_at_once(bench: Run) -> None:
    """A process that starts finds in the results what an earlier one left in force, and needs no command to end it."""

    async def scenario() -> None:
        async with bench() as table:
            left = throttle("acme/bert", expires_at=rfc3339(wall_clock_us() - 60 * US))
            await table.write(left)
            await table.tell(left, State.APPLYING, State.APPLIED, State.VERIFIED)
            table.double.levels["acme/bert"] = 5
            async with table.executing():
                results = await table.until((left.id, State.RESTORED))
            assert states(results, left.id)[-2:] == [State.EXPIRED, State.RESTORED]
            assert table.double.level("acme/bert") is None

    asyncio.run(scenario())


def test_a_dry_run_changes_nothing_and_claims_nothing(bench: Run) -> None:
    """The receiver is asked for its plan alone; the results say what would be done, and change no state."""

    async def scenario() -> None:
        async with bench() as table:
            await table.write(throttle("acme/bert"))
            async with table.executing(rehearse=True):
                found = await table.until(count=3)
            assert {result.state for result in found} == {None}
            assert found[0].reason.startswith("dry run, nothing is changed: applying; the receiver is told: throttle")
            assert {phase for phase, _ in table.double.requests} == {"plan"}

    asyncio.run(scenario())
