"""How the demo looks: a live table on a terminal, plain lines on a pipe, JSON for programs."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Literal, Protocol, TextIO

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from actions.wording import usd
from streams.demo.board import Frame, Row, State
from streams.demo.messages import Said, Summary, concluded, paged, summed_up

Output = Literal["table", "json"]
PLAIN_WIDTH: Final = 120
TABLE_LINES: Final = 22  # what the table and its frame take of a terminal's height
REFRESH_PER_S: Final = 8

_STYLE: Final = {State.OK: "dim", State.RESTORED: "green", State.THROTTLED: "yellow"}
_EVENT_STYLE: Final = {
    "finding": "red",
    "command": "yellow",
    "script": "cyan",
    "failed": "bold red",
    "approval": "magenta",
    "verified": "green",
    "restored": "green",
}


class View(Protocol):
    """Where the demo shows itself."""

    def say(self, said: Said) -> None:
        """Something happened."""

    def progress(self, text: str, share: float | None = None) -> None:
        """Something slow goes on; `share` of it, 0 to 1, is done."""

    def frame(self, frame: Frame) -> None:
        """How the fleet is at this moment."""

    def sum_up(self, summary: Summary) -> None:
        """The end of it."""

    def close(self) -> None:
        """Give the terminal back. To call it again is harmless."""


class JsonView:
    """One JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, said: Said) -> None:
        line: dict[str, Any] = {"event": said.event}
        if said.at_s is not None:
            line["at_s"] = round(said.at_s, 3)
        self._out.write(msgspec.json.encode({**line, **said.fields}).decode() + "\n")
        self._out.flush()

    def progress(self, text: str, share: float | None = None) -> None: ...

    def frame(self, frame: Frame) -> None: ...

    def sum_up(self, summary: Summary) -> None:
        for outcome in summary.outcomes:
            self.say(concluded(outcome))
        self.say(summed_up(summary))

    def close(self) -> None: ...


class LinesView:
    """Plain lines: no bars, no colours, nothing that moves."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def say(self, said: Said) -> None:
        self._write(_line(said))

    def progress(self, text: str, share: float | None = None) -> None:  # noqa: ARG002 (a line cannot move)
        if text != self._last:
            self._last = text
            self._write(f"{text} ...")

    def frame(self, frame: Frame) -> None: ...

    def sum_up(self, summary: Summary) -> None:
        console = Console(file=self._out, no_color=True, force_terminal=False, width=PLAIN_WIDTH)
        _print_summary(console, summary)

    def close(self) -> None: ...

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class TerminalView:
    """The fleet as a table that moves, with the messages below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: list[Said] = []
        self._tail: deque[Said] = deque(maxlen=max(3, console.height - TABLE_LINES))
        self._frame: Frame | None = None
        self._progress = _progress(console)
        self._task: tuple[str, TaskID] | None = None
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=REFRESH_PER_S, transient=True
        )
        self._live.start()

    def say(self, said: Said) -> None:
        self._said.append(said)
        self._tail.append(said)

    def progress(self, text: str, share: float | None = None) -> None:
        if self._task is None or self._task[0] != text:
            self._finish_task()
            self._task = (text, self._progress.add_task(text, total=None if share is None else 1.0))
        if share is not None:
            self._progress.update(self._task[1], total=1.0, completed=min(share, 1.0))

    def frame(self, frame: Frame) -> None:
        self._finish_task()
        self._frame = frame

    def sum_up(self, summary: Summary) -> None:
        self.close()
        _print_summary(self._console, summary)

    def close(self) -> None:
        """The moving picture goes, what it said stays."""
        if not self._live.is_started:
            return
        self._live.stop()
        if self._frame is not None:
            self._console.print(table(self._frame))
        for said in self._said:
            self._console.print(Text(_line(said), _style(said)))
        self._said.clear()

    def _finish_task(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task[1])
            self._task = None

    def _render(self) -> Group:
        top = self._progress if self._frame is None else table(self._frame)
        return Group(top, *(Text(_line(said), _style(said), no_wrap=True, overflow="ellipsis") for said in self._tail))


def choose_view(output: Output, out: TextIO) -> View:
    """The view that fits where the output goes."""
    if output == "json":
        return JsonView(out)
    if out.isatty():
        return TerminalView(Console(file=out))
    return LinesView(out)


def table(frame: Frame) -> Table:
    """The fleet and its budget at one moment."""
    share = frame.spend_usd / frame.allowance_usd
    caption = Text.assemble(
        f"budget {frame.budget}: ${frame.spend_usd:,.2f} of the hour's ${frame.allowance_usd:,.2f} spent, ",
        (f"{share:.1%}", "bold red" if share > 1 else "bold"),
        ("  " + frame.budget_state.value, _STYLE.get(frame.budget_state, "bold red")),
    )
    shown = Table(title=f"tidegate demo, {frame.at_s:+.0f} s", caption=caption, caption_justify="left")
    shown.add_column("endpoint", no_wrap=True)
    for name in ("req/s", "normal", "replicas", "max", "$/h"):
        shown.add_column(name, justify="right")
    shown.add_column("state", min_width=11)
    for row in frame.rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: Row) -> tuple[str | Text, ...]:
    reading = row.reading
    replicas = f"{reading.ready}" if reading.ready == reading.target else f"{reading.ready} -> {reading.target}"
    return (
        row.endpoint,
        f"{reading.rps:.1f}",
        f"{reading.normal_rps:.1f}",
        replicas,
        str(row.expected_max),
        f"{reading.usd_per_hour:,.2f}",
        Text(row.state.value, _STYLE.get(row.state, "bold red")),
    )


def _line(said: Said) -> str:
    at = " " * 8 if said.at_s is None else f"{said.at_s:+6.1f} s"
    return f"{at}  {said.event:<8}  {said.text}"


def _style(said: Said) -> str:
    return _EVENT_STYLE.get(said.event, "")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    )


def _print_summary(console: Console, summary: Summary) -> None:
    shown = Table(title="what happened", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("incident", "subject", "action", "to command", "to verified", "stopped", "billed", "verdict"):
        shown.add_column(name, overflow="fold")
    for outcome in summary.outcomes:
        saves = outcome.saves_usd_per_hour
        shown.add_row(
            outcome.rule,
            outcome.subject,
            "\n".join(action.removesuffix(f" {outcome.subject}") for action in outcome.actions) or "-",
            _seconds(outcome.seconds),
            _seconds(outcome.verified_s),
            "-" if saves is None else f"${saves:,.2f}/h",
            f"${outcome.billed_usd:,.2f}" if outcome.billed_usd else "-",
            outcome.verdict,
        )
    console.print(shown)
    backfill = summary.backfill
    console.print(
        f"history: {backfill.events:,} events read in {backfill.seconds:.1f} s,"
        f" {backfill.events_per_s:,} events/s; episodes that nobody scripted: {summary.others}"
    )
    console.print(paged(summary))
    console.print(f"billed for replicas that were started meanwhile: {usd(summary.billed_usd)}")
    console.print(summed_up(summary).text)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
