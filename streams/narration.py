"""Findings and commands as a person reads them, a line each."""

from __future__ import annotations

from typing import Any, Final

import orjson

from actions.wording import what_is_wrong, what_was_done
from schemas.outputs import Command, Finding, Status
from streams.courses import Turn

SHORT: Final = 8  # digits of an id that a person needs to name it


def as_json(fields: dict[str, Any]) -> str:
    """One object on one line."""
    return orjson.dumps(fields).decode()


def of_finding(finding: Finding, turn: Turn | None = None) -> str:
    """`critical: acme/bert has 40 replicas ...`, without the time.

    A finding alone does not know whether its severity has risen; `turn`, from those before it, does.
    """
    if turn is Turn.RISES:
        return f"now {finding.severity}: {what_is_wrong(finding)}"
    match finding.status:
        case Status.OPEN:
            return f"{finding.severity}: {what_is_wrong(finding)}"
        case Status.UPDATE:
            return f"{finding.severity}, goes on: {what_is_wrong(finding)}"
        case Status.RESOLVED:
            return f"resolved: {finding.rule} on {finding.subject}"


def sentence(value: Finding | Command, turn: Turn | None = None) -> str:
    """Time, kind, the beginning of the id (for `tidegate explain`) and sentence: a line of `replay`."""
    if isinstance(value, Finding):
        return printable(f"{value.at}  finding  {short(value.id)}  {of_finding(value, turn)}")
    return printable(f"{value.issued_at}  command  {short(value.id)}  {what_was_done(value)}")


def short(identity: str) -> str:
    """The beginning of an id."""
    return identity[:SHORT]


def printable(text: str) -> str:
    """A name, or what stands in a record, may hold any character; none may move the reader's cursor or begin a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
