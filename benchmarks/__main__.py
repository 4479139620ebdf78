"""`python -m benchmarks`: every scenario in one run, or one of them; a table with ratios for each."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from benchmarks import (
    actions,
    alerts,
    checkpoints,
    episodes,
    latency,
    memory,
    peers,
    profiling,
    replay,
    throughput,
    workers,
)
from benchmarks.log import Log
from benchmarks.process import BenchmarkFailed, say
from benchmarks.table import WIDTH, Table
from streams.kafka_distribution import VERSION

RESULTS: Final = peers.FOLDER / "results"  # not under version control
NORMAL: Final = 1_000_000  # events
BACKLOG: Final = 4_000_000  # for what needs many seconds at full load

app = typer.Typer(
    help=__doc__, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


OutputForm = Annotated[Output, typer.Option("--output", "-o", help="table: for people; json: one object a line.")]
Events = Annotated[int, typer.Option(min=1, help="Request events in the log.")]
Runs = Annotated[int, typer.Option(min=1, help="Medians are of so many runs.")]
Endpoints = Annotated[int, typer.Option(min=1)]
Partitions = Annotated[int, typer.Option(min=1)]
Seconds = Annotated[int, typer.Option(min=1)]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context, output: OutputForm = Output.TABLE) -> None:
    """Without a command: all of them, of their usual size, in about 45 minutes on two cores."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of each topic that was just made
    if context.invoked_subcommand is not None:
        return
    failed = False
    for scenario in SCENARIOS:
        try:
            scenario(output=output)
        except BenchmarkFailed as error:  # the others are still worth their minutes
            say(str(error))
            failed = True
    raise typer.Exit(failed)


@app.command("throughput")
def run_throughput(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    events: Events = NORMAL,
    endpoints: Endpoints = 1_000,
    partitions: Partitions = 4,
    runs: Runs = 3,
    others: Annotated[bool, typer.Option(help="The same job in other programs, too.")] = True,  # noqa: FBT002
    matrix: Annotated[bool, typer.Option(help="Logs of other shapes, too.")] = True,  # noqa: FBT002
    output: OutputForm = Output.TABLE,
) -> None:
    """Events per CPU-second, beside a bare loop and beside the same job in other programs."""
    log = Log(events, endpoints, partitions)
    report("throughput", lambda: throughput.run(log, runs, peers=others, matrix=matrix), output)


@app.command("latency")
def run_latency(
    incidents: Annotated[int, typer.Option(min=2, help="Surges at each rate.")] = 200,
    events: Events = NORMAL,
    output: OutputForm = Output.TABLE,
) -> None:
    """From the crossing event to its command, at 1,000 events a second and at half of the maximum."""
    report("latency", lambda: latency.run(incidents, events), output)


@app.command("memory")
def run_memory(endpoints: Endpoints = 100_000, events: Events = NORMAL, output: OutputForm = Output.TABLE) -> None:
    """Of an endpoint at rest, over an hour, and with ever new names."""
    report("memory", lambda: memory.run(endpoints, events), output)


@app.command("checkpoints")
def run_checkpoints(events: Events = BACKLOG, runs: Runs = 3, output: OutputForm = Output.TABLE) -> None:
    """What checkpoints cost, and how long a restart takes."""
    report("checkpoints", lambda: checkpoints.run(events, runs), output)


@app.command("replay")
def run_replay(
    events: Events = NORMAL,
    gigabytes: Annotated[float, typer.Option(min=0, help="A file of this size, too.")] = 0,
    output: OutputForm = Output.TABLE,
) -> None:
    """`tidegate replay` of files."""
    report("replay", lambda: replay.run(events, gigabytes), output)


@app.command("workers")
def run_workers(
    events: Events = BACKLOG,
    rate: Annotated[int, typer.Option(min=1, help="Events a second, while a third worker joins.")] = 20_000,
    seconds: Seconds = 40,
    output: OutputForm = Output.TABLE,
) -> None:
    """Two workers beside one, and a third that joins."""
    report("workers", lambda: workers.run(events, rate, seconds), output)


@app.command("profile")
def run_profile(events: Events = BACKLOG, output: OutputForm = Output.TABLE) -> None:
    """Where the worker's time goes at full load (py-spy)."""
    report("profile", lambda: profiling.run(events), output)


@app.command("actions")
def run_actions(
    incidents: Annotated[int, typer.Option(min=2, help="Runaways, each on an endpoint of its own.")] = 300,
    output: OutputForm = Output.TABLE,
) -> None:
    """From a finding to its command, and to its effect, verified at Hugging Face's double."""
    report("actions", lambda: actions.run(incidents), output)


@app.command("alerts")
def run_alerts(
    count: Annotated[int, typer.Option("--alerts", min=2, help="Alerts in each run.")] = 1_000,
    runs: Runs = 3,
    output: OutputForm = Output.TABLE,
) -> None:
    """Notifications per second of each receiver, also beside one that is down, and within their limits."""
    report("alerts", lambda: alerts.run(count, runs), output)


@app.command("episodes")
def run_episodes(
    count: Annotated[int, typer.Option("--episodes", min=10, help="That open, and resolve.")] = 100_000,
    output: OutputForm = Output.TABLE,
) -> None:
    """Memory of what decides, carries out and tells, over many episodes."""
    report("episodes", lambda: episodes.run(count), output)


@app.command("peers")
def install_peers() -> None:
    """Get the programs to compare with, into a folder that is not under version control; nothing else needs this."""
    peers.install()


SCENARIOS: Final = (
    run_throughput, run_latency, run_memory, run_checkpoints, run_replay, run_workers, run_profile,
    run_actions, run_alerts, run_episodes,
)  # fmt: skip


def report(name: str, scenario: Callable[[], list[Table]], output: Output) -> None:
    """Run a scenario, show what came of it, and keep it."""
    say(f"{name} ...")
    tables = scenario()
    found = [{"scenario": name, "machine": machine(), **table.as_json()} for table in tables]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if output is Output.JSON:
        for each in found:
            print(orjson.dumps(each).decode(), flush=True)
        return
    console = Console(width=WIDTH, highlight=False)
    for table in tables:
        table.show(console)
    console.print(f"  {machine()}")


def machine() -> str:
    """What the numbers depend on."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, aiokafka {version('aiokafka')}, "
        f"Apache Kafka {VERSION}"
    )


if __name__ == "__main__":
    app()
