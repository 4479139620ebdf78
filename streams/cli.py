"""The command line (contract section 6): results on stdout, logs on stderr; exit 0 ok, 1 failure, 2 usage.

A user's mistake is answered with one line that names it, never with a traceback.
"""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from detectors import SETTINGS
from schemas.config import Config
from schemas.outputs import Command, Finding
from schemas.topics import BILLING, REQUESTS, SCALING
from streams import configuration, logs, narration, overshoot_report
from streams.acl_command import print_acls
from streams.alert.command import alert
from streams.dlq.commands import dlq_app
from streams.errors import ConfigError, TidegateError, UsageError
from streams.execute.command import execute
from streams.explain.command import explain_id
from streams.lines import STDIN
from streams.operate.commands import commands_app
from streams.operate.keys import keys_app
from streams.operate.silences import silence_app
from streams.operate.verbs import pause_actions, resume_actions, status
from streams.options import ConfigFile, Output, OutputForm, config_path, load_or_default, reloaded
from streams.replay import Replay
from streams.replay_report import Printer, warn_of_disorder, warn_of_ignored
from streams.rule_tests.command import test_app
from streams.stages import build_stage

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

app = typer.Typer(
    name="tidegate",
    help="Watches the telemetry of inference endpoints as it streams through Kafka, and pulls the brake on money.",
    epilog="First look: [bold]tidegate demo[/bold]. From files, no broker: [bold]tidegate replay --help[/bold].",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics_app = typer.Typer(help="The topics in Kafka.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
topics_app.command("acls")(print_acls)
app.add_typer(dlq_app, name="dlq")
app.add_typer(test_app, name="test")
app.command("alert")(alert)
app.add_typer(commands_app, name="commands")
app.add_typer(silence_app, name="silence")
app.add_typer(keys_app, name="keys")
app.command("explain")(explain_id)
app.command("execute")(execute)
app.command("status")(status)
app.command("pause-actions")(pause_actions)
app.command("resume-actions")(resume_actions)


def main() -> None:
    """The program. Maps what a person can mend to one line and an exit code."""
    try:
        app()
    except ConfigError as e:
        print(e, file=sys.stderr)
        sys.exit(e.exit_code)
    except TidegateError as e:
        print(f"tidegate: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def demo(
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Use this Kafka instead of starting one.")
    ] = None,
    output: OutputForm = Output.TABLE,
    seed: Annotated[int, typer.Option(help="Of the simulated fleet: the same seed makes the same fleet.")] = 1,
) -> None:
    """The whole thing, nothing to install: a real Kafka, a worker, and a fleet with nine incidents.

    Starts Apache Kafka (the first time it fetches 46 MB), a worker, those who
    carry out and who page, and doubles of Hugging Face's and PagerDuty's APIs
    and of a gateway. Writes an hour of history of 200 endpoints, then plays a
    minute live: a 9x request surge, whose brake two persons approve, a runaway
    from 3 to 40 replicas, an hour's allowance blown, a day's budget at 130, 160
    and 210 %, a bad release, a slow endpoint with a queue, and one that sleeps
    and wakes all day. Shows findings, approvals and commands, and what was read
    back of them, sums up, and leaves nothing behind. Exits with 0 only if all
    were caught and paged, and what was to be answered was acted on, verified
    and restored.
    """
    from streams.demo.orchestrate import DemoOptions, run_demo  # noqa: PLC0415 -- Faust and Kafka: a second to import

    sys.exit(run_demo(DemoOptions(kafka=kafka, output=output.value, seed=seed)))


@app.command()
def run(config: ConfigFile = None) -> None:
    """The worker: reads events, writes findings, commands and alerts.

    Runs until SIGTERM or SIGINT, then drains, writes a checkpoint and exits with
    0. SIGHUP reads the configuration again, and keeps the old one if the new one
    is bad; kafka, http and input need a restart. As many workers as the topics
    have partitions share the work. Metrics and health are on
    [bold]http.host[/bold]:[bold]http.port[/bold] (127.0.0.1:9464): /metrics, /-/healthy, /-/ready.
    """
    from streams.worker import run as run_worker  # noqa: PLC0415 -- Faust: half a second to import

    logs.configure()
    path = config_path(config)
    loaded = configuration.load(path, SETTINGS, os.environ)
    sys.exit(run_worker(loaded, build_stage, reload=lambda: reloaded(path)))


@app.command()
def replay(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    requests: Annotated[str | None, typer.Option(metavar="FILE", help="Request events.")] = None,
    scaling: Annotated[str | None, typer.Option(metavar="FILE", help="Scaling events.")] = None,
    billing: Annotated[str | None, typer.Option(metavar="FILE", help="Billing events.")] = None,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
    every: Annotated[bool, typer.Option("--all", help="Updates and renewals too.")] = False,  # noqa: FBT002
    strict: Annotated[  # noqa: FBT002
        bool, typer.Option("--strict", help="Exit with 1 if any line could not be read.")
    ] = False,
) -> None:
    """The same decisions from files, no broker: what would have been found and commanded.

    Files are NDJSON (one event a line, the fields of the topics) or CSV (the
    same names in its first line), in order of time; `-` is standard input.
    Findings and commands are printed in event order, with the modes of the
    configuration; nothing is sent anywhere. A table has what is new: episodes
    that open, get worse or end, and commands; [bold]--all[/bold] adds each minute's
    updates and the renewals of commands; JSON has them always. A line that cannot
    be read is reported on stderr with its number, counted and skipped. Fields that
    no event has are named there, and a file that is out of order. Exits with 1 if
    no event could be read. For one partition of a topic, findings are those of
    the worker, byte for byte.
    """
    named = {REQUESTS: requests, SCALING: scaling, BILLING: billing}
    files = {topic: name for topic, name in named.items() if name is not None}
    if not files:
        raise UsageError("replay: expected at least one of --requests, --scaling and --billing")
    if list(files.values()).count(STDIN) > 1:
        raise UsageError(f"replay: only one input can be {STDIN} (standard input)")
    sys.exit(_replay(load_or_default(config), files, Printer(output, every=every), strict=strict))


@app.command()
def check(config: ConfigFile = None, output: OutputForm = Output.TABLE) -> None:
    """Reads the configuration and prints each problem with its line. Touches no network.

    If there is no error, says how many dollars it can cost at worst between a
    breach and its end, for each endpoint with a price and each budget, and why
    what is not stopped is not (docs/actions.md has the formula).
    """
    path = config_path(config)
    loaded, problems = configuration.read(path, SETTINGS, os.environ)
    for problem in problems:
        print(narration.as_json(problem._asdict()) if output is Output.JSON else problem)
    if loaded is None:
        sys.exit(1)
    if output is Output.TABLE:
        print(f"{path}: ok ({_summary(loaded)})")
    for line in overshoot_report.lines(loaded, output):
        print(line)


@app.command()
def version(output: OutputForm = Output.TABLE) -> None:
    """The version of tidegate."""
    number = installed_version("tidegate")
    print(narration.as_json({"version": number}) if output is Output.JSON else f"tidegate {number}")


@topics_app.command()
def create(
    config: ConfigFile = None,
    partitions: Annotated[int, typer.Option(min=1, help="Of each input topic.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Replicas of each partition; 3 in production.")] = 1,
    output: OutputForm = Output.TABLE,
) -> None:
    """Declares the topics. What is there is left as it is.

    Only a state topic whose source has got more partitions gets as many, too.
    """
    from streams.topics import declare  # noqa: PLC0415 -- aiokafka: a moment to import

    logs.configure("WARNING")
    declared = asyncio.run(declare(load_or_default(config), partitions, replication))
    table = Table("topic", "partitions", "")
    for topic, is_new in declared:
        if output is Output.JSON:
            print(narration.as_json({"topic": topic.name, "partitions": topic.partitions, "created": is_new}))
        table.add_row(topic.name, str(topic.partitions), "created" if is_new else "was there")
    if output is Output.TABLE:
        Console().print(table)


def _summary(config: Config) -> str:
    others = Counter(
        endpoint.mode for endpoint in config.endpoints.values() if endpoint.mode not in (None, config.mode)
    )
    own = "".join(f", {count} in {mode}" for mode, count in sorted(others.items()))
    counts = f"endpoints: {len(config.endpoints)}{own}; budgets: {len(config.budgets)}; rules: {len(config.rules)}"
    return f"version {config.version}; mode: {config.mode}; {counts}"


def _replay(config: Config, files: dict[str, str], printer: Printer, *, strict: bool) -> int:
    bad = 0

    def complain(file: str, line: int, reason: str) -> None:
        nonlocal bad
        bad += 1
        print(f"{file}:{line}: {reason}", file=sys.stderr)

    begun = time.perf_counter()
    with _progress(files) as progress:
        job = Replay(config, files, complain, progress, warn_of_ignored)
        for value in job.run():
            if isinstance(value, Finding | Command):
                printer.take(value)
    read = sum(count for (_, outcome), count in job.counts.items() if outcome in ("accepted", "late"))
    late = sum(count for (_, outcome), count in job.counts.items() if outcome == "late")
    seconds = time.perf_counter() - begun
    warn_of_disorder(job)
    if printer.found:
        print(f"tidegate: {printer.left_open()}", file=sys.stderr)
    counted = f"{printer.found} findings, {printer.commanded} commands"
    print(f"tidegate: {read} events read in {seconds:.1f} s ({late} late, {bad} bad); {counted}", file=sys.stderr)
    return 1 if read == 0 or (strict and bad) else 0


@contextmanager
def _progress(files: dict[str, str]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr over the bytes of the files, on a terminal only; yields what to call with bytes read."""
    console = Console(stderr=True)
    sizes = [Path(name).stat().st_size for name in files.values() if name != STDIN and Path(name).is_file()]
    total = sum(sizes) if len(sizes) == len(files) else None
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda count: bar.advance(task, count)
