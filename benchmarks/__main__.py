"""`python -m benchmarks`: the worker beside a bare loop on the same log in the same Kafka; medians and ratios."""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import subprocess
import sys
import tempfile
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
kafka: {{bootstrap_servers: "{address}", group: "bench-{run}"}}
http: {{port: 0}}
defaults: {{price_usd_per_hour: 1.0}}
budgets: {{all: {{daily_usd: 1000000, endpoints: ["bench/*"]}}}}
"""


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


def worker(address: str, log: Log, run: int, folder: Path) -> dict[str, float]:
    """One run of the worker, in a consumer group of its own and without any state."""
    config = folder / f"bench-{run}.yaml"
    config.write_text(CONFIG.format(address=address, run=run))
    return measure(["benchmarks.worker", str(config), str(log.events)])


def compare(log: Log, runs: int) -> tuple[list[float], list[float]]:
    """Events per CPU-second of the bare loop and of the worker, one after the other, `runs` times.

    Each pair has a Kafka of its own: a worker would find the facts of the one before it, and have nothing to do.
    """
    bare, whole = [], []
    for run in range(runs):
        with LocalKafka() as kafka, tempfile.TemporaryDirectory() as folder:
            asyncio.run(declare(Config(kafka=Kafka(bootstrap_servers=kafka.address)), partitions=log.partitions))
            fill_blocking(kafka.address, REQUESTS, log)
            bare.append(rate(measure(["benchmarks.bare", kafka.address, REQUESTS, str(log.events)])))
            whole.append(rate(worker(kafka.address, log, run, Path(folder))))
            print(f"run {run + 1}: bare {bare[-1]:,.0f}, worker {whole[-1]:,.0f}", file=sys.stderr)
    return bare, whole


def show(log: Log, bare: list[float], whole: list[float]) -> None:
    """The table, in Markdown so that it can go into docs/benchmarks.md as it is."""
    console = Console(width=110, highlight=False)
    table = Table("", "events per CPU-second (median)", "min to max", "x bare loop", box=None)
    base = statistics.median(bare)
    for name, rates in (("bare aiokafka + orjson.loads", bare), ("tidegate worker, everything on", whole)):
        middle = statistics.median(rates)
        table.add_row(name, f"{middle:,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}", f"{middle / base:.2f}")
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
    show(log, *compare(log, given.runs))


if __name__ == "__main__":
    main()
