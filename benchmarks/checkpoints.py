"""Checkpoints: what they cost at full load, and how long a worker that starts again needs to be up to date."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.log import Log, write
from benchmarks.process import Figures, Worker, say
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Table
from schemas.topics import REQUESTS

ACTIVE: Final = 10_000
SIZES: Final = (10_000, 100_000)  # endpoints at a restart
NEVER: Final = "1d"
OFTEN: Final = "1s"  # so that a run has enough of them to be measured
USUAL_S: Final = 10  # `kafka.checkpoint_every`
SEEN: Final = 20  # events of each endpoint before the restart
MISSED_S: Final = 10  # of events that come while no worker is there
MISSED: Final = 100_000


def run(events: int, runs: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [cost(kafka, folder, events, runs), restart(kafka, folder)]


def cost(kafka: Site, folder: Path, events: int, runs: int) -> Table:
    """The same log with checkpoints and without: the difference of CPU time, by the number of facts written."""
    log = Log(events, ACTIVE)
    site = kafka.filled(log)
    each, took = [], []
    for _ in range(runs):
        without, often = (timed(site, folder, log, every) for every in (NEVER, OFTEN))
        each.append((often["cpu_s"] - without["cpu_s"]) / often["facts"] * ACTIVE)
        took.append(often["seconds"] / often["checkpoints"])
        say(f"checkpoints: {each[-1]:.3f} CPU-seconds each, in {took[-1]:.2f} s")
    shares = [100 * cpu_s / USUAL_S for cpu_s in each]
    return Table(
        f"Checkpoints at full load: {events:,} events, {ACTIVE:,} endpoints, all of them active",
        (Column(""), Column("median", ".3f"), Column("least", ".3f"), Column("most", ".3f")),
        [
            (text, statistics.median(found), min(found), max(found))
            for text, found in (
                (f"CPU-seconds of a checkpoint of {ACTIVE:,} endpoints", each),
                (f"share of a core with one every {USUAL_S} s, %", shares),
                ("seconds from its start to its end, mean of the partitions", took),
            )
        ],
    )


def timed(site: Site, folder: Path, log: Log, every: str) -> Figures:
    """The CPU time of a worker up to the last event read, and what it had saved by then."""
    site.forget(log.partitions)
    with Worker(site.config(folder, kafka={"checkpoint_every": every})) as worker:
        worker.assigned()
        cpu_s = worker.cpu_s
        worker.until(worker.has_read(log.events))
        return {
            "cpu_s": worker.cpu_s - cpu_s,
            "facts": worker.total("tidegate_checkpoint_facts_total", topic=REQUESTS),
            "checkpoints": worker.total("tidegate_checkpoint_seconds_count", topic=REQUESTS),
            "seconds": worker.total("tidegate_checkpoint_seconds_sum", topic=REQUESTS),
        }


def restart(kafka: Site, folder: Path, sizes: Sequence[int] = SIZES, missed: int = MISSED) -> Table:
    """Stop a worker, let events come, start one: when it has which partitions, which state, and all events."""
    rows = []
    for endpoints in sizes:
        log = Log(SEEN * endpoints, endpoints, ago_s=MISSED_S)
        site = kafka.filled(log)
        config = site.config(folder)
        with Worker(config) as worker:
            worker.until(worker.has_read(log.events))
            worker.stop()
        write(Log(missed, endpoints, span_s=MISSED_S), site.kafka, site.requests)
        with Worker(config) as worker:
            joined = worker.assigned()
            restored = worker.until(worker.ready)
            current = worker.until(worker.has_read(missed))
            rows.append((f"{endpoints:,}", joined - worker.started_s, restored - joined, current - joined))
            say(f"checkpoints: restart with {endpoints:,} endpoints: {current - joined:.1f} s after the assignment")
    return Table(
        f"Restart: seconds until a worker is up to date, {missed:,} events having come meanwhile",
        (
            Column("endpoints"), Column("start to assignment (Python, Faust, group)", ".2f"),
            Column("assignment to restored", ".2f"), Column("assignment to up to date", ".2f"),
        ),
        rows,
    )  # fmt: skip
