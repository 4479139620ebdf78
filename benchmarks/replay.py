"""Replay: `tidegate replay` of a file beside a loop that only parses its lines; memory as the file grows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from benchmarks.log import Log, write_file
from benchmarks.process import POLL_S, TIDEGATE, BenchmarkFailed, say
from benchmarks.table import Column, Table

GROWTH: Final = 4  # times the file, for the second measurement of memory
BYTES_AN_EVENT: Final = 166
PARSE: Final = """\
import orjson, sys
loads, events = orjson.loads, 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        loads(line)
        events += 1
"""


class Spent(NamedTuple):
    """What a process took, from its start to its end."""

    cpu_s: float
    peak_rss_mib: float


def run(events: int, gigabytes: float) -> list[Table]:
    """Of `events` and four times as many; and of a file of so many GB, if that is not 0."""
    sizes = [events, GROWTH * events]
    if gigabytes:
        sizes.append(int(gigabytes * 1e9 / BYTES_AN_EVENT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nothing = folder / "nothing.ndjson"
        write_file(Log(events=1), nothing)
        rows = []
        for label, command in (("orjson.loads on each line", parse), ("tidegate replay", replay)):
            start = spent(command(nothing))
            for size in sizes:
                file = folder / f"{size}.ndjson"
                if not file.exists():
                    write_file(Log(events=size), file)
                took = spent(command(file))
                rate = size / (took.cpu_s - start.cpu_s)
                rows.append((label, size, file.stat().st_size / 1e9, rate, took.peak_rss_mib))
                say(f"replay: {label}, {size:,} events: {rate:,.0f} events per CPU-second")
    ratio = rows[len(sizes)][3] / rows[0][3]
    return [
        Table(
            "Replay of a file (NDJSON, 1,000 endpoints)",
            (
                Column("program"), Column("events"), Column("GB", ".2f"), Column("events per CPU-second"),
                Column("peak RSS, MiB"),
            ),
            rows,
            (f"replay is {ratio:.2f} x the parsing loop; the CPU time of a file of one event is taken off both",),
        )
    ]  # fmt: skip


def parse(file: Path) -> list[str]:
    return [sys.executable, "-c", PARSE, str(file)]


def replay(file: Path) -> list[str]:
    return [*TIDEGATE, "replay", "--output", "json", "--requests", str(file)]


def spent(command: list[str]) -> Spent:
    """Run it to its end. Its peak is asked for while it runs: what the kernel tells at the end may be ours."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as it:
        peak_kib = 0
        while not os.waitid(os.P_PID, it.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            peak_kib = max(peak_kib, high_water_kib(it.pid))
            time.sleep(POLL_S)
        times = psutil.Process(it.pid).cpu_times()  # of a process that has ended but is not yet waited for
        _, errors = it.communicate()
    if it.returncode:
        raise BenchmarkFailed(f"{command} ended with {it.returncode}\n{errors.decode()[-2000:]}")
    return Spent(times.user + times.system, peak_kib / 1024)


def high_water_kib(pid: int) -> int:
    """The largest RSS so far; 0 of a process that has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
