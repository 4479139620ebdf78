"""Throughput: events per CPU-second of the worker beside a loop that only parses, and beside the same job elsewhere."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.log import Log
from benchmarks.peers import PEERS, Skipped
from benchmarks.process import BenchmarkFailed, Figures, program, say
from benchmarks.site import BUDGET, NO_BUDGET, Site, local_site
from benchmarks.table import Column, Table

BARE: Final = "bare aiokafka + orjson.loads"
WORKER: Final = "tidegate worker, no budget"
BUDGETED: Final = "tidegate worker, a budget over all"
SHAPES: Final = ((1, 4), (100, 4), (10_000, 4), (100_000, 4), (1_000, 1), (1_000, 16), (1_000, 64))

Measure = Callable[[], Figures]


def rate(figures: Figures) -> float:
    """Events per CPU-second."""
    return figures["events"] / figures["cpu_s"]


def bare(site: Site, events: int) -> Figures:
    """One run of the yardstick."""
    return program("bare", site.address, site.requests, events)


def worker(site: Site, log: Log, budgets: Mapping[str, Any] = NO_BUDGET) -> Figures:
    """One run of the worker on a log that is there, without any state."""
    site.forget(log.partitions)
    with tempfile.TemporaryDirectory() as folder:
        return program("worker", site.config(Path(folder), budgets=budgets), log.events)


def run(log: Log, runs: int, *, peers: bool, matrix: bool) -> list[Table]:
    with local_site() as kafka:
        tables = [compare(kafka, log, runs, peers=peers)]
        if matrix:
            tables.append(shapes(kafka, log))
    return tables


def compare(kafka: Site, log: Log, runs: int, *, peers: bool) -> Table:
    """Every program in turn on one log, `runs` times."""
    site = kafka.filled(log)
    programs: dict[str, Measure] = {
        BARE: lambda: bare(site, log.events),
        WORKER: lambda: worker(site, log),
        BUDGETED: lambda: worker(site, log, BUDGET),
    }
    found: dict[str, list[Figures]] = {name: [] for name in programs}
    for number in range(1, runs + 1):
        for name, measure in programs.items():
            found[name].append(measure())
            say(f"throughput, run {number} of {runs}: {name} {rate(found[name][-1]):,.0f} events per CPU-second")
    rows = [_row(name, figures, found[BARE]) for name, figures in found.items()]
    notes: list[str] = []
    if peers:
        for name, outcome in _peers(site, log, runs):
            if isinstance(outcome, str):
                notes.append(f"{name}: {outcome}")
            else:
                rows.append(_row(name, outcome, found[BARE]))
    return Table(
        f"Throughput: {log.events:,} request events, {log.endpoints:,} endpoints, {log.partitions} partitions",
        (
            Column("program"), Column("events"), Column("per CPU-second, median"), Column("least"),
            Column("most"), Column("per second"), Column("x bare loop", ".3g"),
        ),
        rows,
        notes,
    )  # fmt: skip


def shapes(kafka: Site, log: Log) -> Table:
    """The worker without a budget, and the yardstick, on logs of other shapes; one run of each."""
    rows = []
    for endpoints, partitions in SHAPES:
        shape = log._replace(endpoints=endpoints, partitions=partitions)
        site = kafka.filled(shape)
        yardstick, own = rate(bare(site, shape.events)), rate(worker(site, shape))
        rows.append((f"{endpoints:,}", partitions, own, yardstick, own / yardstick))
        say(f"throughput, {endpoints:,} endpoints, {partitions} partitions: {own:,.0f} events per CPU-second")
    columns = (Column("endpoints"), Column("partitions"), Column(WORKER), Column(BARE), Column("ratio", ".2f"))
    return Table(f"Throughput by shape: {log.events:,} request events, events per CPU-second", columns, rows)


def _peers(site: Site, log: Log, runs: int) -> Iterator[tuple[str, list[Figures] | str]]:
    for peer in PEERS:
        events = min(peer.events, log.events)
        try:
            found = [peer.run(site, events, log.partitions) for _ in range(runs)]
        except Skipped as why:
            yield peer.name, f"skipped, {why}"
        except BenchmarkFailed as why:
            yield peer.name, f"failed, {str(why).splitlines()[0]}"
            say(str(why))
        else:
            say(f"throughput: {peer.name} {rate(found[0]):,.0f} events per CPU-second")
            yield peer.name, found


def _row(name: str, found: list[Figures], yardstick: list[Figures]) -> tuple[str | float, ...]:
    """Medians over the runs; the ratio is the median of each run's own."""
    rates = [rate(figures) for figures in found]
    ratio = statistics.median(own / rate(base) for own, base in zip(rates, yardstick, strict=True))
    wall = statistics.median(figures["events"] / figures["wall_s"] for figures in found)
    return name, found[0]["events"], statistics.median(rates), min(rates), max(rates), wall, ratio
