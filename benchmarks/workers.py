"""More workers: two beside one, each on a core of its own as far as there are any, and a third that joins.

How long a partition stands still while a worker joins is told by probes: an event that cannot be read goes to the
dead letters at once, with its partition, so the age of each on arrival there is how long nobody read its partition.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.arrivals import Arrivals
from benchmarks.latency import quantiles
from benchmarks.log import Log
from benchmarks.process import BenchmarkFailed, Worker, cpu_s, running, say
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Table
from schemas.topics import DEAD_LETTERS, REQUESTS
from streams.broker import new_producer

PARTITIONS: Final = 8
LOOK_S: Final = 0.1  # between two looks at the workers
MOST: Final = 0.8  # share of the log that may be read before every worker has begun
PROBE_EVERY_S: Final = 0.1
NO_EVENT: Final = b"no event"
EVENTS: Final = "tidegate_events_total"


class Place(NamedTuple):
    """Of an event in the log."""

    partition: int
    offset: int


class Reading(NamedTuple):
    """What was spent up to a moment."""

    at_s: float
    events: float
    workers_cpu_s: float
    broker_cpu_s: float


def run(events: int, rate: int, seconds: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = kafka.filled(Log(events, partitions=PARTITIONS))
        return [compare(site, folder, events), join(kafka.declared("join", PARTITIONS), folder, rate, seconds)]


def compare(site: Site, folder: Path, events: int) -> Table:
    """A backlog read by one worker, then by two."""
    found = [(number, *read_backlog(site, folder, events, number)) for number in (1, 2)]
    rows = []
    for number, begun, ended in found:
        seconds, read = ended.at_s - begun.at_s, ended.events - begun.events
        own_cpu_s, broker_cpu_s = ended.workers_cpu_s - begun.workers_cpu_s, ended.broker_cpu_s - begun.broker_cpu_s
        rows.append((f"{number}", read / seconds, read / own_cpu_s, own_cpu_s / seconds, broker_cpu_s / seconds))
    wall, cpu = rows[1][1] / rows[0][1], rows[1][2] / rows[0][2]
    say(f"workers: two read {wall:.2f} x the events per second of one")
    return Table(
        f"Workers: a backlog of {events:,} events, {PARTITIONS} partitions; a core each, the broker on the same cores",
        (
            Column("workers"), Column("events per second", ",.0f"), Column("events per CPU-second", ",.0f"),
            Column("cores used by workers", ".2f"), Column("cores used by the broker", ".2f"),
        ),
        (*rows, ("2 : 1", f"{wall:.2f}", f"{cpu:.2f}", None, None)),
    )  # fmt: skip


def read_backlog(site: Site, folder: Path, events: int, number: int) -> tuple[Reading, Reading]:
    """The state of things when every worker has begun to read, and when half of the rest was read."""
    site.forget(PARTITIONS)
    cores = os.cpu_count() or 1
    with ExitStack() as stack:
        config = site.config(folder)
        workers = [stack.enter_context(Worker(config, core % cores)) for core in range(number)]
        workers[0].until(lambda: all(map(is_reading, workers)))
        begun = ended = look(site, workers)
        if begun.events > MOST * events:
            raise BenchmarkFailed("the log was nearly read before every worker had begun: take more --events")
        while ended.events < (begun.events + events) / 2:
            time.sleep(LOOK_S)
            ended = look(site, workers)
        return begun, ended


def look(site: Site, workers: Sequence[Worker]) -> Reading:
    """All of it as of now."""
    read = sum(worker.total(EVENTS, topic=REQUESTS) for worker in workers)
    broker = cpu_s(site.broker) if site.broker is not None else 0.0
    return Reading(time.time(), read, sum(worker.cpu_s for worker in workers), broker)


def is_reading(worker: Worker) -> bool:
    """Whether it has read any event."""
    return worker.total(EVENTS, topic=REQUESTS) > 0


def join(site: Site, folder: Path, rate: int, seconds: int) -> Table:
    """Two workers under a steady load, and a third that joins them half-way."""
    config = site.config(folder)
    with ExitStack() as stack:
        first, second = (stack.enter_context(Worker(config)) for _ in range(2))
        first.until(lambda: first.ready() and second.ready())
        stack.enter_context(running("load", site.address, site.requests, PARTITIONS, rate, seconds))
        ages = asyncio.run(_probed(site, config, seconds))
    say(f"workers: while the third joined, the oldest event had waited {max(ages):.1f} s")
    before, after = ages[: len(ages) // 2], ages[len(ages) // 2 :]
    return Table(
        f"A third worker joins two, at {rate:,} events per second in {PARTITIONS} partitions",
        (
            Column("age of an event when it is read, ms"),
            Column("p50", ".0f"),
            Column("p99", ".0f"),
            Column("max", ".0f"),
        ),
        (("two workers", *quantiles(before)), ("a third joins", *quantiles(after))),
        ("the largest age is the longest that any partition stood still",),
    )


async def _probed(site: Site, config: Path, seconds: int) -> list[float]:
    """The age of each probe, in seconds, in the order in which they were sent; a worker is started half-way."""
    sent: dict[Place, float] = {}
    producer = new_producer(site.kafka, acks="all")
    await producer.start()
    try:
        with ExitStack() as stack:
            async with Arrivals(site, site.requests + DEAD_LETTERS, source_of) as letters:
                for turn in range(turns := int(seconds / PROBE_EVERY_S)):
                    if turn == turns // 2:
                        stack.enter_context(Worker(config))
                    for partition in range(PARTITIONS):
                        done = await producer.send_and_wait(site.requests, NO_EVENT, partition=partition)
                        sent[Place(partition, done.offset)] = done.timestamp / 1000
                    await asyncio.sleep(PROBE_EVERY_S)
                return await letters.since(sent)
    finally:
        await producer.stop()


def source_of(letter: Any) -> Place:  # noqa: ANN401 -- aiokafka's
    """Where the event was that a dead letter tells of."""
    headers = dict(letter.headers)
    return Place(int(headers["source.partition"]), int(headers["source.offset"]))
