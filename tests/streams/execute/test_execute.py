"""`tidegate execute` on a real Kafka, with a webhook's double."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition

from schemas.outputs import Action, Command, Refusal, Result, State
from schemas.topics import COMMANDS, RESULTS
from schemas.units import US, rfc3339
from streams import broker
from streams.execute.process import wall_clock_us
from streams.topics import declare
from tests.actions.docket.commands import KEY, command
from tests.doubles.webhook import SECRET, WebhookDouble, webhook_double
from tests.running import TIDEGATE, Job, Program, Starter, producer, read_all

WAIT_S = 30.0
PARTITIONS = 2
NAMES = ("acme/bert", "acme/llama", "acme/whisper", "acme/clip")

CONFIG = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", session_timeout: 6s}}
http: {{port: 0}}
signing: {{trusted: ["PUBLIC"]}}
executors:
  gate: {{type: webhook, url: "URL", secret: "SECRET"}}
  dry: {{type: dry_run}}
"""

Run = Callable[[WebhookDouble], Awaitable["Bench"]]


class Bench:
    """Topics of its own, commands into them, results out of them, and executors in processes of their own."""

    def __init__(self, job: Job, double: WebhookDouble, start: Starter) -> None:
        self.job, self.double, self._start = job, double, start

    def execute(self, *options: str) -> Program:
        return self._start(*TIDEGATE, "execute", "--executor", "gate", "--config", str(self.job.file), *options)

    async def write(self, *commands: Command) -> None:
        async with producer(self.job) as made:
            for each in commands:
                topic = self.job.config.kafka.topic_prefix + COMMANDS
                await made.send_and_wait(topic, msgspec.json.encode(each), each.endpoint.encode())

    async def results(self) -> list[Result]:
        records = await read_all(self.job.config.kafka, RESULTS, 0)
        return [msgspec.json.decode(record.value, type=Result) for record in records]

    async def until(self, *wanted: tuple[str, State]) -> list[Result]:
        """The results, once all of these are among them."""
        async with asyncio.timeout(WAIT_S):
            while True:
                found = await self.results()
                if set(wanted) <= {(r.command_id, r.state) for r in found}:
                    return found
                await asyncio.sleep(0.1)

    async def committed(self) -> int:
        """The sum of the group's offsets."""
        kafka = self.job.config.kafka
        consumer = broker.new_consumer(kafka, group_id=f"{kafka.group}.execute.gate", enable_auto_commit=False)
        await consumer.start()
        try:
            tps = [TopicPartition(kafka.topic_prefix + COMMANDS, n) for n in range(PARTITIONS)]
            return sum([await consumer.committed(tp) or 0 for tp in tps])
        finally:
            await consumer.stop()


@pytest.fixture
def bench(kafka: str, topic_prefix: str, tmp_path: Path, start_program: Starter) -> Run:
    """Everything but the executors' processes."""

    async def made(double: WebhookDouble) -> Bench:
        text = CONFIG.replace("PUBLIC", str(KEY.public)).replace("URL", double.url).replace("SECRET", SECRET)
        job = Job.of(text, kafka, topic_prefix, tmp_path)
        await declare(job.config, PARTITIONS)
        return Bench(job, double, start_program)

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
        async with webhook_double() as double:
            table = await bench(double)
            given, forged = throttle("acme/bert"), msgspec.structs.replace(throttle("acme/clip"), signature=None)
            await table.write(forged, given)
            async with producer(table.job) as made:
                await made.send_and_wait(table.job.config.kafka.topic_prefix + COMMANDS, b"{", b"acme/bert")
            program = table.execute()
            await table.until((given.id, State.VERIFIED))
            assert double.level("acme/bert") == 5
            await table.write(restore := back(given))
            results = await table.until((restore.id, State.VERIFIED))
            assert double.levels == {"acme/bert": None}
            assert states(results, given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED, State.RESTORED]
            refused = {r.refusal for r in results if r.refusal is not None}
            assert refused == {Refusal.UNSIGNED, Refusal.UNREADABLE}
            assert program.signalled(signal.SIGTERM) == 0
            assert await table.committed() == 4, "settled, and yet to be read again"
            assert SECRET not in program.log.read_text()

    asyncio.run(scenario())


def test_killed_between_the_apply_and_its_report_it_applies_once(bench: Run) -> None:
    """The receiver has done it and never answered; the next process asks again with the same key, and reports."""

    async def scenario() -> None:
        async with webhook_double() as double:
            double.faults.append("hang")
            table = await bench(double)
            given = throttle("acme/bert")
            await table.write(given)
            program = table.execute()
            async with asyncio.timeout(WAIT_S):
                await double.hung.wait()
            program.signalled(signal.SIGKILL)
            table.execute()
            results = await table.until((given.id, State.VERIFIED))
            assert states(results, given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED]
            assert double.done == {f"{given.id}:apply": 1}
            assert double.level("acme/bert") == 5

    asyncio.run(scenario())


def test_of_two_one_goes_on_when_the_other_is_killed(bench: Run) -> None:
    """What the killed one had in force is undone by the other, at its expiry and by itself."""

    async def scenario() -> None:
        async with webhook_double() as double:
            table = await bench(double)
            programs = [table.execute(), table.execute()]
            for program in programs:
                await program.until("assigned")
            ends = rfc3339(wall_clock_us() + 12 * US)
            brakes = [throttle(name, expires_at=ends) for name in NAMES]
            await table.write(*brakes)
            await table.until(*((brake.id, State.VERIFIED) for brake in brakes))
            programs[0].signalled(signal.SIGKILL)
            results = await table.until(*((brake.id, State.RESTORED) for brake in brakes))
            assert double.levels == dict.fromkeys(NAMES)
            for brake in brakes:
                assert states(results, brake.id)[-2:] == [State.EXPIRED, State.RESTORED]
            assert all(times == 1 for times in double.done.values())

    asyncio.run(scenario())


def test_a_dry_run_changes_nothing_and_claims_nothing(bench: Run) -> None:
    """The receiver is asked for its plan alone; the results say what would be done, and change no state."""

    async def scenario() -> None:
        async with webhook_double() as double:
            table = await bench(double)
            given = throttle("acme/bert")
            await table.write(given)
            table.execute("--dry-run")
            async with asyncio.timeout(WAIT_S):
                while len(found := await table.results()) < 3:  # noqa: ASYNC110  (in another process)
                    await asyncio.sleep(0.1)
            assert {result.state for result in found} == {None}
            assert found[0].reason.startswith("dry run, nothing is changed: applying; the receiver is told: throttle")
            assert {phase for phase, _ in double.requests} == {"plan"}

    asyncio.run(scenario())
