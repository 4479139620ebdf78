"""The process: a consumer of commands in a group of the executor's own, and a clerk for each partition that it has.

A rebalance takes all partitions and gives some: each begins anew with what was told so far. Offsets are committed below
what is not settled, after everything told is acknowledged; so a successor reads again what it must know, and no more.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from actions.docket import Docket, Office
from actions.executors.interface import Executor
from schemas.config import Config
from schemas.outputs import Result, State
from schemas.topics import COMMANDS, RESULTS
from schemas.units import US
from streams import broker
from streams.acl import Process
from streams.concurrent import first
from streams.execute.clerk import Clerk, Hands
from streams.execute.fence import Fence
from streams.execute.history import read_past
from streams.execute.metrics import ExecuteMetrics
from streams.execute.rehearsal import GROUP_SUFFIX, as_rehearsed
from streams.outbox import Outbox, SendFailed, new_producer
from streams.topics import verify

POLL_MS: Final = 200
COMMIT_EVERY_S: Final = 1.0
FORGET_EVERY_S: Final = 3600.0
AT_ONCE: Final = 16  # endpoints that are being asked about
FINISH_S: Final = 6.0  # for what is under way at a stop; with the rest it stays below ten
HAND_OVER_S: Final = 2.0  # the same at a rebalance
CLOSE_S: Final = 2.0
STALLED_S: Final = 15.0
PATIENCE_S: Final = 6 * 3600.0  # a quarter of how long a broker may be away

log = structlog.get_logger("tidegate.execute")


class Execution(ConsumerRebalanceListener):
    """One executor at work. `rehearse`: say what would be done."""

    def __init__(self, config: Config, office: Office, executor: Executor, *, rehearse: bool = False) -> None:
        self._config, self._office, self._rehearse = config, office, rehearse
        self._prefix = config.kafka.topic_prefix
        self.metrics = ExecuteMetrics(office.name)
        self._executor = executor
        self._clerks: dict[TopicPartition, Clerk] = {}
        self._new: set[TopicPartition] = set()
        self._generation = 0
        self._beat_s = time.monotonic()
        self._has_joined = False
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Until `stop`, or until something fails, which is raised."""
        kafka = self._config.kafka
        await first(verify(self._config, Process.EXECUTE, self._office.name), self._stopped.wait())
        if self._stopped.is_set():
            return  # while no broker answered
        producer, self._consumer = new_producer(kafka), _new_consumer(self._config, self._office.name, self._rehearse)
        self._outbox = Outbox(producer, self.metrics.not_acknowledged, PATIENCE_S)
        self._fence = Fence(self._consumer, kafka.session_timeout)
        self._hands = Hands(
            self._executor, self._tell, self._outbox.flushed, self._fence, self.metrics, wall_clock_us,
            asyncio.Semaphore(AT_ONCE), self._fail,
        )  # fmt: skip
        await producer.start()
        try:
            self._consumer.subscribe([self._prefix + COMMANDS], listener=self)
            await self._consumer.start()
            await self._work()
        finally:
            await self._close(producer)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish what is under way, within ten seconds."""
        self._stopped.set()

    def healthy(self) -> str | None:
        silent_s = time.monotonic() - self._beat_s
        return f"nothing was asked of Kafka for {silent_s:.0f} s" if silent_s > STALLED_S else None

    def ready(self) -> str | None:
        if not self._has_joined:
            return "not yet in the group"
        behind = [tp.partition for tp in self._new] + [
            tp.partition for tp, c in self._clerks.items() if not c.is_caught_up
        ]
        return f"partitions {sorted(behind)} are being read" if behind else None

    # aiokafka's listener

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Others may act on them from now on."""
        del revoked  # all of them, at each rebalance
        self._generation += 1
        self._new.clear()
        await self._close_clerks(HAND_OVER_S)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are opened by the loop that reads: this must not wait."""
        self._generation += 1
        self._new = set(assigned)
        self._has_joined = True
        log.info("assigned", partitions=sorted(tp.partition for tp in self._new))

    # at work

    async def _work(self) -> None:
        tasks = [asyncio.create_task(each) for each in (self._read(), self._commit(), self._stopped.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            self._beat_s = time.monotonic()
            self._fence.beat()
            if self._new and not await self._open(batches):
                continue  # assigned anew meanwhile: these records come again
            for partition, records in batches.items():
                if (clerk := self._clerks.get(partition)) is not None:
                    await clerk.hear(records, records[-1].offset + 1)

    async def _open(self, batches: dict[TopicPartition, list[Any]]) -> bool:
        """Give each new partition a clerk as soon as its first record is here, or there is none."""
        generation = self._generation
        ends = await self._consumer.end_offsets(list(self._new))
        first: dict[TopicPartition, int] = {}
        begins: dict[TopicPartition, int] = {}
        now_ms = wall_clock_us() // 1000
        for partition in list(self._new):
            records = batches.get(partition)
            position = await self._consumer.position(partition)
            if records or position >= ends[partition]:
                first[partition] = records[0].timestamp if records else now_ms
                begins[partition] = records[0].offset if records else position
        if generation != self._generation or not first:
            return generation == self._generation
        past = await read_past(self._config, self._office.name, min(first.values()), now_ms)
        if generation != self._generation:
            return False
        for partition, begin in begins.items():
            await self._begin(partition, Docket(self._office, past), (begin, ends[partition]))
        return generation == self._generation

    async def _begin(self, partition: TopicPartition, docket: Docket, stretch: tuple[int, int]) -> None:
        begin, end = stretch
        self._new.discard(partition)
        docket.begin(begin)
        self._fence.safe[partition] = begin
        count = len(self._consumer.partitions_for_topic(partition.topic) or ())
        hands = self._hands._replace(partitions=count)
        self._clerks[partition] = clerk = Clerk(partition, docket, end, hands)
        await clerk.hear((), begin)

    async def _commit(self) -> None:
        forgot_s = time.monotonic()
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit_now()
            self.metrics.in_force(sum(clerk.docket.in_force() for clerk in self._clerks.values()))
            if time.monotonic() - forgot_s > FORGET_EVERY_S:
                forgot_s = time.monotonic()
                for clerk in self._clerks.values():
                    clerk.docket.forget(wall_clock_us())

    async def _commit_now(self) -> None:
        """What is settled, as soon as all that was told of it is acknowledged."""
        generation = self._generation
        found = {partition: clerk.docket.committable() for partition, clerk in self._clerks.items()}
        moved = {partition: at for partition, at in found.items() if at != self._fence.safe.get(partition)}
        if not moved:
            return
        await self._outbox.flushed()
        if generation == self._generation:
            self._fence.safe.update(moved)
            for partition in moved:
                await self._fence.ask(partition)

    async def _tell(self, results: Iterable[Result]) -> None:
        for result in results:
            self.metrics.told(result)
            told = as_rehearsed(result) if self._rehearse else result
            key = None if told.endpoint is None else told.endpoint.encode()
            await self._outbox.send(self._prefix + RESULTS, key, msgspec.json.encode(told))
            _log(result, told.reason)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stopped.set()

    async def _close_clerks(self, patience_s: float) -> None:
        """End what is under way, and commit what is settled, if a broker answers."""
        clerks = list(self._clerks.values())
        await asyncio.gather(*(clerk.close(patience_s) for clerk in clerks))
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._commit_now()
        except (TimeoutError, KafkaError, SendFailed) as error:
            log.warning("not all was committed", reason=repr(error))
        self._clerks.clear()
        self._fence.safe.clear()

    async def _close(self, producer: Any) -> None:  # noqa: ANN401 -- aiokafka's
        await self._close_clerks(FINISH_S)
        await self._executor.close()
        for client in (self._consumer, producer):
            try:
                await asyncio.wait_for(client.stop(), CLOSE_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("not closed in order", reason=repr(error))


def _log(result: Result, reason: str) -> None:
    is_bad = result.refusal is not None or result.state is State.FAILED
    about = {"command": result.command_id, "endpoint": result.endpoint, "reason": reason}
    say = log.warning if is_bad else log.info
    say("told", state=result.state, refusal=result.refusal, **about)


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() * US // 1_000_000_000


def listen_to_signals(execution: Execution, loop: asyncio.AbstractEventLoop) -> None:
    """SIGTERM and SIGINT stop. SIGHUP must not kill; the configuration is read at a start alone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, execution.stop)
    told: Callable[[], None] = lambda: log.warning("a new configuration needs a restart")  # noqa: E731
    loop.add_signal_handler(signal.SIGHUP, told)


def _new_consumer(config: Config, name: str, rehearse: bool) -> Any:  # noqa: ANN401, FBT001
    session_ms = int(config.kafka.session_timeout * 1000)
    return broker.new_consumer(
        config.kafka,
        group_id=f"{config.kafka.group}.execute.{name}" + (GROUP_SUFFIX if rehearse else ""),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 5,
    )
