"""The status as a person reads it, at three in the morning: what is in force first, what to do about it last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actions.wording import lasting, usd
from schemas.outputs import State
from schemas.units import US, from_rfc3339
from streams.narration import printable, short
from streams.operate.status import InForce, Pause, Silence, Status, Trouble, Waiting

MOST_WARNINGS: Final = 5  # a worker that is away is late with everything
OTHERWISE: Final = {"reject": "rejected", "issue": "carried out"}
STYLES: Final = {
    State.VERIFIED: "green", State.APPLIED: "yellow", State.APPLYING: "yellow", State.ISSUED: "yellow",
    State.FAILED: "bold red", State.EXPIRED: "bold red",
}  # fmt: skip


def page(status: Status) -> Group:
    """All of it."""
    return Group(*_parts(status))


def _parts(status: Status) -> Iterator[RenderableType]:
    yield from (Text(f"warning: {printable(warning)}", "bold yellow") for warning in status.warnings[:MOST_WARNINGS])
    if len(status.warnings) > MOST_WARNINGS:
        yield Text(f"and {len(status.warnings) - MOST_WARNINGS:,} more warnings (-o json has all)", "bold yellow")
    yield from (_pause(pause, status.at) for pause in status.pauses)
    if not status.in_force:
        yield Text("nothing is in force")
    else:
        rest = status.would_save_usd_per_hour
        more = f", and {usd(rest)} more once all is carried out" if rest else ""
        saving = f"saving {usd(status.saves_usd_per_hour)} per hour{more}"
        yield Text(f"in force: {len(status.in_force)}, {saving}", "bold")
        yield _brakes(status)
    if status.waiting:
        yield Text(f"waiting for approval: {len(status.waiting)}", "bold")
        yield _proposals(status)
        yield Text("  tidegate commands show|approve|reject ID --why TEXT", "dim")
    if status.silences:
        yield Text(f"silences: {len(status.silences)}", "bold")
        yield silence_table(status.silences, status.at)
    if status.troubles:
        yield Text("failed or refused in the last 24 hours", "bold")
        yield _trouble_table(status.troubles, status.at)
    if status.supposed:
        yield Text(f"in mode shadow: {status.supposed} more would be in force (tidegate commands ls)", "dim")


def _brakes(status: Status) -> Table:
    table = _table("id", "what", "state", "since", "ends in", "saves", "why")
    for row in status.in_force:
        saves = "-" if row.saves_usd_per_hour is None else f"{usd(row.saves_usd_per_hour)}/h"
        state = Text(f"{row.state}{_by(row)}", STYLES.get(row.state, ""))
        since, until = ago(row.since, status.at), left(row.until, status.at)
        table.add_row(short(row.id), printable(row.does), state, since, until, saves, printable(row.reason))
    return table


def _by(row: InForce) -> str:
    verb = "for" if row.state is State.ISSUED else "by"
    by = ", no executor" if row.executor is None else f" {verb} {printable(row.executor)}"
    who = f", approved by {printable(' and '.join(row.approved_by))}" if row.approved_by else ""
    return f"{by}{who}{', being restored' if row.restored_by else ''}"


def _proposals(status: Status) -> Table:
    table = _table("id", "what", "approved", "then", "would save", "why")
    for row in status.waiting:
        saves = "-" if row.saves_usd_per_hour is None else f"{usd(row.saves_usd_per_hour)}/h"
        then = f"{OTHERWISE[row.otherwise]} in {left(row.until, status.at)}"
        table.add_row(short(row.id), printable(row.does), approved(row), then, saves, printable(row.reason))
    return table


def approved(row: Waiting) -> str:
    """`1 of 2 (alice)`."""
    who = f" ({printable(', '.join(row.approved_by))})" if row.approved_by else ""
    return f"{len(row.approved_by)} of {row.persons}{who}"


def _pause(pause: Pause, at: str) -> Text:
    since = "" if pause.since is None else f" for {ago(pause.since, at)}"
    until = "until somebody resumes" if pause.until is None else f"for another {left(pause.until, at)}"
    told = f"KILL SWITCH ON{since}, {until}, by {pause.by}: {pause.why}; no new command comes into force"
    return Text(printable(told), "bold red")


def silence_table(silences: tuple[Silence, ...], at: str) -> Table:
    table = _table("id", "matchers", "ends in", "by", "why")
    for row in silences:
        matchers = printable(", ".join(row.matchers))
        table.add_row(short(row.id), matchers, left(row.until, at), printable(row.by), printable(row.why))
    return table


def _trouble_table(troubles: tuple[Trouble, ...], at: str) -> Table:
    table = _table("ago", "command", "what", "who", "reason")
    for row in troubles:
        command = "-" if row.command_id is None else short(row.command_id)
        where = "" if row.endpoint is None else f" on {printable(row.endpoint)}"
        table.add_row(ago(row.at, at), command, f"{row.what}{where}", printable(row.who), printable(row.reason))
    return table


def ago(time: str, at: str) -> str:
    """How long before `at`."""
    return lasting(max(0, from_rfc3339(at) - from_rfc3339(time)) / US)


def left(time: str | None, at: str) -> str:
    """How long after `at`; `over` for what has passed, `-` for what never ends."""
    if time is None:
        return "-"
    left_us = from_rfc3339(time) - from_rfc3339(at)
    return lasting(left_us / US) if left_us >= US else "over"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("id", "command", "ago"))
    return table
