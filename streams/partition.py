"""One owned partition: restore its stage, fold what is delivered, send what comes of it, keep it durable.

A partition lives for one generation of the consumer group. `next` is the offset below which everything is
applied. `_turn` is held while records are applied and their output handed over, so that a checkpoint
never falls between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby, islice
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.config import Config
from schemas.topics import DEAD_LETTERS, STATE, Place, Record
from schemas.units import US
from streams import culprit, facts
from streams.dead_letters import DeadLetters
from streams.errors import TidegateError
from streams.lane import CHUNK, Chunk, Sight
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.skipping import Apply, passing_over
from streams.stage import Applied, Fact, Outgoing, Stage

REWIND_AGAIN_S: Final = 2.0  # chunks from before a rewind are dropped that long, before it is asked for again
HOLD_S: Final = 0.1  # records of much event time close many seconds: so many are folded at once as take this long, ...
FIRST_AT_ONCE: Final = 50  # ... and so many before that is known
FACTS_A_TURN: Final = 500  # facts sent between two turns of the loop
SEARCH_S: Final = 60.0  # for the record that the core failed at
TRUNCATED_S: Final = 5.0  # a log that ends too early for so long is no leader that still catches up

log = structlog.get_logger("tidegate.partition")


class Links(NamedTuple):
    """What a partition is connected to."""

    config: Config
    metrics: Metrics
    outbox: Outbox
    rewind: Callable[[int], Awaitable[int]]  # read again from this offset; where it really goes on
    new_stage: Callable[[], Stage]


class Checkpoint(NamedTuple):
    """What a stage was at one instant."""

    next: int
    position: bytes
    facts: list[Fact]


class CoreFailed(Exception):
    """A bug: the core raised something. No user can mend it, so it is no TidegateError and comes with its traceback."""


class LogTruncated(TidegateError):
    """The log is not the one that the state was made of: it was created again, or has lost what was applied."""


class CoreError(Exception):
    """The core raised an exception at these records."""


class Partition:
    """`topic` is without prefix. Nothing is folded before `restore()`, nothing after `close()`."""

    def __init__(self, topic: str, number: int, links: Links) -> None:
        self.topic, self.number = topic, number
        self.next = 0
        self._config, self._metrics, self._outbox, self._rewind, self._new_stage = links
        self.stage = links.new_stage()
        self._skip = links.config.input.skipped(topic, number)
        self._apply = self._apply_of(self.stage)
        self._log = log.bind(topic=topic, partition=number)
        self._turn = asyncio.Lock()
        self._restored = asyncio.Event()
        self._saving = asyncio.Lock()
        self._closed = False
        self._whole = True  # False once an apply or a send has failed half-way: nothing may be saved any more
        self._torn = False  # True once a checkpoint was not finished: what it was to save is marked as saved
        self._pending_config: Config | None = None
        self._writer = facts.Writer({}, b"", self.stage.state_format)
        self._durable = 0
        self._at_once = FIRST_AT_ONCE
        self._rewound_at = float("-inf")
        self._sight: Sight | None = None  # to be caught up with
        self._read_us = -1  # at that moment of the wall clock it had read all there was
        self._truncated_at: float | None = None  # since when the log ends before `next`

    @property
    def ready(self) -> bool:
        """Whether its state is loaded."""
        return self._restored.is_set()

    @property
    def _source_topic(self) -> str:
        return self._config.kafka.topic_prefix + self.topic

    @property
    def _state_topic(self) -> str:
        return self._source_topic + STATE

    async def restore(self) -> None:
        """Become what the last complete checkpoint says."""
        begun = time.perf_counter()
        found = await facts.read(self._config.kafka, self._state_topic, self.number)
        found.require(self.stage.state_format, f"{self._state_topic}, partition {self.number}")
        if found.position is not None:
            self.stage.restore(found.position, found.facts)
        self.next = self._durable = found.next
        writer = facts.new_writer()
        self._writer = facts.Writer(found.keys, writer, self.stage.state_format)
        took = time.perf_counter() - begun
        self._metrics.restore.labels(self.topic).set(took)
        tell = self._log.info if found.next else self._log.debug
        tell("restored", next=self.next, facts=len(found.facts), writer=writer.decode(), seconds=round(took, 3))
        self._restored.set()
        if self._pending_config is not None:
            self.stage.reconfigure(self._pending_config)

    def reconfigure(self, config: Config) -> None:
        """From the next record on."""
        if self.ready:
            self.stage.reconfigure(config)
        else:
            self._pending_config = config

    async def deliver(self, chunk: Chunk) -> None:
        """Fold what of the chunk is new; if something before it was lost, read that again instead."""
        await self._restored.wait()
        async with self._turn:
            if self._closed or chunk.end <= self.next:
                return
            if chunk.start > self.next:
                await self._read_again()
                return
            records = chunk.records(self.next)
            if holes := chunk.end - self.next - len(records):  # compacted away, or the markers of transactions
                self._metrics.gaps.labels(self.topic).inc(holes)
        while records:
            some, records = records[: self._at_once], records[self._at_once :]
            try:
                async with self._turn:  # given away between: ticks, and checkpoints of what is folded so far
                    if self._closed:
                        return
                    await self._fold(some)
            except CoreError as error:
                await self._name_culprit(some)
                raise CoreFailed(f"{self.topic}/{self.number}@{error}") from error.__cause__
            await asyncio.sleep(0)
        if not self._closed:
            self.next = chunk.end
            self._rewound_at = float("-inf")  # a gap from here on is another one

    async def tick(self, now_us: int, sight: Sight | None) -> None:
        """Send what only the wall clock can know; `sight` is the newest of the log's end."""
        if self.ready and not self._closed:
            async with self._turn:
                if not self._closed:
                    self._catch_up(sight)
                    await self._send(self.stage.tick(now_us, self._read_us))

    def _catch_up(self, sight: Sight | None) -> None:
        """Each sight is kept until all that it showed is applied: on a busy log there is always something newer."""
        if self._sight is None:
            self._sight = sight
        if self._sight is not None and self.next >= self._sight.end:
            self._read_us, self._sight = max(self._read_us, self._sight.at_us), None

    async def checkpoint(self) -> int | None:
        """Make all that is applied durable: the offset that may be committed, None if nothing was new."""
        if not self.ready or self._closed:
            return None
        async with self._saving:  # one at a time: what it makes obsolete counts on the one before
            try:
                if (taken := await self._take()) is None:
                    return None
                with self._metrics.checkpoint.labels(self.topic).time():
                    await self._write(taken)
            except BaseException:  # a time limit, too: what it took for saved is not, so nothing may be saved any more
                self._torn = True
                raise
            forgotten = sum(fact.state is None for fact in taken.facts)
            self._metrics.facts.labels(self.topic).inc(len(taken.facts) - forgotten + 1)
            self._metrics.forgotten.labels(self.topic).inc(forgotten)
            return taken.next

    def close(self) -> None:
        """Fold and send nothing more. What is being delivered ends by itself."""
        self._closed = True
        self._restored.set()  # let go of who waits
        self._metrics.forget(self.topic, self.number)

    def measure(self, log_end: int | None, now_us: int) -> None:
        """Tell the metrics how far behind this partition is; once closed that is another worker's to tell.

        Raises LogTruncated once the log ends before what was applied, and does not grow again.
        """
        if self._closed:
            return
        if self.ready and log_end is not None:
            self._check_end(log_end)
        seen_us = self.stage.event_time_us
        records = None if log_end is None else log_end - self.next
        self._metrics.lag(self.topic, self.number, records, None if seen_us is None else (now_us - seen_us) / US)

    def _check_end(self, log_end: int) -> None:
        if log_end >= self.next:
            self._truncated_at = None
            return
        now = time.monotonic()
        self._truncated_at = now if self._truncated_at is None else self._truncated_at
        if now - self._truncated_at >= TRUNCATED_S:
            raise LogTruncated(
                f"partition {self.number} of {self._source_topic} ends at offset {log_end}, but its state has applied"
                f" all below {self.next}: the topic was created again, or its brokers lost data; see"
                " docs/operations.md, A log that was lost"
            )

    async def _read_again(self) -> None:
        now = time.monotonic()
        if now - self._rewound_at < REWIND_AGAIN_S:
            return  # on its way; this chunk was already
        self._rewound_at = now
        landed = await self._rewind(self.next)
        if landed > self.next:
            self._log.warning("records expired before they were read", first_lost=self.next, next=landed)
            self._metrics.gaps.labels(self.topic).inc(landed - self.next)
            self.next = landed

    async def _fold(self, records: Sequence[Record]) -> None:
        begun = time.perf_counter()
        self._whole = False
        applied = self._applied(records)
        self._metrics.count(self.topic, applied.counts)
        await self._send(applied.outgoing)
        self.next = records[-1].offset + 1
        self._whole = True
        took = max(time.perf_counter() - begun, 1e-6)
        self._at_once = max(1, min(CHUNK, 2 * self._at_once, round(len(records) * HOLD_S / took)))

    def _apply_of(self, stage: Stage) -> Apply:
        return passing_over(stage.apply, self._skip, DeadLetters(self.topic, self.number))

    def _applied(self, records: Sequence[Record]) -> Applied:
        try:
            with self._metrics.batch.labels(self.topic).time():
                return self._apply(records)
        except Exception as bug:  # it goes on up, and stops the worker
            first, last = records[0].offset, records[-1].offset
            self._log.critical("the core failed", first_offset=first, last_offset=last)
            self.close()  # so that nothing waits for what comes now
            raise CoreError(f"{first} to {last}: {type(bug).__name__} {bug}") from bug

    async def _name_culprit(self, records: Sequence[Record]) -> None:
        scene = culprit.Scene(
            self._config.kafka, TopicPartition(self._source_topic, self.number), self._new_stage, self._apply_of
        )
        try:
            offset = await asyncio.wait_for(culprit.find(scene, records), SEARCH_S)
        except (KafkaError, TidegateError, TimeoutError) as error:
            self._log.warning("the record that it failed at was not found", reason=str(error) or repr(error))
            return
        if offset is None:
            self._log.critical("no record makes the core fail by itself, only all of them together")
            return
        place = Place(self.topic, self.number, offset)
        skip = f'input: {{skip: ["{place}"]}}'
        self._log.critical("the core fails at this record", offset=offset, to_pass_over_it=skip)

    async def _send(self, outgoing: Sequence[Outgoing]) -> None:
        prefix = self._config.kafka.topic_prefix
        for topic, some in groupby(outgoing, key=_topic):
            if topic.endswith(DEAD_LETTERS):
                await self._outbox.send_many(prefix + topic, list(some))
                continue
            for _, key, value, headers in some:
                await self._outbox.send(prefix + topic, key, value, headers=headers)

    async def _take(self) -> Checkpoint | None:
        async with self._turn:
            if self._closed or self._torn or not self._whole or self.next == self._durable:
                return None
            self._durable = self.next  # what comes later is for the next one
            position, facts = self.stage.position(), []
            for fact in self.stage.changed():
                facts.append(fact)
                if len(facts) % FACTS_A_TURN == 0:
                    await asyncio.sleep(0)  # other partitions go on; this one waits for `_turn`
            return Checkpoint(self.next, position, facts)

    async def _write(self, taken: Checkpoint) -> None:
        await self._outbox.flushed()
        kept = [(subject, state) for subject, state in taken.facts if state is not None]
        await self._send_rows(self._writer.row(subject, taken.next, state) for subject, state in kept)
        await self._outbox.flushed()
        await self._send_rows([self._writer.row(facts.PARTITION, taken.next, taken.position)])
        await self._outbox.flushed()
        await self._send_rows(self._writer.obsolete(taken.next, [fact.subject for fact in taken.facts]))

    async def _send_rows(self, rows: Iterable[facts.Row]) -> None:
        left = iter(rows)
        while some := [Outgoing(self._state_topic, *row) for row in islice(left, FACTS_A_TURN)]:
            await self._outbox.send_many(self._state_topic, some, self.number)
            await asyncio.sleep(0)


def _topic(outgoing: Outgoing) -> str:
    return outgoing.topic
