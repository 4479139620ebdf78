"""The campaign itself: everything is started, faults come by their schedule, all falls quiet, the oracle speaks."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from detectors import SETTINGS
from schemas.config import Config
from schemas.topics import STATE
from streams import broker, configuration, topics
from streams.local_kafka import LocalKafka
from tests.chaos import logs, oracle
from tests.chaos.crew import Crew
from tests.chaos.faults import PERFORM, QUICK_COMPACTION, Missed, Scene
from tests.chaos.load import Writer
from tests.chaos.oracle import Verdict
from tests.chaos.people import Keys, People
from tests.chaos.schedule import Fault, Planned, draw, tracks
from tests.chaos.watch import StateWatch

WORKERS: Final = 3
QUIET_S: Final = 240.0  # until everything is read and saved, once no fault comes any more
LOOK_S: Final = 1.0
AGAIN: Final = 2  # how often a fault is tried once more whose moment did not come
DRAINS: Final = 5  # what a stop leaves unread is read by a worker that is started for it
CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "chaos.", group: chaos,
         session_timeout: 4s, checkpoint_every: 500ms}}
http: {{port: 0}}
mode: auto
defaults: {{expected_max: {expected_max}, price_usd_per_hour: 2.0}}
budgets:
  all: {{daily_usd: 1500, endpoints: ["*"]}}
  half: {{daily_usd: 900, endpoints: ["*[02468abcdef]"]}}
rules:
  request_surge: {{ratio: {ratio}}}
safety: {{cooldown: {cooldown}, max_evidence_age: 30d, max_actions_per_hour: 1000, expires_after: 40m}}
{people}"""
USUAL: Final = {"expected_max": 10, "ratio": 5, "cooldown": "30s"}
OTHERS: Final = (
    {"expected_max": 14, "ratio": 5, "cooldown": "30s"},
    {"expected_max": 10, "ratio": 8, "cooldown": "5m"},
)


class Plan(NamedTuple):
    """What is asked for. `reloads`: the configuration changes in mid-stream, and the oracle is less exact."""

    seed: int
    minutes: float
    goals: Mapping[Fault, int]
    workers: int = WORKERS

    @property
    def reloads(self) -> bool:
        return Fault.RELOAD in self.goals


class Report(NamedTuple):
    """What happened. `failures` are what must not have happened; with none of them all is well."""

    plan: Plan
    seconds: float
    done: Counter[Fault]
    kills: int
    workers_started: int
    stopped_by_themselves: Counter[str]
    written: int
    written_again: int
    verdict: Verdict | None
    failures: list[str]

    @property
    def missed(self) -> list[Fault]:
        """The faults that did not come as often as they should."""
        return [fault for fault, goal in self.plan.goals.items() if self.done[fault] < goal]

    @property
    def passed(self) -> bool:
        """Whether nothing was lost; what was missed says how much that means."""
        return not self.failures and self.verdict is not None and self.verdict.clean


Tell = Callable[[str], None]


class Campaign:
    """One run of a plan, with its logs in `folder`."""

    def __init__(self, plan: Plan, folder: Path, tell: Tell) -> None:
        self.plan, self._folder, self._tell = plan, folder, tell
        self.done: Counter[Fault] = Counter()
        self._begun = time.monotonic()

    def run(self, kafka: LocalKafka) -> Report:
        """Blocks until it is over. The broker has been started, and belongs to the campaign."""
        keys = Keys.new(self._folder)
        texts = [CONFIG.format(address=kafka.address, people=keys.sections(), **values) for values in (USUAL, *OTHERS)]
        file = self._folder / "tidegate.yaml"
        file.write_text(texts[0])
        config = configuration.load(file, SETTINGS, {})
        people = People(config, keys, self.plan.seed)
        rng = random.Random(f"faults {self.plan.seed}")  # noqa: S311 -- no secret
        crew = Crew(file, self._folder, self.plan.workers)
        try:
            with _logs_in(self._folder / "clients.log"):
                return asyncio.run(self._play(Scene(config, file, kafka, crew, StateWatch(config), rng, texts), people))
        finally:
            crew.close()

    async def _play(self, scene: Scene, people: People) -> Report:
        await declare(scene.config)
        writer, over = Writer(scene.config, self.plan.seed, self.plan.minutes), asyncio.Event()
        silent = asyncio.Event()
        helpers = [asyncio.create_task(scene.crew.supervise()), asyncio.create_task(scene.watch.run())]
        writing, speaking = asyncio.create_task(writer.run(over)), asyncio.create_task(people.run(silent))
        self._begun = time.monotonic()
        schedule = draw(self.plan.seed, self.plan.minutes * 60, self.plan.goals)
        try:
            await asyncio.gather(*[self._follow(scene, track) for track in tracks(schedule)])
            for task in helpers:
                if task.done():
                    task.result()  # raises: none of them ends by itself
            await self._wait_for(self.plan.minutes * 60)
            over.set()
            await writing
            self._say("quiet: no more faults, no more load")
            await self._is_drained(scene)  # so that everything is answered that was asked
            silent.set()
            await speaking
            verdict, failures = await self._settle(scene)
        finally:
            for task in (*helpers, writing, speaking):
                task.cancel()
            await asyncio.gather(*helpers, writing, speaking, return_exceptions=True)
        return self._report(scene, (writer, people), verdict, failures)

    async def _follow(self, scene: Scene, track: Iterable[Planned]) -> None:
        """Do what the schedule says, one after another, none before its time; at the end, what was missed."""
        missed = [fault for at_s, fault in track if not await self._do(scene, fault, at_s)]
        for fault in missed * AGAIN:
            if self.done[fault] < self.plan.goals[fault]:
                await self._do(scene, fault)

    async def _do(self, scene: Scene, fault: Fault, at_s: float = 0.0) -> bool:
        """Whether it could be done."""
        await self._wait_for(at_s)
        begun = time.monotonic()
        try:
            await PERFORM[fault](scene)
        except (Missed, KafkaError, TimeoutError) as error:  # a broker that is away: the other track's doing
            self._say(f"{fault} missed: {error}")
            return False
        self.done[fault] += 1
        self._say(f"{fault} ({time.monotonic() - begun:.1f} s)")
        return True

    async def _settle(self, scene: Scene) -> tuple[Verdict | None, list[str]]:
        """Let everything be read and saved, stop all workers, and ask the oracle."""
        for _ in range(DRAINS):
            if not await self._is_drained(scene):
                return None, ["the workers do not get to the end of the logs"]
            await scene.crew.stop()
            self._say("stopped")
            verdict = await oracle.judge(scene.config, exact=not self.plan.reloads)
            if not verdict.behind:
                return verdict, []
            scene.crew.resting, scene.crew.size = False, 1
        return verdict, []

    async def _is_drained(self, scene: Scene) -> bool:
        """Whether all that there is was committed, in time."""
        deadline = time.monotonic() + QUIET_S
        behind = ["everything"]
        while behind and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
            with suppress(KafkaError):  # a broker that has just started may not know the group yet
                behind = await logs.behind(scene.config)
        for line in behind:
            self._say(line)
        return not behind

    async def _wait_for(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self._begun + at_s - time.monotonic()))

    def _say(self, text: str) -> None:
        self._tell(f"{time.monotonic() - self._begun:8.1f} s  {text}")

    def _report(
        self, scene: Scene, load: tuple[Writer, People], verdict: Verdict | None, failures: list[str]
    ) -> Report:
        crew, (writer, people) = scene.crew, load
        return Report(
            plan=self.plan,
            seconds=round(time.monotonic() - self._begun, 1),
            done=self.done,
            kills=sum(worker.told == "killed" for worker in crew.started),
            workers_started=len(crew.started),
            stopped_by_themselves=crew.restarts,
            written=writer.written + people.written,
            written_again=writer.again,
            verdict=verdict,
            failures=[*failures, *crew.failures],
        )


@contextmanager
def _logs_in(file: Path) -> Iterator[None]:
    """What the campaign's own clients say of a broker that comes and goes; other tests may share the process."""
    logger, handler = logging.getLogger("aiokafka"), logging.FileHandler(file)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)
        handler.close()


async def declare(config: Config) -> None:
    """All topics as `tidegate topics create` makes them, but that states are compacted within seconds."""
    states = [topic for topic in topics.needed(config) if topic.name.endswith(STATE)]
    admin = await broker.connect(config.kafka)
    try:
        await admin.create_topics(
            [NewTopic(t.name, t.partitions, 1, topic_configs={**t.settings, **QUICK_COMPACTION}) for t in states]
        )
    finally:
        await admin.close()
    await topics.declare(config)
