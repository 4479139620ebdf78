"""The chaos campaign on the command line. Exit code 0 only if nothing was lost and nothing was different."""

from __future__ import annotations

import shutil
import sys
import tempfile
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from streams.local_kafka import LocalKafka
from tests.chaos import report as reports
from tests.chaos.campaign import Campaign, Plan
from tests.chaos.schedule import FULL_MINUTES, Fault, goals

HEAP_MIB: Final = 512
BROKER: Final = {"log.cleaner.backoff.ms": "1000"}  # states are compacted while the campaign runs


class Output(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"


def main(
    seed: Annotated[int, typer.Option(help="Of the schedule and of the load.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.5, help="Faults and load last that long.")] = 4.0,
    full: Annotated[  # noqa: FBT002
        bool, typer.Option("--full", help=f"The whole campaign: at least {FULL_MINUTES:g} minutes.")
    ] = False,
    reload: Annotated[  # noqa: FBT002
        bool, typer.Option("--reload", help="The configuration changes, too: ids and roll-ups are compared alone.")
    ] = False,
    output: Annotated[Output, typer.Option()] = Output.TABLE,
) -> None:
    """Kill, freeze, fill and cut what there is, and compare every output with that of undisturbed folds."""
    minutes = max(minutes, FULL_MINUTES) if full else minutes
    wanted = goals(minutes)
    if reload:
        wanted[Fault.RELOAD] = round(4 * minutes)
    folder = Path(tempfile.mkdtemp(prefix="tidegate-chaos-"))
    console = Console(stderr=True, highlight=False)
    console.print(f"seed {seed}, {minutes:g} minutes; logs in {folder}")
    with LocalKafka(heap_mib=HEAP_MIB, properties=BROKER) as kafka:
        tell = partial(console.print, markup=False)
        report = Campaign(Plan(seed, minutes, wanted), folder, tell).run(kafka)
    (folder / "report.json").write_bytes(msgspec.json.encode(reports.as_dict(report)))
    if output is Output.JSON:
        sys.stdout.buffer.write(msgspec.json.encode(reports.as_dict(report)) + b"\n")
    else:
        reports.show(report, Console(highlight=False))
    if report.passed:
        shutil.rmtree(folder)
    else:
        console.print(f"logs and report are kept in {folder}")
    sys.exit(not report.passed)


if __name__ == "__main__":
    typer.run(main)
