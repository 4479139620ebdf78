"""The explanation as a person reads it, section by section."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actions.wording import clock, figure
from schemas.outputs import Finding, Severity, Status
from streams.explain import plot
from streams.explain.decision import Policy
from streams.explain.limits import Specification
from streams.explain.report import Configured, Expected, Explanation, Step
from streams.explain.rulings import ruled
from streams.narration import printable, short

PIPE_WIDTH: Final = 120  # columns where there is no terminal to ask
INDENT: Final = 2
MOST_STEPS: Final = 20  # of the course, that a person is shown
MOST_ROWS: Final = 5  # of a list in the evidence

_STYLE: Final = {
    Severity.INFO: "bold cyan",
    Severity.WARNING: "bold yellow",
    Severity.ERROR: "bold red",
    Severity.CRITICAL: "bold red",
}
_OF_NORMAL: Final = {
    "season": "season (what the hour adds)",
    "steps": "steps seen",
    "hours_of_day_seen": "visits of this hour of the day",
    "hours_of_week_seen": "visits of this hour of the week",
}


def new_console() -> Console:
    """As wide as the terminal; elsewhere as lines are read well, unless COLUMNS says otherwise."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def show(told: Explanation, console: Console) -> None:
    with console.capture() as captured:
        for title, body in _sections(told, console):
            if title:
                console.print(Text(f"\n{title}", "bold"))
            console.print(Padding(Group(*body), (0, 0, 0, INDENT if title else 0)))
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _sections(told: Explanation, console: Console) -> Iterator[tuple[str, Iterator[RenderableType]]]:
    yield "", _heading(told)
    if told.finding is not None:
        yield "What was seen", _seen(told.finding)
    ink = plot.ASCII if console.options.ascii_only else plot.UNICODE
    if lines := plot.picture(told.findings, console.width - INDENT, ink):
        yield f"The episode in {printable(told.findings[0].unit)}", iter(lines)
    if told.expected is not None:
        yield "What was expected", _expected(told.expected)
    if told.configured is not None:
        yield "Where the numbers come from", _configured(told.configured, told.expected)
    yield "What was decided", _decided(told)
    yield "What was said", _course(told.course)


def _heading(told: Explanation) -> Iterator[RenderableType]:
    if told.findings:
        last = told.findings[-1]
        title = f"{last.rule} on {last.subject}: {last.severity.value}, {_standing(last)}"
        yield Text(printable(title), _STYLE[last.severity])
    yield _line(told.sentence or "its findings are not there any more")
    episode = "" if told.kind == "episode" else f" of episode {told.episode}"
    yield Text(f"{told.kind} {told.id}{episode}")
    yield Text(printable(f"read from {told.searched}"))


def _standing(last: Finding) -> str:
    if last.status is Status.RESOLVED:
        return f"resolved at {clock(last.at)}"
    return f"open since {clock(last.opened_at)}"


def _seen(finding: Finding) -> Iterator[RenderableType]:
    rows = {
        "value": _measure(finding.value, finding.unit),
        "limit": _measure(finding.threshold, finding.unit),
        "normal": _measure(finding.baseline, finding.unit),
        "score": f"{finding.score:.4g} (above 1 is anomalous)",
        "severity": finding.severity.value,
        "at": f"{finding.at} (finding {short(finding.id)}, status {finding.status.value})",
        "opened at": finding.opened_at,
    }
    yield _pairs({name: text for name, text in rows.items() if text})
    shown = {name: value for name, value in finding.evidence.items() if name not in {"normal", "history"}}
    if shown:
        yield Text("evidence")
        yield Padding(_pairs({name: _brief(value) for name, value in shown.items()}), (0, 0, 0, INDENT))


def _expected(expected: Expected) -> Iterator[RenderableType]:
    if expected.rule_says:
        yield _line(f"The rule: {expected.rule_says}")
    yield _line(f"The limit: {_limit(expected)}")
    if expected.normal is not None:
        yield _line(f"The learned normal at that moment, in {expected.unit}:")
        known = {_OF_NORMAL.get(name, name): _brief(value) for name, value in expected.normal.items()}
        yield Padding(_pairs(known), (0, 0, 0, INDENT))
    elif expected.baseline is not None:
        yield _line(f"The normal at that moment: {_measure(expected.baseline, expected.unit)}")
    else:
        yield _line("Nothing is learned: the limit is fixed.")
    if expected.specification:
        yield _line("The rule, with its default numbers; yours are below:")
        yield Padding(_line(_prose(expected.specification)), (0, 0, 0, INDENT))


def _limit(expected: Expected) -> str:
    """Of a ladder the step that was passed, then the first one."""
    of_what = "" if expected.limit is None else f" = {expected.limit}"
    first = f"{_measure(expected.threshold, expected.unit)}{of_what}"
    if expected.step is None:
        return first
    return f"{_measure(expected.step.amount, expected.unit)} = {expected.step.limit}; the first step: {first}"


def _configured(configured: Configured, expected: Expected | None) -> Iterator[RenderableType]:
    if configured.changed:
        yield Text(
            "The configuration has changed since:"
            f" the finding was made with version {printable(configured.version_then)}, this is {configured.version}."
            " Values and places below are those of now.",
            "bold yellow",
        )
    names = set() if expected is None else Specification(expected.rule_says, expected.specification).names
    table = _table("setting", "value", "from")
    for setting in (*configured.settings, *configured.facts):
        name = f"{setting.name} *" if setting.name in names else setting.name
        origin = f"{setting.origin} ({setting.key})" if setting.given else setting.origin
        table.add_row(*_cells(name, _brief(setting.value), origin))
    yield table
    if names:
        yield _line("* is in the rule above")


def _decided(told: Explanation) -> Iterator[RenderableType]:
    if told.policy is not None:
        yield _line(f"The policy {told.policy}")
    for ruling in told.commands:
        yield _line(f"{ruling.issued_at}  command {short(ruling.id)}")
        yield Padding(_pairs(ruled(ruling, told.policy)), (0, 0, 0, INDENT))
    if not told.commands:
        yield _line(_no_command(told.policy))


def _no_command(policy: Policy | None) -> str:
    """An action without a command has reasons that nobody writes down."""
    if policy is None or policy.action is None:
        return "No command came of it."
    return (
        "No command came of it: the evidence does not say how far to go, nothing was left to brake,"
        " a brake was in force already, or the command is not among what was read."
    )


def _course(course: Sequence[Step]) -> Iterator[RenderableType]:
    table = _table("time (UTC)", "", "id", "what it says", fixed=3)
    half = MOST_STEPS // 2
    left_out = len(course) - MOST_STEPS
    for number, step in enumerate(course):
        if left_out > 0 and half <= number < half + left_out:
            if number == half:
                table.add_row("...", "", "", f"{left_out:,} more (--output json has all)")
            continue
        table.add_row(*_cells(step.at[:19].replace("T", " "), step.kind, short(step.id), _said(step)))
    yield table


def _said(step: Step) -> str:
    """A finding says the same again and again: of its course the numbers are enough."""
    if step.value is None or step.threshold is None:
        return step.sentence
    return f"{step.what}, {step.severity}: {figure(step.value)}, limit {figure(step.threshold)}"


def _prose(text: str) -> str:
    """Paragraphs as long lines, for the terminal to fold; formulas as they stand."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(each if each.startswith((" ", "- ")) else each.replace("\n", " ") for each in paragraphs)


def _measure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{figure(value)} {unit}"


def _brief(value: Any) -> str:  # noqa: ANN401 -- evidence and settings may be anything
    """On one line, a list of mappings on a line for each of the first."""
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        rows = [_brief(dict(row)) for row in value[:MOST_ROWS]]
        more = [f"and {len(value) - MOST_ROWS:,} more"] if len(value) > MOST_ROWS else []
        return "\n".join([*rows, *more])
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_brief(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_brief, value)) or "none"
    if isinstance(value, str):
        return value
    return "-" if value is None else orjson.dumps(value).decode()


def _line(text: str) -> Text:
    return Text("\n".join(map(printable, text.splitlines())))


def _cells(*texts: str) -> list[Text]:
    return list(map(_line, texts))


def _pairs(rows: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(*_cells(name, text))
    return table


def _table(*names: str, fixed: int = 1) -> Table:
    """The first columns are `fixed`: on one line each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=number < fixed)
    return table
