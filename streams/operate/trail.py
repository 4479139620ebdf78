"""The audit trail of a command: every record of its life, in order of time, with whom, why and what it was worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from actions.chains import Chain, chain_of
from actions.lifecycle import Life, Lives
from actions.wording import HELD_BECAUSE, is_renewal, what_to_do
from schemas.config import Config
from schemas.outputs import Action, Command, Cost, Id, Result, State
from schemas.signatures import BadKey, PublicKey, refused
from streams.operate.present import Heard, Present

_KINDS: Final = ("order", "command", "result")  # of what is said at one moment: cause before effect


class Entry(Struct, frozen=True):
    """One record. `signature`: whether it is good, and of whom; empty where none is expected."""

    at: str
    kind: Literal["order", "command", "result"]
    id: Id
    command_id: Id | None
    says: str
    who: str
    why: str
    signature: str
    cost: Cost | None = None
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class Trail(NamedTuple):
    """A brake from the first word about it to the last. `asked` is the command that was asked for."""

    asked: Command
    state: State
    chain: Chain
    saved_usd: float | None
    entries: tuple[Entry, ...]
    passed_over: frozenset[Id]  # commands that only renew, between the first and the last


def trail_of(present: Present, config: Config, asked: Life, now_us: int) -> Trail:
    """The trail that a command is a part of. The command must have been read."""
    if asked.command is None:
        raise ValueError(asked.id)
    chain = _chain(present.lives, asked)
    lives = [*_proposals(present.lives, chain), *(link.life for link in chain.links), *_ends(chain)]
    entries = [entry for life in lives for entry in _entries(present, config, life)]
    successor = chain.end.successor
    if successor is not None and successor.command is not None:
        entries.append(_command(successor.command, config, "replaced: "))
    entries.sort(key=lambda entry: (entry.at, _KINDS.index(entry.kind)))
    between = frozenset(link.command.id for link in chain.links[1:-1])
    state = chain.state if asked.is_real and asked.state is not State.REPLACED else asked.state
    return Trail(asked.command, state, chain, chain.saved_usd(now_us), tuple(entries), between)


def _chain(lives: Lives, asked: Life) -> Chain:
    """Of a restore what it undoes, of a proposal what was issued of it."""
    command = asked.command
    if command is not None and command.action is Action.RESTORE and command.restores is not None:
        undone = lives.get(command.restores)
        if undone is not None and undone.command is not None:
            return chain_of(lives, undone)
    issued = asked.issued_as
    return chain_of(lives, asked if issued is None else issued)


def _proposals(lives: Lives, chain: Chain) -> list[Life]:
    proposal = None if chain.first.proposal is None else lives.get(chain.first.proposal)
    return [] if proposal is None else [proposal]


def _ends(chain: Chain) -> list[Life]:
    restore = chain.end.restore
    return [] if restore is None else [restore]


def _entries(present: Present, config: Config, life: Life) -> Iterator[Entry]:
    if life.command is not None:
        yield _command(life.command, config)
    yield from (_result(result) for result in life.results)
    yield from (_order(heard, config) for heard in present.about.get(life.id, ()))


def _command(command: Command, config: Config, how: str = "") -> Entry:
    deed = what_to_do(command.action, command.endpoint, command.parameters)
    state = "issued" if command.held is None else f"held, {HELD_BECAUSE[command.held]}"
    renewed = "renewed" if is_renewal(command) and command.held is None else state
    return Entry(
        at=command.issued_at,
        kind="command",
        id=command.id,
        command_id=command.id,
        says=f"{how}{renewed}: {deed}",
        who=_giver(command),
        why=command.reason,
        signature=signature_of(command, config.signing.trusted),
        cost=command.cost,
        before=command.before,
    )


def _giver(command: Command) -> str:
    """Whose decision it was: a restore bears the approvals of what it undoes, and needs none."""
    is_asked_for = command.approved_by and command.action is not Action.RESTORE
    return " and ".join(command.approved_by) if is_asked_for else "the worker"


def _result(result: Result) -> Entry:
    told = result.state if result.refusal is None else f"refused ({result.refusal})"
    return Entry(
        at=result.at,
        kind="result",
        id=result.id,
        command_id=result.command_id,
        says=str(told),
        who=result.executor or " and ".join(result.by) or "the worker",
        why=result.reason,
        signature="",
        before=result.before,
        after=result.after,
    )


def _order(heard: Heard, config: Config) -> Entry:
    order, refusal = heard
    signature = "good" if config.operators else ("not checked" if order.signature else "none")
    return Entry(
        at=order.at,
        kind="order",
        id=order.id,
        command_id=order.command_id,
        says=order.verb,
        who=order.who,
        why=order.why,
        signature=signature if refusal is None else f"not heard: {refusal[1]}",
    )


def signature_of(command: Command, trusted: Sequence[str]) -> str:
    """`good, key 12ab...`, or what is wrong with it. What is held need bear none: nobody carries it out."""
    if command.signature is None:
        return "none" if command.held is None else ""
    keys = [key for text in trusted if (key := _parsed(text)) is not None]
    if not keys:
        return "not checked: signing.trusted is empty"
    refusal = refused(command, keys)
    return f"good, key {command.signature.split(':')[1]}" if refusal is None else f"BAD: {refusal}"


def _parsed(text: str) -> PublicKey | None:
    try:
        return PublicKey.parse(text)
    except BadKey:
        return None
