"""Which command is meant: by its id, or the beginning of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from actions.chains import Chain, Link, chain_of
from actions.lifecycle import Life, Lives
from actions.wording import what_to_do
from schemas.orders import Order
from schemas.outputs import Command
from streams.errors import TidegateError, UsageError
from streams.narration import printable, short

SHORTEST: Final = 4  # digits that name an id
MOST_CANDIDATES: Final = 20  # that are listed
_DIGITS: Final = re.compile(rf"[0-9a-f]{{{SHORTEST},32}}")


class NoSuchId(TidegateError):
    """Nothing, or several things, have an id that begins like this."""


class NotNow(TidegateError):
    """The command is not in a state in which that can be said of it."""


class _Candidate(NamedTuple):
    id: str
    text: str


def find_command(lives: Lives, prefix: str) -> Link:
    """The command whose id begins like this."""
    found = [Link(life, life.command) for life in lives.known() if life.command and life.id.startswith(_digits(prefix))]
    _only(prefix, "command", [_Candidate(life.id, _line(command)) for life, command in found])
    return found[0]


def find_silence(silences: Sequence[Order], prefix: str) -> Order:
    """The silence whose id begins like this."""
    found = [order for order in silences if order.id.startswith(_digits(prefix))]
    _only(prefix, "silence", [_Candidate(order.id, ", ".join(order.matchers)) for order in found])
    return found[0]


def awaiting(lives: Lives, prefix: str) -> Command:
    """The command that is meant, if it awaits an approval."""
    life, command = find_command(lives, prefix)
    if not life.is_awaiting:
        raise NotNow(f"{short(life.id)} awaits no approval: it is {life.state}{_issued_as(life.issued_as)}")
    return command


def in_force(lives: Lives, prefix: str) -> Chain:
    """The brake that is meant, if something of it may be in force. A proposal means what was issued of it."""
    life, _ = find_command(lives, prefix)
    chain = chain_of(lives, life.issued_as or life)
    if not chain.is_unfinished:
        raise NotNow(f"{short(life.id)} is not in force: it is {chain.state}{_held(chain.last)}")
    return chain


def _digits(prefix: str) -> str:
    wanted = prefix.lower()
    if not _DIGITS.fullmatch(wanted):
        raise UsageError(f"expected {SHORTEST} to 32 hexadecimal digits of an id, got {prefix!r}")
    return wanted


def _only(prefix: str, kind: str, found: Sequence[_Candidate]) -> None:
    if not found:
        raise NoSuchId(f"no {kind} has an id that begins with {prefix}")
    if len(found) > 1:
        named = [f"  {each.id}  {each.text}" for each in found[:MOST_CANDIDATES]]
        more = [f"  and {len(found) - MOST_CANDIDATES:,} more"] if len(found) > MOST_CANDIDATES else []
        raise NoSuchId("\n".join([f"{len(found):,} {kind}s begin with {prefix}:", *map(printable, named), *more]))


def _line(command: Command) -> str:
    return f"{command.issued_at}  {what_to_do(command.action, command.endpoint, command.parameters)}"


def _issued_as(life: Life | None) -> str:
    return "" if life is None else f" as {short(life.id)}"


def _held(command: Command) -> str:
    return "" if command.held is None else f" ({command.held})"
