"""`python -m benchmarks`: the worker beside a bare loop on the same log in the same Kafka; medians and ratios."""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.log import Log, fill_blocking
from schemas.config import Config, Kafka
from schemas.topics import REQUESTS
from streams.local_kafka import LocalKafka
from streams.topics import declare

TIMEOUT_S: Final = 300.0
CONFIG: Final = """\
kafka: {{bootstrap_servers: "{address}", group: "bench"}}
http: {{port: 0}}
defaults: {{price_usd_per_hour: 1.0}}
budgets: {budgets}
"""
BARE: Final = "bare aiokafka + orjson.loads"
WORKERS: Final = {
    "tidegate worker, no budget": "{}",
    "tidegate worker, a budget over all": '{all: {daily_usd: 1000000, endpoints: ["bench/*"]}}',
}


def measure(command: list[str]) -> dict[str, float]:
    """Run a program that prints its figures as one JSON object."""
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)
        raise SystemExit(f"{command[0]} failed with exit code {done.returncode}")
    figures: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return figures


def rate(figures: dict[str, float]) -> float:
    """Events per CPU-second."""
    return figures["events"] / figures["cpu_s"]


def bare(address: str, log: Log) -> float:
    """One run of the yardstick."""
    return rate(measure(["benchmarks.bare", address, REQUESTS, str(log.events)]))


def worker(address: str, log: Log, budgets: str) -> float:
    """One run of the worker, without any state."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "bench.yaml"
        config.write_text(CONFIG.format(address=address, budgets=budgets))
        return rate(measure(["benchmarks.worker", str(config), str(log.events)]))


@contextmanager
def filled(log: Log) -> Iterator[str]:
    """A Kafka of its own with the log in it: a worker would find the facts of the one before, and nothing to do."""
    with LocalKafka() as kafka:
        asyncio.run(declare(Config(kafka=Kafka(bootstrap_servers=kafka.address)), partitions=log.partitions))
        fill_blocking(kafka.address, REQUESTS, log)
        yield kafka.address


def compare(log: Log, runs: int) -> dict[str, list[float]]:
    """Events per CPU-second of each program, all of them in turn, `runs` times."""
    rates: dict[str, list[float]] = {name: [] for name in (BARE, *WORKERS)}
    for run in range(runs):
        for name, budgets in WORKERS.items():
            with filled(log) as address:
                if name == next(iter(WORKERS)):
                    rates[BARE].append(bare(address, log))
                rates[name].append(worker(address, log, budgets))
        print(
            f"run {run + 1}:", ", ".join(f"{name} {found[-1]:,.0f}" for name, found in rates.items()), file=sys.stderr
        )
    return rates


def show(log: Log, rates: dict[str, list[float]]) -> None:
    """The table: medians over the runs; the ratio is the median of each run's own."""
    console = Console(width=110, highlight=False)
    table = Table("", "events per CPU-second (median)", "min to max", "x bare loop", box=None)
    for name, found in rates.items():
        ratio = statistics.median(own / base for own, base in zip(found, rates[BARE], strict=True))
        table.add_row(
            name, f"{statistics.median(found):,.0f}", f"{min(found):,.0f} to {max(found):,.0f}", f"{ratio:.2f}"
        )
    console.print(f"{log.events:,} request events, {log.endpoints:,} endpoints, {log.partitions} partitions")
    console.print(f"Python {platform.python_version()}, aiokafka {version('aiokafka')}, Apache Kafka 4.1.1")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=Log().events)
    parser.add_argument("--endpoints", type=int, default=Log().endpoints)
    parser.add_argument("--partitions", type=int, default=Log().partitions)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    log = Log(given.events, given.endpoints, given.partitions)
    show(log, compare(log, given.runs))


if __name__ == "__main__":
    main()
