"""How each fault is done. What could not be done in time raises `Missed`, and is reported as missed."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.config import Config
from schemas.topics import ALERTS, COMMANDS, DEAD_LETTERS, FINDINGS, REQUESTS, ROLLUPS, STATE
from streams import broker, topics
from streams.local_kafka import LocalKafka
from tests.chaos import logs, segments
from tests.chaos.crew import TIDEGATE, Crew, Worker
from tests.chaos.schedule import Fault
from tests.chaos.watch import Mark, StateWatch

AIM_S: Final = 20.0  # how long a targeted fault waits for its moment
LAND_S: Final = 0.25  # in which all that a frozen worker has sent arrives and is seen
LOOK_S: Final = 0.003
NOTICE_S: Final = 45.0  # in which a worker notices that the broker refuses, or a broker that its disk is full
FROZEN_S: Final = 75.0  # longer than a worker is patient with its broker, 4 x 15 s
SLOW_TURNS: Final = 6
SLOW_S: Final = (0.3, 2.0)
TINY_BYTES: Final = 90  # no fact fits
SMALL_BYTES: Final = (600, 6000)  # some batches fit, and some do not
REFUSING_S: Final = 4.0
UNFLUSHED: Final = 20  # checkpoints of partitions that are written before the power is cut
QUICK_COMPACTION: Final = {"segment.ms": "15000", "delete.retention.ms": "10000"}  # the rest is in `topics.COMPACTED`


class Missed(Exception):
    """The moment did not come."""


@dataclass
class Scene:
    """All that a fault can reach. `texts` are configurations that SIGHUP brings, the present one first."""

    config: Config
    file: Path
    kafka: LocalKafka
    crew: Crew
    watch: StateWatch
    rng: random.Random
    texts: list[str]

    async def anyone(self) -> Worker:
        """A worker that runs, once there is one."""
        await until(lambda: bool(self.crew.awake), AIM_S)
        return self.rng.choice(self.crew.awake)

    def owner(self, writer: bytes) -> Worker | None:
        """Who writes checkpoints under this name."""
        name = writer.decode()
        for worker in self.crew.awake:
            if any(line["writer"] == name for line in worker.events("restored")):
                return worker
        return None


async def until(reached: Callable[[], bool], seconds: float, pause_s: float = LOOK_S) -> None:
    """Wait until it is so; `Missed` if it is not in time."""
    try:
        async with asyncio.timeout(seconds):
            while not reached():  # noqa: ASYNC110  (in other processes)
                await asyncio.sleep(pause_s)
    except TimeoutError as error:
        raise Missed(f"not in {seconds:g} s") from error


# -- workers ---------------------------------------------------------------------------------------------------------


async def kill(scene: Scene) -> None:
    """At whatever it is just doing."""
    (await scene.anyone()).kill()


async def kill_in_checkpoint(scene: Scene) -> None:
    """Some facts of a checkpoint are in the log, the partition's own, which completes it, is not."""
    await _aimed(scene, completes=False, hit=_is_unfinished)


async def kill_before_commit(scene: Scene) -> None:
    """The checkpoint is complete, its offset is not committed."""
    await _aimed(scene, completes=True, hit=_is_not_committed)


async def _aimed(scene: Scene, *, completes: bool, hit: Callable[[Scene, Mark], Awaitable[bool]]) -> None:
    """Freeze who has just written such a record, look, and kill it or let it go and wait for the next one."""
    try:
        async with asyncio.timeout(AIM_S):
            while True:
                mark = await scene.watch.next(completes=completes)
                worker = scene.owner(mark.writer)
                if worker is None:
                    continue
                worker.freeze()
                try:
                    await asyncio.sleep(LAND_S)
                    if await hit(scene, mark):
                        return worker.kill()
                finally:
                    worker.thaw()
    except TimeoutError as error:
        raise Missed(f"not in {AIM_S:g} s") from error


async def _is_unfinished(scene: Scene, mark: Mark) -> bool:
    return scene.watch.unfinished.get((mark.place, mark.writer)) == mark.at


async def _is_not_committed(scene: Scene, mark: Mark) -> bool:
    return (await logs.committed(scene.config)).get(mark.place, 0) < mark.at


async def kill_in_restore(scene: Scene) -> None:
    """Partitions are assigned and not yet restored. A worker that is killed first makes the others restore."""
    (await scene.anyone()).kill()
    try:
        async with asyncio.timeout(AIM_S):
            while True:
                for worker in [worker for worker in scene.crew.awake if _restores(worker)]:
                    worker.freeze()
                    if _restores(worker):
                        return worker.kill()
                    worker.thaw()
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise Missed(f"not in {AIM_S:g} s") from error


def _restores(worker: Worker) -> bool:
    """Whether less than half of what was last assigned to it is restored."""
    assigned, restored = worker.events("assigned"), worker.events("restored")
    if not assigned or not (count := int(str(assigned[-1]["partitions"]))):
        return False
    since = sum(str(line["timestamp"]) >= str(assigned[-1]["timestamp"]) for line in restored)
    return since < count // 2


async def join(scene: Scene) -> None:
    """One more."""
    scene.crew.size += 1
    await until(lambda: len(scene.crew.alive) >= scene.crew.size, AIM_S)


async def leave(scene: Scene) -> None:
    """One less, in good order."""
    worker = await scene.anyone()
    scene.crew.size = max(1, scene.crew.size - 1)
    worker.terminate()
    await until(lambda: not worker.alive, NOTICE_S)


async def zombie(scene: Scene) -> None:
    """Stopped until its partitions are others', then awake again with all that it had in mind."""
    worker = await scene.anyone()
    worker.freeze()
    await asyncio.sleep(scene.config.kafka.session_timeout * scene.rng.uniform(1.2, 2.5))
    worker.thaw()


async def reload(scene: Scene) -> None:
    """SIGHUP for everybody who has begun, with another configuration: before that Python just dies of it."""
    scene.texts.append(scene.texts.pop(0))
    scene.file.write_text(scene.texts[0])
    for worker in scene.crew.awake:
        if worker.log.stat().st_size:
            worker.signal(signal.SIGHUP)


# -- the broker ------------------------------------------------------------------------------------------------------


async def broker_restart(scene: Scene) -> None:
    """In good order."""
    await asyncio.to_thread(scene.kafka.stop)
    await asyncio.to_thread(scene.kafka.start)


async def broker_kill(scene: Scene) -> None:
    """`kill -9`. What it had not flushed is in the system's page cache, and survives."""
    await asyncio.to_thread(scene.kafka.kill)
    await asyncio.sleep(scene.rng.uniform(0, 3))
    await asyncio.to_thread(scene.kafka.start)


async def broker_slow(scene: Scene) -> None:
    """It stands still again and again."""
    for _ in range(SLOW_TURNS):
        await _freeze_broker(scene, scene.rng.uniform(*SLOW_S))
        await asyncio.sleep(scene.rng.uniform(*SLOW_S))


async def broker_frozen(scene: Scene) -> None:
    """It takes connections and answers nothing, for longer than workers are patient."""
    before = scene.crew.restarts.total()
    await _freeze_broker(scene, FROZEN_S)
    await until(lambda: scene.crew.restarts.total() > before, NOTICE_S)


async def _freeze_broker(scene: Scene, seconds: float) -> None:
    pid = _pid(scene.kafka)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


async def disk_full(scene: Scene) -> None:
    """The kernel refuses the broker's next writes to its logs; it gives up, and comes back when there is room.

    A limit on the size of its files does it (EFBIG where a full disk says ENOSPC): the same failed write, and the
    same torn end of the log.
    """
    data = _data(scene.kafka)
    largest = max(file.stat().st_size for file in data.glob(f"*{REQUESTS}-*/*.log"))
    limit = largest + scene.rng.randint(0, 20_000)
    resource.prlimit(_pid(scene.kafka), resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        await until(lambda: not scene.kafka.running, NOTICE_S)
    finally:
        await broker_kill(scene)


async def state_refused(scene: Scene) -> None:
    """Facts are larger than their topic takes: the worker stops with a clear error, and nothing is passed."""
    topic = scene.rng.choice((REQUESTS, ROLLUPS, FINDINGS)) + STATE
    before = scene.crew.restarts.total()
    async with _Limited(scene, topic, TINY_BYTES):
        await until(lambda: scene.crew.restarts.total() > before, NOTICE_S)


async def output_refused(scene: Scene) -> None:
    """Some batches of an output are larger than its topic takes, and some are not."""
    topic = scene.rng.choice((ROLLUPS, FINDINGS, COMMANDS, ALERTS, REQUESTS + DEAD_LETTERS))
    async with _Limited(scene, topic, scene.rng.randint(*SMALL_BYTES)):
        await asyncio.sleep(REFUSING_S)


class _Limited:
    """While it lasts a topic takes no batch of more than so many bytes."""

    def __init__(self, scene: Scene, topic: str, size: int) -> None:
        self._scene, self._topic, self._size = scene, scene.config.kafka.topic_prefix + topic, size

    async def __aenter__(self) -> None:
        await self._set({"max.message.bytes": str(self._size)})

    async def __aexit__(self, *_: object) -> None:
        await self._set({})

    async def _set(self, limit: Mapping[str, str]) -> None:
        usual = next(topic.settings for topic in topics.needed(self._scene.config) if topic.name == self._topic)
        quick = QUICK_COMPACTION if self._topic.endswith(STATE) else {}
        admin = await broker.connect(self._scene.config.kafka)
        try:
            resources = [ConfigResource(ConfigResourceType.TOPIC, self._topic, {**usual, **quick, **limit})]
            await admin.alter_configs(resources)
        finally:
            await admin.close()


async def power_cut(scene: Scene) -> None:
    """Workers and broker die at once, and the state topics lose batches that were not flushed."""
    with suppress(TimeoutError):  # a broker that has just started has flushed everything
        async with asyncio.timeout(AIM_S):
            for _ in range(UNFLUSHED):
                await scene.watch.next(completes=True)
    scene.crew.resting = True
    for worker in scene.crew.alive:
        worker.kill()
    await asyncio.to_thread(scene.kafka.kill)
    data = _data(scene.kafka)
    lost = [segments.cut_tail(data, folder.name, scene.rng) for folder in data.glob(f"*{STATE}-*")]
    await asyncio.to_thread(scene.kafka.start)
    scene.crew.resting = False
    if not any(lost):
        raise Missed("everything was flushed")


async def partition_added(scene: Scene) -> None:
    """To an input. Workers refuse to go on until its state topic has one, too, as `topics create` sees to."""
    topic = scene.config.kafka.topic_prefix + REQUESTS
    count = (await logs.partitions(scene.config))[REQUESTS]
    admin = await broker.connect(scene.config.kafka)
    try:
        await admin.create_partitions({topic: NewPartitions(count + 1)})
    finally:
        await admin.close()
    before = _refusals(scene.crew)
    (await scene.anyone()).kill()  # who starts sees it at once, who runs within five minutes
    with suppress(Missed):  # what mends it is done all the same: nobody could start any more
        await until(lambda: _refusals(scene.crew) > before, NOTICE_S)
    scene.crew.resting = True
    for worker in scene.crew.alive:
        worker.terminate()
    await until(lambda: not scene.crew.alive, NOTICE_S)
    await _create_topics(scene)
    scene.crew.resting = False
    if _refusals(scene.crew) == before:
        raise Missed("nobody noticed")


async def _create_topics(scene: Scene) -> None:
    command = [*TIDEGATE, "topics", "create", "--config", str(scene.file)]
    create = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    if await create.wait():
        raise Missed("`topics create` failed")


def _refusals(crew: Crew) -> int:
    return sum(number for reason, number in crew.restarts.items() if reason.startswith("partitions and"))


def _pid(kafka: LocalKafka) -> int:
    if kafka.pid is None:
        raise Missed("the broker is down")
    return kafka.pid


def _data(kafka: LocalKafka) -> Path:
    if kafka.folder is None:
        raise Missed("the broker is gone")
    return kafka.folder / "data"


PERFORM: Final[Mapping[Fault, Callable[[Scene], Awaitable[None]]]] = {
    Fault.KILL: kill,
    Fault.KILL_IN_CHECKPOINT: kill_in_checkpoint,
    Fault.KILL_BEFORE_COMMIT: kill_before_commit,
    Fault.KILL_IN_RESTORE: kill_in_restore,
    Fault.JOIN: join,
    Fault.LEAVE: leave,
    Fault.ZOMBIE: zombie,
    Fault.RELOAD: reload,
    Fault.BROKER_RESTART: broker_restart,
    Fault.BROKER_KILL: broker_kill,
    Fault.BROKER_SLOW: broker_slow,
    Fault.BROKER_FROZEN: broker_frozen,
    Fault.DISK_FULL: disk_full,
    Fault.STATE_REFUSED: state_refused,
    Fault.OUTPUT_REFUSED: output_refused,
    Fault.POWER_CUT: power_cut,
    Fault.PARTITION_ADDED: partition_added,
}
