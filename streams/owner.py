"""The partitions that this worker owns, from assignment to revocation, and all that beats once a second.

An assignment starts afresh: whoever had a partition before, its state is restored from the facts.
Checkpoints come on a timer, at a revocation (best effort: what is not saved is folded again by the next
owner) and at a stop.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from aiokafka.errors import KafkaError
from faust.types.tuples import TP
from msgspec import structs

from schemas.alertmanager import ALERTS_PATH
from schemas.config import Config
from schemas.units import US
from streams.errors import TidegateError
from streams.external import Door
from streams.http import HttpServer
from streams.lane import Chunk, LaneApp, LaneConsumer
from streams.metrics import Metrics
from streams.outbox import Outbox, SendFailed, new_producer
from streams.partition import CoreFailed, Links, Partition
from streams.stage import Stage

TICK_S: Final = 1.0
RESTORES: Final = 16  # partitions restored at a time, each with a connection of its own
NEED_RESTART: Final = ("kafka", "http", "input")  # sections of the configuration
STALLED_S: Final = 15.0  # without a beat for that long the loop is not healthy
REVOKE_SHARE: Final = 0.5  # of the session time-out may go into the checkpoint of a revocation
CLOSE_S: Final = 12.0  # of the 30 s that most give a process to stop, for the last checkpoint
PRODUCER_STOP_S: Final = 5.0

StageFactory = Callable[[str, int, Config], Stage]
Clock = Callable[[], int]
Reload = Callable[[], Config | None]

log = structlog.get_logger("tidegate.worker")


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() * US // 1_000_000_000


class NotSaved(TidegateError):
    """The last checkpoint was not acknowledged before the worker had to go."""


class PartitionOwner:
    """Implements `lane.Owner`. `failure` is what went wrong first; Faust only remembers what did last."""

    app: LaneApp

    def __init__(self, config: Config, stages: StageFactory, clock: Clock, reload: Reload) -> None:
        self.config, self.metrics, self.failure = config, Metrics(), None
        self.port: int | None = None
        self._stages, self._clock, self._reload = stages, clock, reload
        self._owned: dict[TP, tuple[int, Partition]] = {}
        self._restoring = asyncio.Semaphore(RESTORES)
        self._assigned = False
        self._beat = time.monotonic()
        self._producer: Any = None
        self._http = HttpServer(config.http, self.metrics, self.why_unhealthy, self.why_not_ready)

    failure: Exception | None

    async def opened(self) -> None:
        """Everything that is not Faust's: producer, HTTP, timers, SIGHUP."""
        self._producer = new_producer(self.config.kafka)
        try:
            await self._producer.start()
        except KafkaError as error:
            self.failure = SendFailed(f"could not connect to write: {type(error).__name__} {error}")
            raise self.failure from error
        door = Door(self._producer, lambda: self.config, self._clock, self.metrics)
        self._http.add_post(ALERTS_PATH, door.post)
        self.port = await self._http.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
        self.app.add_future(self._every(TICK_S, self._tick))
        self.app.add_future(self._every(TICK_S, door.tick))
        self.app.add_future(self._every(self.config.kafka.checkpoint_every, self.checkpoint))

    async def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """Own these anew and begin to restore them."""
        self._drop()
        for tp in partitions:
            partition = self._new_partition(tp)
            self._owned[tp] = generation, partition
            self.app.add_future(self._restore(tp, partition))
        self._assigned = True
        log.info("assigned", partitions=len(self._owned), generation=generation)

    async def revoked(self) -> None:
        """Save what can be saved in time, and let go of everything."""
        limit_s = self.config.kafka.session_timeout * REVOKE_SHARE
        try:
            await asyncio.wait_for(self.checkpoint(), limit_s)
        except (TimeoutError, TidegateError) as error:
            log.warning("no checkpoint at revocation", reason=str(error) or f"not done in {limit_s:g} s")
        self._drop()

    async def closing(self) -> None:
        """Save everything, unless something has broken already."""
        try:
            if self.app.crash_reason is None:
                await asyncio.wait_for(self.checkpoint(), CLOSE_S)
        except TidegateError as error:
            self.failure = self.failure or error
        except TimeoutError:
            self.failure = self.failure or NotSaved(
                f"no checkpoint in {CLOSE_S:g} s; what was read since the last one is read again"
            )
        self._drop()

    async def closed(self) -> None:
        """Close the connections."""
        await self._http.stop()
        if self._producer is not None:
            try:
                await asyncio.wait_for(self._producer.stop(), PRODUCER_STOP_S)
            except TimeoutError:
                log.warning("the producer did not stop in time")

    async def deliver(self, tp: TP, generation: int, chunk: Chunk) -> None:
        """Hand a chunk to its partition, if it is of the present generation."""
        owned = self._owned.get(tp)
        if owned is not None and owned[0] == generation:
            with self._noting():
                try:
                    await owned[1].deliver(chunk)
                except CoreFailed as failure:
                    self.failure = self.failure or failure  # what goes wrong while the others are saved comes after it
                    await self._save_others()
                    raise
        await asyncio.sleep(0)  # others must get a turn, however long the backlog

    async def checkpoint(self) -> None:
        """Make everything owned durable."""
        await asyncio.gather(*[self._save(tp, partition) for tp, (_, partition) in list(self._owned.items())])

    def reload(self) -> None:
        """Take a new configuration where there is one; how events are read and where from needs a restart."""
        config = self._reload()
        self.metrics.reloads.labels("kept" if config is None else "taken").inc()
        if config is None:
            return
        kept = {section: getattr(self.config, section) for section in NEED_RESTART}
        for section in NEED_RESTART:
            if getattr(config, section) != kept[section]:
                log.warning("a change needs a restart", section=section)
        self.config = structs.replace(config, **kept)
        for _, partition in self._owned.values():
            partition.reconfigure(self.config)
        log.info("configuration taken", version=config.version)

    def why_unhealthy(self) -> str | None:
        """None while the worker makes progress."""
        if self.app.crash_reason is not None:
            return "crashed"
        idle_s = time.monotonic() - self._beat
        return f"no beat for {idle_s:.0f} s" if idle_s > STALLED_S else None

    def why_not_ready(self) -> str | None:
        """None once what is assigned is restored."""
        if not self._assigned:
            return "no assignment yet"
        waiting = [f"{tp.topic}-{tp.partition}" for tp, (_, partition) in self._owned.items() if not partition.ready]
        return f"restoring {', '.join(sorted(waiting))}" if waiting else None

    async def _save_others(self) -> None:
        """A bug in one stage: what the others did is sound. Unsaved, they would write it again, at other offsets."""
        try:
            await asyncio.wait_for(self.checkpoint(), CLOSE_S)
        except (TimeoutError, TidegateError) as error:
            log.warning("no checkpoint of the others", reason=str(error) or f"not done in {CLOSE_S:g} s")

    def _new_partition(self, tp: TP) -> Partition:
        topic = tp.topic.removeprefix(self.config.kafka.topic_prefix)
        outbox = Outbox(self._producer, self.metrics.send_retries.inc)

        async def rewind(offset: int) -> int:
            return await cast(LaneConsumer, self.app.consumer).rewind(tp, offset)

        def new_stage() -> Stage:
            return self._stages(topic, tp.partition, self.config)

        return Partition(topic, tp.partition, Links(self.config, self.metrics, outbox, rewind, new_stage))

    def _drop(self) -> None:
        for _, partition in self._owned.values():
            partition.close()
        self._owned.clear()
        self._assigned = False

    async def _restore(self, tp: TP, partition: Partition) -> None:
        async with self._restoring:
            if self._owned.get(tp, (0, None))[1] is not partition:
                return  # taken away while it waited: those of the present generation come first
            with self._noting():
                await partition.restore()
                await cast(LaneConsumer, self.app.consumer).mend(tp, partition.next)
        self._may_commit(tp, partition, partition.next)  # saved by the last owner, perhaps too late to commit

    async def _save(self, tp: TP, partition: Partition) -> None:
        durable = await partition.checkpoint()
        if durable is not None:
            self._may_commit(tp, partition, durable)

    def _may_commit(self, tp: TP, partition: Partition, offset: int) -> None:
        if offset and self._owned.get(tp, (0, None))[1] is partition:
            self.app.durable[tp] = offset

    async def _every(self, seconds: float, act: Callable[[], Any]) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(seconds)
            with self._noting():
                await act()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failure = self.failure or error
            raise

    async def _tick(self) -> None:
        self._beat = time.monotonic()
        if not self._owned:
            return  # the consumer may not even have started
        now_us, consumer = self._clock(), cast(LaneConsumer, self.app.consumer)
        for tp, (_, partition) in list(self._owned.items()):
            sight = consumer.sight(tp)
            partition.measure(None if sight is None else sight.end, now_us)
            await partition.tick(now_us, sight)
