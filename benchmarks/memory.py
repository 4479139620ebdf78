"""Memory: what an endpoint at rest takes, whether an hour of load adds to it, and what ever new names do to it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.log import Log
from benchmarks.process import Worker, say
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Row, Table

HOUR_S: Final = 3600
WARM_S: Final = 700  # normals are warm after 600
REST_S: Final = 300  # of event time
LATER: Final = 10  # so many times fewer events in it: few enough of each endpoint for it to be no surge
ACTIVE: Final = 1_000  # endpoints that go on while the others rest
CHECKPOINT_EVERY: Final = "3s"
SETTLED_S: Final = 8.0  # after the last event: at least two checkpoints
PARTS: Final = 6  # in which the growth over a log is looked at
FEWER: Final = 50  # times fewer events: hours of event time are what costs there
NEW_NAMES_H: Final = 12  # hours over which each event is of a new endpoint
FORGET_AFTER: Final = "2h"  # of silence, in place of days: as short as it may be

Sizes = list[float]  # RSS in KiB


def run(endpoints: int, events: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [at_rest(kafka, folder, endpoints, events), over_time(kafka, folder, events)]


def at_rest(kafka: Site, folder: Path, endpoints: int, events: int) -> Table:
    """All endpoints are seen for a while, then only the active ones; the same events of one endpoint beside it."""
    measured = []
    for number in (1, endpoints):
        early = Log(events, number, span_s=WARM_S, ago_s=REST_S)
        late = Log(events // LATER, min(number, ACTIVE), span_s=REST_S)
        read = early.events + late.events
        measured.append(growth(kafka.filled(early, late), folder, read, parts=1)[-1])
        say(f"memory: {number:,} endpoints: {measured[-1] / 1024:,.0f} MiB")
    one, many = measured
    return Table(
        f"Memory of {endpoints:,} endpoints, {min(endpoints, ACTIVE):,} of them active",
        (Column(""), Column("RSS, MiB", ",.1f"), Column("KiB per endpoint", ",.2f")),
        ((f"{endpoints:,} endpoints", many / 1024, (many - one) / (endpoints - 1)), ("1 endpoint", one / 1024, None)),
    )


def over_time(kafka: Site, folder: Path, events: int) -> Table:
    """Steady endpoints over an hour of event time, and names that never come again over half a day."""
    steady = Log(4 * events, ACTIVE, span_s=HOUR_S)
    fleeting = Log(events // FEWER, events // FEWER, span_s=NEW_NAMES_H * HOUR_S, in_turn=True)
    rows: list[Row] = []
    for text, log in (
        (f"{steady.endpoints:,} endpoints, {steady.events:,} events, 1 hour", steady),
        (f"{fleeting.events:,} events, each of a new endpoint, {NEW_NAMES_H} hours", fleeting),
    ):
        sizes = growth(kafka.filled(log), folder, log.events, PARTS)
        rows.append((text, *(size / 1024 for size in sizes)))
        say(f"memory: {text}: {', '.join(f'{size / 1024:,.0f}' for size in sizes)} MiB")
    parts = [Column(f"{part}/{PARTS}") for part in range(1, PARTS + 1)]
    return Table(
        "Memory over time: RSS in MiB after each part of the log", (Column(""), *parts, Column("at rest")), rows
    )


def growth(site: Site, folder: Path, events: int, parts: int, settled_s: float = SETTLED_S) -> Sizes:
    """The RSS of a worker after each part of the log, and last when it has settled."""
    with Worker(
        site.config(folder, kafka={"checkpoint_every": CHECKPOINT_EVERY}, input={"forget_after": FORGET_AFTER})
    ) as worker:
        sizes = []
        for part in range(1, parts + 1):
            worker.until(worker.has_read(events * part // parts))
            sizes.append(worker.rss_kib)
        time.sleep(settled_s)
        sizes.append(worker.rss_kib)
        worker.stop()
        return sizes
