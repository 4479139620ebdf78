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
OFTEN_S: Final = 1  # so that a run has enough of them to be measured
USUAL_S: Final = 10  # `kafka.checkpoint_every`
MISSED_S: Final = 10  # of events that come while no worker is there
MISSED: Final = 100_000


def run(events: int, runs: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [cost(kafka, folder, events, runs), restart(kafka, folder, events)]


def cost(kafka: Site, folder: Path, events: int, runs: int) -> Table:
    """The same log with checkpoints and without: the difference of CPU time, by the number of checkpoints."""
    log = Log(events, ACTIVE)
    site = kafka.filled(log)
    costs = []
    for _ in range(runs):
        without, often = (timed(site, folder, log, every) for every in (NEVER, f"{OFTEN_S}s"))
        costs.append((often["cpu_s"] - without["cpu_s"]) / often["checkpoints"])
        say(f"checkpoints: {costs[-1]:.3f} CPU-seconds each, {often['checkpoints']:.0f} of them")
    each = statistics.median(costs)
    return Table(
        f"Checkpoints at full load: {events:,} events, {ACTIVE:,} endpoints, all of them active",
        (Column(""), Column("median", ".4f"), Column("least", ".4f"), Column("most", ".4f")),
        (
            ("CPU-seconds of one checkpoint", each, min(costs), max(costs)),
            (f"share of a core, one every {USUAL_S} s", each / USUAL_S, min(costs) / USUAL_S, max(costs) / USUAL_S),
        ),
    )


def timed(site: Site, folder: Path, log: Log, every: str) -> Figures:
    """The CPU time of a worker, up to the last event read; its number of checkpoints of all partitions."""
    site.forget(log.partitions)
    with Worker(site.config(folder, checkpoint_every=every)) as worker:
        begun = worker.assigned()
        cpu_s = worker.cpu_s
        ended = worker.until(worker.has_read(log.events))
        done = worker.total("tidegate_checkpoint_seconds_count", topic=REQUESTS) / log.partitions
        return {"cpu_s": worker.cpu_s - cpu_s, "wall_s": ended - begun, "checkpoints": done}


def restart(kafka: Site, folder: Path, events: int, sizes: Sequence[int] = SIZES, missed: int = MISSED) -> Table:
    """Stop a worker, let events come, start one: when it has which partitions, which state, and all events."""
    rows = []
    for endpoints in sizes:
        log = Log(max(events, endpoints), endpoints, ago_s=MISSED_S)
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
