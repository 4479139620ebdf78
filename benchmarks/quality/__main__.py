"""`python -m benchmarks.quality`: how well is normal known? All parts in one run, or one of them; a table for each."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from benchmarks.quality import injected, labelled, nab, surges
from benchmarks.quality.datasets import DataMissing
from benchmarks.quality.scoring import say
from benchmarks.table import WIDTH, Table

app = typer.Typer(
    help=__doc__, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


OutputForm = Annotated[Output, typer.Option("--output", "-o", help="table: for people; json: one table a line.")]
Seed = Annotated[int, typer.Option(help="Of what is drawn at random.")]
Days = Annotated[int, typer.Option(min=1, help="Of clean traffic, for each of three endpoints at each rate.")]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context, output: OutputForm = Output.TABLE) -> None:
    """Without a command: all of them, in some minutes on two cores. What has no data is skipped, and says so."""
    if context.invoked_subcommand is None:
        for part in (run_microsoft, run_nab, run_incidents, run_surges):
            part(output=output)


@app.command("microsoft")
def run_microsoft(output: OutputForm = Output.TABLE) -> None:
    """Microsoft cloud monitoring: adjusted F1."""
    report(labelled.microsoft, output)


@app.command("nab")
def run_nab(output: OutputForm = Output.TABLE) -> None:
    """The Numenta Anomaly Benchmark: its score."""
    report(nab.run, output)


@app.command("incidents")
def run_incidents(seed: Seed = 1, output: OutputForm = Output.TABLE) -> None:
    """Incidents put into ServeGen's traffic: recall, delay, false episodes."""
    report(lambda: injected.run(seed), output)


@app.command("surges")
def run_surges(seed: Seed = 1, days: Days = surges.DAYS, output: OutputForm = Output.TABLE) -> None:
    """The rule request_surge itself: false episodes on clean traffic, and how soon it fires."""
    report(lambda: surges.run(seed, days), output)


@app.command("labelled")
def run_labelled(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="CSV files: time, value, label.")],
    output: OutputForm = Output.TABLE,
) -> None:
    """Any other labelled series: the same as for Microsoft's."""
    report(lambda: labelled.folder(folder), output)


def report(part: Callable[[], list[Table]], output: Output) -> None:
    """Run a part, and show what came of it."""
    try:
        tables = part()
    except DataMissing as missing:
        say(f"skipped: {missing}")
        return
    for table in tables:
        if output is Output.JSON:
            print(orjson.dumps(table.as_json()).decode(), flush=True)
        else:
            table.show(Console(width=WIDTH, highlight=False))


if __name__ == "__main__":
    app()
