from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.config import Config
from schemas.topics import COMMANDS, REQUESTS, STATE, Record
from streams import facts
from streams.errors import TidegateError
from streams.facts import Restored, select
from streams.lane import Batch, Chunk, Sight
from streams.metrics import Metrics
from streams.outbox import ATTEMPTS, Outbox, SendFailed
from streams.partition import TRUNCATED_S, CoreFailed, Links, LogTruncated, Partition
from streams.stage import Outgoing
from tests.streams.test_lane import Row
from tests.streams.toy import EACH, ToyStage


class FakeProducer:
    """Acknowledges at once, or keeps its silence; remembers what it was given."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def send(self, topic: str, **record: Any) -> asyncio.Future[Any]:
        """As aiokafka's."""
        self.sent.append((topic, record))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.silent:
            future.set_result(None)
        return future

    def rows(self, topic: str) -> list[facts.Row]:
        """Keys and values sent to a topic."""
        return [(record["key"], record["value"]) for name, record in self.sent if name == topic]


class Bench:
    """A restored partition with everything around it faked. `log_start`: what is older has expired."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Restored | None = None) -> None:
        async def read(*_: object) -> Restored:
            return select([]) if found is None else found

        async def rewind(offset: int) -> int:
            self.rewound.append(offset)
            return max(offset, self.log_start)

        monkeypatch.setattr(facts, "read", read)
        self.rewound: list[int] = []
        self.log_start = 0
        self.producer, self.metrics = FakeProducer(), Metrics()
        outbox = Outbox(self.producer, self.metrics.send_retries.inc)
        links = Links(Config(), self.metrics, outbox, rewind, lambda: ToyStage(0))
        self.partition = Partition(REQUESTS, 0, links)

    @property
    def stage(self) -> ToyStage:
        """What the partition folds with."""
        stage = self.partition.stage
        assert isinstance(stage, ToyStage)
        return stage

    def play(self, *chunks: Chunk, checkpoint: bool = False) -> int | None:
        """Restore, deliver, and perhaps save: what may be committed."""

        async def scenario() -> int | None:
            if not self.partition.ready:
                await self.partition.restore()
            for chunk in chunks:
                await self.partition.deliver(chunk)
            return await self.partition.checkpoint() if checkpoint else None

        return asyncio.run(scenario())

    @property
    def gaps(self) -> float:
        """Offsets that held no record."""
        value = self.metrics.registry.get_sample_value("tidegate_gaps_total", {"topic": REQUESTS})
        return value or 0.0


def chunk(start: int, end: int, *missing: int) -> Chunk:
    records: list[Record] = [Row(o, key=b"k", value=b"1") for o in range(start, end) if o not in missing]
    return Chunk(start, end, [Batch(end, records)])


def test_what_was_applied_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that comes again, whole or in part, is folded once."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5), chunk(0, 5), chunk(3, 8))
    assert (bench.stage.applied, bench.partition.next, bench.rewound) == (8, 8, [])


def test_holes_inside_a_chunk_are_legal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compaction and the markers of transactions leave offsets without a record, even at a chunk's end."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5, 0, 4), chunk(5, 6, 5), chunk(6, 8))
    assert (bench.stage.applied, bench.partition.next, bench.gaps, bench.rewound) == (5, 8, 3, [])


def test_a_chunk_lost_on_the_way_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is not folded first, and the rewind is asked for once."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5), chunk(10, 15), chunk(15, 20), chunk(5, 12))
    assert (bench.stage.applied, bench.partition.next, bench.rewound) == (12, 12, [5])


def test_a_second_loss_is_read_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once reading goes on, a gap is a new one: on a quiet partition no later chunk might show it."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5), chunk(10, 15), chunk(5, 8), chunk(9, 12))
    assert bench.rewound == [5, 8]


def test_a_closed_partition_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lag is another worker's to tell, or it would stay for ever."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5))
    bench.partition.close()
    bench.partition.measure(100, 0)
    labels = {"topic": REQUESTS, "partition": "0"}
    assert bench.metrics.registry.get_sample_value("tidegate_lag_records", labels) is None


def test_a_log_that_ends_before_what_was_applied_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once: a new leader may need a moment; and not if it grows again."""
    bench, clock = Bench(monkeypatch), [100.0]
    bench.play(chunk(0, 5))
    monkeypatch.setattr("streams.partition.time.monotonic", lambda: clock[0])
    bench.partition.measure(3, 0)
    clock[0] += TRUNCATED_S
    bench.partition.measure(5, 0)
    bench.partition.measure(4, 0)
    clock[0] += TRUNCATED_S / 2
    bench.partition.measure(None, 0)
    bench.partition.measure(4, 0)
    clock[0] += TRUNCATED_S / 2
    with pytest.raises(LogTruncated, match=rf"partition 0 of {REQUESTS} ends at offset 4, .* below 5"):
        bench.partition.measure(4, 0)


def test_records_that_expired_are_counted_and_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log begins beyond `next`, waiting for the rest would be for ever."""
    bench = Bench(monkeypatch)
    bench.log_start = 10
    bench.play(chunk(0, 5), chunk(10, 15), chunk(10, 15))
    assert (bench.stage.applied, bench.partition.next, bench.gaps) == (10, 15, 5)


def test_a_checkpoint_can_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another owner goes on exactly where the first one stopped."""
    first = Bench(monkeypatch)
    assert first.play(chunk(0, EACH - 1), checkpoint=True) == EACH - 1
    assert first.producer.rows(COMMANDS) == []
    second = Bench(monkeypatch, select(first.producer.rows(REQUESTS + STATE)))
    second.play(chunk(0, EACH))
    whole = Bench(monkeypatch)
    whole.play(chunk(0, EACH))
    assert second.producer.rows(COMMANDS) == whole.producer.rows(COMMANDS) != []


def test_a_forgotten_subject_leaves_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its facts are buried once the checkpoint without it is complete."""
    first = Bench(monkeypatch)
    first.play(chunk(0, 5), checkpoint=True)
    rows = first.producer.rows(REQUESTS + STATE)
    second = Bench(monkeypatch, select(rows))
    forgetting = [Row(5, key=b"k", value=b"forget"), Row(6, key=b"other", value=b"1")]
    second.play(Chunk(5, 7, [Batch(7, forgetting)]), checkpoint=True)
    restored = select(rows + second.producer.rows(REQUESTS + STATE))
    assert (restored.next, [fact.subject for fact in restored.facts]) == (7, [b"other"])
    assert restored.keys.keys() == {b"other", facts.PARTITION}
    counted = {
        name: second.metrics.registry.get_sample_value(f"tidegate_{name}_total", {"topic": REQUESTS})
        for name in ("checkpoint_facts", "forgotten")
    }
    assert counted == {"checkpoint_facts": 2, "forgotten": 1}


def test_nothing_new_is_not_saved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet partition costs nothing."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5), checkpoint=True)
    sent = len(bench.producer.sent)
    assert bench.play(checkpoint=True) is None
    assert len(bench.producer.sent) == sent


def test_after_a_bug_nothing_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that failed half-way is in no state that a fact may describe."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5))
    with pytest.raises(CoreFailed, match=rf"{REQUESTS}/0@5 to 5: ZeroDivisionError"):
        bench.play(Chunk(5, 6, [Batch(6, [Row(5, value=b"bug")])]))
    assert bench.play(checkpoint=True) is None
    assert bench.producer.sent == []


def test_a_closed_partition_folds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has it now."""
    bench = Bench(monkeypatch)
    bench.play(chunk(0, 5))
    bench.partition.close()
    assert bench.play(chunk(5, 9), checkpoint=True) is None
    assert bench.stage.applied == 5


def test_no_fact_is_written_before_the_outputs_are_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a crash in between would lose what the restored state believes to be written."""
    bench = Bench(monkeypatch)
    bench.producer.silent = True
    bench.partition._outbox = Outbox(bench.producer, bench.metrics.send_retries.inc, patience_s=0.01)
    with pytest.raises(SendFailed, match="not acknowledged in"):
        bench.play(chunk(0, EACH), checkpoint=True)
    assert {topic for topic, _ in bench.producer.sent} == {COMMANDS}
    assert bench.metrics.registry.get_sample_value("tidegate_send_retries_total") == ATTEMPTS


def test_what_the_broker_refuses_is_loud() -> None:
    """An error of an earlier record is raised by the next call, as something an operator can read."""

    async def scenario() -> None:
        producer = FakeProducer(silent=True)
        outbox = Outbox(producer, lambda: None)
        await outbox.send("t", b"k", b"v")
        outbox._sent[0][1].set_exception(ValueError("no"))
        await outbox.flushed()

    with pytest.raises(TidegateError, match="could not write to t: ValueError no"):
        asyncio.run(scenario())


def test_a_failure_is_told_to_all_who_ask() -> None:
    """A checkpoint that comes after somebody else was told must not take the record for written."""

    async def scenario() -> None:
        producer = FakeProducer(silent=True)
        outbox = Outbox(producer, lambda: None)
        await outbox.send("t", b"k", b"v")
        outbox._sent[0][1].set_exception(ValueError("no"))
        producer.silent = False
        with pytest.raises(SendFailed):
            await outbox.send("t", b"k", b"next")
        with pytest.raises(SendFailed):
            await outbox.flushed()
        with pytest.raises(SendFailed):
            await outbox.send("t", b"k", b"next")
        assert len(producer.sent) == 1

    asyncio.run(scenario())


def test_a_record_without_a_key_goes_to_partition_0() -> None:
    """Never to one drawn at random; with a key the partitioner decides."""

    async def scenario() -> list[int | None]:
        producer = FakeProducer()
        outbox = Outbox(producer, lambda: None)
        await outbox.send("t", None, b"v")
        await outbox.send("t", b"k", b"v")
        return [record["partition"] for _, record in producer.sent]

    assert asyncio.run(scenario()) == [0, None]


class Listening(ToyStage):
    """Remembers what it was told of the clock."""

    def __init__(self) -> None:
        super().__init__(0)
        self.read_us: list[int] = []

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:
        self.read_us.append(read_us)
        return super().tick(now_us, read_us)


def ticked(bench: Bench, *steps: Chunk | Sight | None) -> list[int]:
    """What the stage is told at each sight, with chunks delivered between."""
    bench.partition.stage = stage = Listening()

    async def scenario() -> None:
        await bench.partition.restore()
        for step in steps:
            if isinstance(step, Chunk):
                await bench.partition.deliver(step)
            else:
                await bench.partition.tick(1000, step)

    asyncio.run(scenario())
    return stage.read_us


def test_a_log_counts_as_read_once_all_that_was_seen_of_it_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the moment of the sight, not of now; before the first sight nobody knows."""
    assert ticked(
        Bench(monkeypatch), None, Sight(5, 100), chunk(0, 4), Sight(5, 200), chunk(4, 5), Sight(5, 300), Sight(5, 400)
    ) == [-1, -1, -1, 100, 400]


def test_a_log_that_grows_all_the_time_counts_as_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is always something newer: what counts is that each sight was caught up with."""
    chunks = [chunk(0, 3), chunk(3, 7), chunk(7, 11), chunk(11, 15)]
    sights = [Sight(some.end + 1, 100 * number) for number, some in enumerate(chunks)]
    steps = [step for pair in zip(chunks, sights, strict=True) for step in pair]
    assert ticked(Bench(monkeypatch), *steps) == [-1, 0, 0, 200]


def test_a_sight_that_is_no_newer_proves_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the brokers cannot be reached the last one stays."""
    assert ticked(Bench(monkeypatch), chunk(0, 5), Sight(5, 100), Sight(5, 100), Sight(5, 100)) == [100, 100, 100]
