"""`commands ls` and `commands show` as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actions.chains import chain_of
from actions.lifecycle import Life, Lives
from actions.wording import RENEWED, clock, is_renewal, usd, what_to_do
from schemas.outputs import Action, Command, Held, State
from schemas.section import matches
from streams.narration import printable, short
from streams.operate.present import Present
from streams.operate.trail import Entry, Trail

FEW: Final = 3  # renewals that are shown one by one


class Row(NamedTuple):
    """A command, and what became of it: where it stands for a brake with its renewals, of that."""

    command: Command
    state: State
    approved_by: tuple[str, ...]


class Selection(NamedTuple):
    """Which commands are meant; None: any."""

    endpoint: str | None = None
    state: State | None = None
    since: str | None = None
    every: bool = False  # routine, too: renewals, restores of what was held, proposals that were issued

    def takes(self, life: Life, command: Command) -> bool:
        is_late = self.since is None or command.issued_at >= self.since
        is_there = self.endpoint is None or matches(command.endpoint, (self.endpoint,))
        return is_late and is_there and (self.every or not _is_routine(life, command))


def selected(present: Present, selection: Selection) -> list[Row]:
    """In order of time."""
    rows = [
        Row(life.command, _state(present.lives, life, selection), life.command.approved_by or life.approvers)
        for life in present.lives.known()
        if life.command is not None and selection.takes(life, life.command)
    ]
    return [row for row in rows if selection.state in (None, row.state)]


def _state(lives: Lives, life: Life, selection: Selection) -> State:
    return chain_of(lives, life).state if life.is_real and not selection.every else life.state


def fields(row: Row) -> dict[str, Any]:
    """For programs."""
    command = row.command
    return {
        "id": command.id,
        "at": command.issued_at,
        "endpoint": command.endpoint,
        "action": command.action.value,
        "does": what_to_do(command.action, command.endpoint, command.parameters),
        "mode": command.mode.value,
        "state": row.state.value,
        "held": None if command.held is None else command.held.value,
        "executor": command.executor,
        "rule": command.rule,
        "reason": command.reason,
        "expires_at": command.expires_at,
        "saves_usd_per_hour": command.cost.saves_usd_per_hour,
        "approved_by": row.approved_by,
        "restores": command.restores,
        "proposal": command.proposal,
    }


def table(rows: Sequence[Row]) -> RenderableType:
    """For people."""
    if not rows:
        return Text("no commands")
    shown = _columns("id", "at", "what", "state", "by", "saves", "rule")
    for command, state, _ in rows:
        saves = command.cost.saves_usd_per_hour
        shown.add_row(
            short(command.id),
            clock(command.issued_at),
            printable(what_to_do(command.action, command.endpoint, command.parameters)),
            f"{state}{_because(command)}",
            printable(command.executor or "-"),
            "-" if saves is None else f"{usd(saves)}/h",
            command.rule,
        )
    return shown


def story(trail: Trail, *, every: bool) -> Group:
    """The whole life of a command."""
    return Group(_headline(trail), _facts(trail), Text(""), _course(trail, every=every))


def _is_routine(life: Life, command: Command) -> bool:
    """What only goes on, undoes in name only, or was issued as another command since."""
    is_held_restore = command.action is Action.RESTORE and command.held is not None
    return is_renewal(command) or is_held_restore or life.issued_as is not None


def _because(command: Command) -> str:
    return f" ({command.held})" if command.held not in (None, Held.AWAITING_APPROVAL) else ""


def _headline(trail: Trail) -> Text:
    asked = trail.asked
    deed = printable(what_to_do(asked.action, asked.endpoint, asked.parameters))
    return Text(f"{deed}: {trail.state}", "bold")


def _facts(trail: Trail) -> Table:
    facts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, told in _told(trail):
        facts.add_row(name, printable(told))
    return facts


def _told(trail: Trail) -> Iterator[tuple[str, str]]:
    asked, cost = trail.asked, trail.asked.cost
    yield "  id", asked.id
    yield "  rule", asked.rule
    yield "  why", asked.reason.removeprefix(RENEWED)
    yield "  mode", f"{asked.mode}" + (f", held: {asked.held}" if asked.held else "")
    yield "  executor", asked.executor or trail.chain.last.executor or "none takes it"
    if asked.expires_at is not None:
        yield "  until", clock(trail.chain.last.expires_at or asked.expires_at)
    money = [
        ("spend", cost.spend_usd, ""), ("budget", cost.budget_usd, ""),
        ("rate", cost.rate_usd_per_hour, "/h"), ("saves", cost.saves_usd_per_hour, "/h"),
        ("saved so far", trail.saved_usd, ""),
    ]  # fmt: skip
    told = [f"{name} {usd(amount)}{unit}" for name, amount, unit in money if amount is not None]
    if told:
        yield "  money", ", ".join(told)


def _course(trail: Trail, *, every: bool) -> Table:
    shown = _columns("at", "id", "what", "who", "why", "signature")
    is_long = len(trail.passed_over) > FEW and not every
    for entry in trail.entries:
        if is_long and entry.command_id in trail.passed_over and entry.kind != "order" and "failed" not in entry.says:
            continue
        why = printable("; ".join(filter(None, [entry.why, *_changes(entry)])))
        cells = (clock(entry.at), short(entry.id), printable(entry.says), printable(entry.who), why, entry.signature)
        shown.add_row(*cells)
    if is_long:
        shown.caption = f"{len(trail.passed_over)} renewals between the first and the last are not shown (--all)"
        shown.caption_justify = "left"
    return shown


def _changes(entry: Entry) -> Iterator[str]:
    for name, values in (("before", entry.before), ("after", entry.after)):
        if values and entry.kind == "result":
            yield f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}"


def _columns(*names: str) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        shown.add_column(name, overflow="fold", no_wrap=name in ("id", "at"))
    return shown
