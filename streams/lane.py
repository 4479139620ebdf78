"""The batch lane: one Faust event carries up to CHUNK raw records of one partition.

The only module that touches private parts of Faust and aiokafka, and therefore bound to their exact
versions. It has three reasons to:

- Faust spends 60 us on each event, wherever it came from; here that buys 4 000 records.
- aiokafka wraps each record that its C parser made in an object of Python; here the C records are used as
  they are (`kafka.lean_fetch: false` leaves that to aiokafka: twice the CPU, the same records).
- A position says which records follow which only as long as nobody loses any. So every chunk says from
  which offset to which it is *everything the log holds*: `Chunk.start` and `Chunk.end`. What is missing
  between two chunks was lost on the way (a rebalance, a full queue) and is read again; what is missing
  inside a chunk is legal (compaction, the markers of transactions).

Every topic of a `LaneApp` is a lane. It commits what `durable` says and nothing else: an ack means
nothing to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Final, NamedTuple, Protocol

EXPECTED: Final = {"faust-streaming": "0.15.3", "aiokafka": "0.14."}


class UnsupportedVersion(ImportError):
    """An installed library is not the one whose private parts this module knows."""


def require(versions: dict[str, str], installed: Callable[[str], str] = version) -> None:
    """Refuse any library whose version does not start as expected."""
    for name, expected in versions.items():
        if not installed(name).startswith(expected):
            raise UnsupportedVersion(f"tidegate needs {name} {expected.rstrip('.')}, found {installed(name)}")


require(EXPECTED)

# ruff: noqa: E402  (these come only once the versions are known to be right)
import aiokafka.conn
import faust
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from schemas.topics import Record
from streams.loop import Loop

CHUNK: Final = 4000  # offsets an event, unless a producer's batch has more; and records folded at once
FETCH_WAIT_MS: Final = 100  # Faust's 1500 lets the long poll of an idle partition hold up the busy ones
FETCH_TIMEOUT_S: Final = 1.0
READER_BYTES: Final = 64 << 20  # aiokafka pauses its socket for every 128 KiB, a dozen times a fetch
COMMIT_S: Final = 5.0  # aiokafka tries for ever, and a worker that stops would wait for it
LEAVE_S: Final = 5.0  # the same for leaving the group
aiokafka.conn.READER_LIMIT = READER_BYTES  # of each connection made from now on
FULL_PAUSE_S: Final = 0.01  # Faust sleeps 1 s when the queue of every partition is full


class Batch(NamedTuple):
    """Records up to the offset `end`, as a producer has batched them. They are parsed when they are asked for."""

    end: int
    rows: Iterable[Record]


class Chunk(NamedTuple):
    """All records the log holds at `start` <= offset < `end`."""

    start: int
    end: int
    batches: Sequence[Batch]

    def records(self, since: int) -> list[Record]:
        """Those from this offset on; the first batch may begin before: it is sent whole.

        Parsed here, in the thread that folds them, so that they are in its cache.
        """
        records: list[Record] = []
        for batch in self.batches:
            records += batch.rows
        if records and records[0].offset < since:
            records = [record for record in records if record.offset >= since]
        return records


class Sight(NamedTuple):
    """Where a log ended at a moment of the wall clock."""

    end: int
    at_us: int


def lean_drain(result: Any) -> Chunk:
    """All that a fetch brought for its partition, read-uncommitted, as the batches of the C parser."""
    part = result._partition_records
    part._records_iterator = None  # never begun, it would keep these bytes until a full garbage collection
    start, batches = part.next_fetch_offset, []
    while part._records.has_next():
        batch = part._records.next_batch()
        if part._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {result._topic_partition}")
        part.next_fetch_offset = batch.next_offset
        batches.append(Batch(batch.next_offset, () if batch.is_control_batch else batch))
    result._update_position()
    result._partition_records = None
    return Chunk(start, part.next_fetch_offset, batches)


def stock_drain(result: Any) -> Chunk:
    """The same by aiokafka's own means."""
    start, records = result._partition_records.next_fetch_offset, result.getall()
    end = result._assignment.state_value(result._topic_partition).position
    return Chunk(start, end, [Batch(record.offset + 1, (record,)) for record in records])


Drain = Callable[[Any], Chunk]


def take(fetcher: Any, wanted: set[TP] | None, drain: Drain) -> dict[TP, Chunk]:
    """What has been fetched so far of the wanted partitions; the error of one once nothing else is there."""
    taken: dict[TP, Chunk] = {}
    for tp, result in list(fetcher._records.items()):
        if wanted and tp not in wanted:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if type(result) is not FetchResult and taken:
            break
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)
        if type(result) is not FetchResult:
            result.check_raise()
        elif result.check_assignment(tp) and result.has_more():
            chunk = drain(result)
            if chunk.end > chunk.start:
                taken[tp] = chunk
    return taken


async def fetch(fetcher: Any, wanted: set[TP] | None, timeout_s: float, drain: Drain = lean_drain) -> dict[TP, Chunk]:
    """`Fetcher.fetched_records`, but in chunks: waits at most `timeout_s` for the first."""
    deadline = time.monotonic() + timeout_s
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        taken = take(fetcher, wanted, drain)
        left = deadline - time.monotonic()
        if taken or left <= 0:
            return taken
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left)
        if not done or fetcher._closed:
            waiter.cancel()
            return {}
        waiter.result()  # raises what the broker forbids


def cut(chunk: Chunk, size: int = CHUNK) -> Iterator[Chunk]:
    """The same in pieces of whole batches, of at most `size` offsets where these allow; the last reaches to its end."""
    start, end, some = chunk.start, chunk.start, list[Batch]()
    for batch in chunk.batches:
        if some and batch.end - start > size:
            yield Chunk(start, end, some)
            start, some = end, []
        some.append(batch)
        end = batch.end
    yield Chunk(start, chunk.end, some)


class BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """No decoding: `event.value` is the chunk, so that bad bytes cannot kill the stream."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        create = app.create_event

        async def decode(message: Any, **_: Any) -> Any:
            return create(message.key, message.value, None, message)

        return decode


class LaneThread(driver.AIOKafkaConsumerThread):
    """Faust's thread for aiokafka's consumer, fetching whole chunks."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  (Faust's signature)
        max_records: Any = None,  # noqa: ARG002  (all of them)
    ) -> Any:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        app: Any = self.consumer.app
        with fetcher._subscriptions.fetch_context():
            return await fetch(fetcher, active_partitions, timeout or 0.0, app.drain)

    async def on_thread_stop(self) -> None:
        """In a task of its own: while the broker is away it may take for ever, or end as if it had been cancelled."""
        stopping = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait({stopping}, timeout=LEAVE_S)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled():
            stopping.result()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Give up on a broker that is away: commits serve lag tools alone, and the next one takes these along."""
        try:
            return await asyncio.wait_for(super()._commit(offsets), COMMIT_S)
        except TimeoutError:
            app: Any = self.consumer.app
            for tp, offset in offsets.items():
                app.durable.setdefault(tp, offset)
            return False

    async def mend(self, tp: TP, offset: int) -> None:
        """Read again from `offset` if the group has committed more than that, and so reads on beyond it."""
        with suppress(TimeoutError, KafkaError):  # the first record that comes shows the gap, too
            async with asyncio.timeout(COMMIT_S):
                committed = await self._ensure_consumer().committed(tp)
                if committed is not None and committed > offset:
                    await self.rewind(tp, offset)

    async def rewind(self, tp: TP, offset: int) -> int:
        """In this thread, where no drain is half done: read from `offset`, or from where the log begins."""
        consumer: Any = self._ensure_consumer()
        first = (await consumer.beginning_offsets([tp]))[tp]
        landed = max(offset, first)
        try:
            consumer.seek(tp, landed)
        except IllegalStateError:
            return offset  # taken away meanwhile: its next owner reads on from its facts
        return int(landed)


class LaneConsumer(driver.Consumer):
    """Delivers chunks of the present generation, and commits what is durable."""

    app: Any
    _thread: LaneThread

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, thread_loop=Loop(), beacon=self.beacon)

    async def rewind(self, tp: TP, offset: int) -> int:
        """Read `tp` again from `offset`; where that really is: further up if the log begins there."""
        return int(await self._thread.call_thread(self._thread.rewind, tp, offset))

    async def mend(self, tp: TP, offset: int) -> None:
        """See that `tp` is read from `offset`, also where its state was deleted and its group was not."""
        if not self.flow_active:
            await self.can_resume_flow.wait()  # Faust is about to seek, to where the group has committed
        await self._thread.call_thread(self._thread.mend, tp, offset)

    def sight(self, tp: TP) -> Sight | None:
        """Where the log ended when it was last fetched; None while the partition is not ours to ask about."""
        consumer: Any = self._thread._ensure_consumer()
        try:
            at_ms = consumer.last_poll_timestamp(tp)  # first: what is seen of the end may be newer, not older
            return Sight(int(consumer.highwater(tp)), at_ms * 1000)
        except (AssertionError, IllegalStateError, TypeError):  # its own thread may just have lost it
            return None

    def ack(self, message: Any) -> bool:
        self._unacked_messages.discard(message)
        message.acked = True
        return True

    def _new_offset(self, tp: TP) -> int | None:
        offset: int | None = self.app.durable.pop(tp, None)
        return offset

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:  # noqa: ARG002  (all)
        return iter(list(self.app.durable))

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  (Faust's signature)
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        if active:
            return await self._getmany(active_partitions=active, timeout=timeout), active
        await asyncio.sleep(FULL_PAUSE_S)
        return {}, active

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._drain_once(fetcher)
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not self.app.should_stop:
                raise

    async def _drain_once(self, fetcher: Any) -> None:
        await asyncio.sleep(0)
        chunks, active = await self._wait_next_records(FETCH_TIMEOUT_S)
        generation = self.app.consumer_generation_id

        def live() -> bool:
            stopped = self._stopped.is_set() or fetcher._stopped.is_set()
            return self.flow_active and self.app.consumer_generation_id == generation and not stopped

        for tp, chunk in chunks.items():
            if tp in active or tp in self._buffered_partitions:
                await self._deliver(tp, chunk, live)

    async def _deliver(self, tp: TP, chunk: Chunk, live: Callable[[], bool]) -> None:
        for piece in cut(chunk):
            if not live():
                return  # the next generation reads it again
            generation, offset = self.app.consumer_generation_id, piece.end - 1
            value: Any = piece
            message = ConsumerMessage(*tp, offset, 0.0, 0, None, None, value, None, 0, 0, tp, generation_id=generation)
            await self.wait_first(self.callback(message), self.suspend_flow.wait())


class LaneTransport(driver.Transport):
    """Faust's transport with the lane's consumer."""

    Consumer = LaneConsumer


def silence(producer: Any) -> None:
    """Send nothing more, not even what is buffered. The requests on their way end by themselves."""
    sending = producer._sender.sender_task
    if sending is not None:
        sending.cancel()


class Owner(Protocol):
    """Who owns the partitions of an app."""

    async def opened(self) -> None:
        """The app starts, its loop runs: nothing has been read yet."""

    async def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """Called before the first record of the generation is delivered; must not wait for the network."""

    async def revoked(self) -> None:
        """All partitions are going; no record is delivered before the next assignment."""

    async def closing(self) -> None:
        """The app stops; what is `durable` afterwards is still committed."""

    async def closed(self) -> None:
        """Nothing runs any more."""


class LaneApp(faust.App):
    """A Faust app whose topics travel in chunks and whose partitions have an `owner`."""

    owner: Owner

    def __init__(self, name: str, owner: Owner, drain: Drain = lean_drain, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.owner = owner
        self.drain = drain
        self.durable: dict[TP, int] = {}  # what may be committed

    def _create_directories(self) -> None:
        """No tables, so nothing to keep on disk."""

    def _new_transport(self) -> LaneTransport:
        return LaneTransport(self.conf.broker_consumer, self)

    async def on_start(self) -> None:
        await self.owner.opened()
        await super().on_start()

    async def on_stop(self) -> None:
        await self.owner.closing()
        if self.crashed:
            self.durable.clear()  # the thread that would commit is gone: who asks it waits for ever
        if self.durable:
            await self.consumer.commit()
        await super().on_stop()
        await self.owner.closed()

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        if not self.should_stop:
            await self.owner.assigned(assigned, generation_id)
        await super()._on_partitions_assigned(assigned, generation_id)

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super()._on_partitions_revoked(revoked)
        if not self.should_stop:
            await self.owner.revoked()
        self.durable.clear()
