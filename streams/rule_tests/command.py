"""`tidegate test rules`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streams import narration
from streams.errors import UsageError
from streams.options import Output, OutputForm
from streams.rule_tests import report
from streams.rule_tests.reading import Suite, read
from streams.rule_tests.run import Verdict, judge

test_app = typer.Typer(help="Unit tests, without a broker.", no_args_is_help=True)


@test_app.command()
def rules(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tests in YAML, see docs/rule-tests.md.")],
    run: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Only the tests whose name has a match of this.")
    ] = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """Feeds the events of each test to the rules, and compares what they find and command.

    A file holds a configuration and tests: events with times, or in short-hand
    such as "10/s for 15m, then 90/s for 30s", and the findings and commands that
    are to come of them. The decisions are those of [bold]tidegate run[/bold], by the same code.
    Exits with 1 if a test fails or a file has errors.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"test rules: expected files of tests, got {missing[0]}, which is none")
    wanted = _pattern(run)
    loaded = [read(str(file), os.environ) for file in files]
    if wanted and not any(file.problems or any(map(wanted.search, _names(file))) for file in loaded):
        raise UsageError(f"test rules: --run {run!r} matches the name of no test")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    passed = True
    for file in loaded:
        verdicts = dict(_verdicts(file, wanted))
        passed &= not file.problems and all(verdict.passed for verdict in verdicts.values())
        if verdicts or file.problems:
            _tell(console, file, verdicts, output)
    sys.exit(0 if passed else 1)


def _names(file: Suite) -> list[str]:
    return [test.name for test in file.tests]


def _verdicts(file: Suite, wanted: re.Pattern[str] | None) -> Iterator[tuple[int, Verdict]]:
    for place, test in enumerate(file.tests):
        if wanted is None or wanted.search(test.name):
            yield place, judge(test, file.config)


def _tell(console: Console, file: Suite, verdicts: Mapping[int, Verdict], output: Output) -> None:
    if output is Output.JSON:
        for fields in report.objects(file, verdicts):
            print(narration.as_json(fields))  # noqa: T201 -- printing is what a command line is for
        return
    for line in report.lines(file, verdicts):
        console.print(line)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(f"test rules: --run {text!r}: expected a regular expression, {error}") from None
