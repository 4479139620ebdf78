"""What `tidegate status` tells: the present at one moment, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from actions.chains import Chain, unfinished
from actions.lifecycle import CARRIED_OUT, Life
from actions.wording import lasting, what_to_do
from schemas.config import Config
from schemas.executors import DryRun
from schemas.orders import Order
from schemas.outputs import Action, Command, Held, Mode, Result, State
from schemas.units import HOUR_US, US, from_rfc3339, rfc3339
from streams.narration import short
from streams.operate.present import Present

LATE_US: Final = 60 * US  # how long a worker or an executor may be silent before it seems to be away
RECENT_US: Final = 24 * HOUR_US  # failures that are told
MOST_FAILURES: Final = 5


class InForce(Struct, frozen=True):
    """A brake of which something may be in force outside. `id` is the newest of its commands."""

    id: str
    began_with: str
    endpoint: str
    action: Action
    does: str
    state: State
    executor: str | None
    since: str
    until: str | None
    renewals: int
    saves_usd_per_hour: float | None
    saved_usd: float | None
    mode: Mode
    approved_by: tuple[str, ...]
    rule: str
    reason: str
    restored_by: str | None  # the command that takes it off, which is not done yet


class Waiting(Struct, frozen=True):
    """A command that waits for persons."""

    id: str
    endpoint: str
    action: Action
    does: str
    since: str
    until: str | None
    persons: int
    approved_by: tuple[str, ...]
    otherwise: str
    saves_usd_per_hour: float | None
    rule: str
    reason: str


class Pause(Struct, frozen=True):
    """The kill switch."""

    since: str | None
    until: str | None
    by: str
    why: str


class Silence(Struct, frozen=True):
    """Alerts that are not sent."""

    id: str
    matchers: tuple[str, ...]
    since: str
    until: str | None
    by: str
    why: str


class Trouble(Struct, frozen=True):
    """Something failed, or was refused."""

    at: str
    what: str
    endpoint: str | None
    command_id: str | None
    who: str
    reason: str


class Status(Struct, frozen=True):
    """The present at one moment."""

    at: str
    in_force: tuple[InForce, ...]
    saves_usd_per_hour: float  # as far as it is reported to be carried out ...
    would_save_usd_per_hour: float  # ... and what the rest of it would
    waiting: tuple[Waiting, ...]
    pauses: tuple[Pause, ...]
    silences: tuple[Silence, ...]
    troubles: tuple[Trouble, ...]
    supposed: int  # what auto would have in force, in mode shadow
    warnings: tuple[str, ...]


def status_of(present: Present, config: Config, now_us: int) -> Status:
    """What is so at `now_us`."""
    chains = unfinished(present.lives)
    waiting = sorted((life for life in present.lives if life.is_awaiting), key=_issued)
    return Status(
        at=rfc3339(now_us),
        in_force=tuple(_in_force(chain, now_us) for chain in chains),
        saves_usd_per_hour=_saves(
            chain for chain in chains if chain.state in CARRIED_OUT and not _is_dry(chain, config)
        ),
        would_save_usd_per_hour=_saves(chain for chain in chains if chain.state not in CARRIED_OUT),
        waiting=tuple(_waiting(life.command, life.approvers) for life in waiting if life.command is not None),
        pauses=tuple(_pauses(present, config, now_us)),
        silences=tuple(map(silence_of, present.silences(now_us))),
        troubles=tuple(_troubles(present, now_us)),
        supposed=sum(_is_supposed(life, now_us) for life in present.lives),
        warnings=tuple(_warnings(present, chains, waiting, now_us)),
    )


def _is_dry(chain: Chain, config: Config) -> bool:
    """Whether an executor that only says what it would do took it."""
    return isinstance(config.executors.get(chain.last.executor or ""), DryRun)


def _saves(chains: Iterable[Chain]) -> float:
    return sum(chain.last.cost.saves_usd_per_hour or 0.0 for chain in chains)


def _issued(life: Life) -> tuple[str, str]:
    return ("" if life.command is None else life.command.issued_at, life.id)


def silence_of(order: Order) -> Silence:
    return Silence(order.id, order.matchers, order.at, order.until, order.who, order.why)


def _in_force(chain: Chain, now_us: int) -> InForce:
    last, restore = chain.last, chain.end.restore
    return InForce(
        id=last.id,
        began_with=chain.first.id,
        endpoint=last.endpoint,
        action=last.action,
        does=what_to_do(last.action, last.endpoint, last.parameters),
        state=chain.state,
        executor=last.executor,
        since=chain.began_at,
        until=last.expires_at,
        renewals=len(chain.links) - 1,
        saves_usd_per_hour=last.cost.saves_usd_per_hour,
        saved_usd=chain.saved_usd(now_us),
        mode=last.mode,
        approved_by=last.approved_by,
        rule=last.rule,
        reason=chain.first.reason,
        restored_by=None if restore is None else restore.id,
    )


def _waiting(command: Command, approvers: tuple[str, ...]) -> Waiting:
    approval = command.approval
    return Waiting(
        id=command.id,
        endpoint=command.endpoint,
        action=command.action,
        does=what_to_do(command.action, command.endpoint, command.parameters),
        since=command.issued_at,
        until=command.expires_at if approval is None else approval.until,
        persons=1 if approval is None else approval.persons,
        approved_by=approvers,
        otherwise="reject" if approval is None else approval.otherwise,
        saves_usd_per_hour=command.cost.saves_usd_per_hour,
        rule=command.rule,
        reason=command.reason,
    )


def _pauses(present: Present, config: Config, now_us: int) -> Iterator[Pause]:
    if config.safety.kill_switch:
        yield Pause(None, None, "the configuration", "safety.kill_switch")
    order = present.pause(now_us)
    if order is not None:
        yield Pause(order.at, order.until, order.who, order.why)


def _troubles(present: Present, now_us: int) -> list[Trouble]:
    recent = [own for own in present.troubles.values() if from_rfc3339(own.at) > now_us - RECENT_US]
    newest = sorted(recent, key=lambda own: (own.at, own.id))[-MOST_FAILURES:]
    return [_trouble(own) for own in newest]


def _trouble(own: Result) -> Trouble:
    what = "failed" if own.refusal is None else f"refused: {own.refusal}"
    who = own.executor or " and ".join(own.by) or "the worker"
    return Trouble(own.at, what, own.endpoint, own.command_id, who, own.reason)


def _is_supposed(life: Life, now_us: int) -> bool:
    command = life.command
    if command is None or command.held is not Held.SHADOW or command.action is Action.RESTORE:
        return False
    is_over = command.expires_at is not None and from_rfc3339(command.expires_at) <= now_us
    return not is_over and life.state is State.HELD


def _warnings(present: Present, chains: list[Chain], waiting: list[Life], now_us: int) -> Iterator[str]:
    for chain in chains:
        yield from _warning(chain, now_us)
    for life in waiting:
        asked = None if life.command is None or life.command.approval is None else life.command.approval
        if asked is not None and (late := _late(asked.until, now_us)):
            yield f"{short(life.id)} should have been decided {late} ago: no worker seems to run (`tidegate run`)"
    if present.unreadable:
        yield f"records that cannot be read: {present.unreadable:,}"


def _warning(chain: Chain, now_us: int) -> Iterator[str]:
    """What seems to be stuck, and who should be running."""
    last, restore = chain.last, chain.end.restore
    where, by = f"{last.endpoint} ({short(last.id)})", f"`tidegate execute --executor {last.executor}`"
    if restore is not None and restore.command is not None:
        if late := _late(restore.command.issued_at, now_us):
            yield f"{where} was to be restored {late} ago and is not, as far as is known: is {by} running?"
    elif late := _late(last.expires_at, now_us):
        nor = "" if last.executor is None else f", nor {by}"
        yield f"{where} is past its end by {late}: no worker seems to run (`tidegate run`){nor}"
    elif chain.state is State.ISSUED and last.executor is not None and (late := _late(chain.first.issued_at, now_us)):
        yield f"{where} was issued {late} ago and nobody has begun: is {by} running?"


def _late(time: str | None, now_us: int) -> str:
    """How long ago it was, if that is longer than anybody should need."""
    late_us = 0 if time is None else now_us - from_rfc3339(time)
    return lasting(late_us / US) if late_us > LATE_US else ""
