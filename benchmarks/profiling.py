"""A profile of the worker at full load: the share of each stage in the samples that hold the interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.log import Log
from benchmarks.process import TIMEOUT_S, BenchmarkFailed, say
from benchmarks.site import BUDGET, NO_BUDGET, local_site
from benchmarks.table import Column, Row, Table

PER_SECOND: Final = 500  # samples

# a sample counts for the innermost of its frames that is in one of these files, so longer paths come first
STAGES: Final = (
    ("decode and validate", ("schemas/decode.py", "schemas/events.py", "schemas/units.py")),
    ("judge: rules, learned normals, episodes", (
        "detectors/rules/", "detectors/normal", "detectors/expectation.py", "detectors/tail", "detectors/windows.py",
        "detectors/steps.py", "detectors/quantiles.py", "detectors/episodes.py",
    )),
    ("budgets and actions", (
        "detectors/budgets.py", "detectors/fleet.py", "detectors/ledger.py", "detectors/account.py", "detectors/day.py",
        "actions/",
    )),
    ("roll up", ("detectors/",)),
    ("write: encode, producer, checkpoints", (
        "streams/stages.py", "streams/outbox.py", "streams/facts.py", "streams/partition.py", "aiokafka/producer/",
        "schemas/outputs.py",
    )),
    ("fetch: lane, consumer, sockets", ("streams/lane.py", "aiokafka/")),
    ("Faust and the event loop", ("faust/", "mode/", "asyncio/", "streams/")),
)  # fmt: skip
OTHER: Final = "other"


def run(events: int) -> list[Table]:
    spy = shutil.which("py-spy", path=Path(sys.executable).parent) or shutil.which("py-spy")
    if spy is None:
        say("profile: skipped, py-spy is not installed")
        return []
    log = Log(events)
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder, site = Path(name), kafka.filled(log)
        found = []
        for budgets in (NO_BUDGET, BUDGET):
            site.forget(log.partitions)
            found.append(shares(sample(spy, site.config(folder, budgets=budgets), log, folder)))
    stages = (*(stage for stage, _ in STAGES), OTHER)
    rows: list[Row] = [(stage, *(100 * each[stage] for each in found)) for stage in stages]
    columns = (Column("share of samples, %"), Column("no budget", ".1f"), Column("a budget over all", ".1f"))
    return [Table(f"Where the worker's time goes: {events:,} events, {log.endpoints:,} endpoints", columns, rows)]


def sample(spy: str, config: Path, log: Log, folder: Path) -> str:
    """The stacks of a worker that reads the log: `frame;frame;... count`, a line each."""
    stacks = folder / "stacks"
    worker = [sys.executable, "-m", "benchmarks.programs.worker", str(config), str(log.events)]
    record = [
        spy,
        "record",
        "--gil",
        "--rate",
        str(PER_SECOND),
        "--format",
        "raw",
        "--full-filenames",
        "-o",
        str(stacks),
    ]
    done = subprocess.run([*record, "--", *worker], capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode or not stacks.exists():
        raise BenchmarkFailed(f"py-spy ended with {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return stacks.read_text()


def shares(stacks: str) -> Counter[str]:
    """The share of each stage, from 0 to 1, without what was sampled before the first batch."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        if "importlib" not in stack:
            counts[stage_of(stack.split(";"))] += int(count)
    total = counts.total()
    return Counter({stage: count / total for stage, count in counts.items()})


def stage_of(frames: list[str]) -> str:
    """The stage of a sample, by the innermost frame that tells."""
    for frame in reversed(frames):
        for stage, files in STAGES:
            if any(f"/{file}" in frame for file in files):
                return stage
    return OTHER
