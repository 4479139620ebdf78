"""The commands themselves: issued, held, renewed, restored.

An id is derived from everything else in the command, so two commands with the same id are the same,
whatever restarts or changes of configuration lie between them.

`restores` names the command whose place this one takes: a restore undoes it, a renewal goes on with it, a
stronger brake replaces it. So every command that came into force is named by exactly one later one, and the
last is a restore.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import structs

from actions.brakes import Brake, Claim, Demand, reality_of
from actions.wording import RENEWED, in_name_only
from schemas.config import Policy
from schemas.outputs import UNSEALED, Action, Approval, Command, Cost, Held, Id, Mode, content_id
from schemas.units import US, from_rfc3339, rfc3339


class Terms(NamedTuple):
    """What the configuration adds to a command."""

    lifetime_s: float
    executor: str | None
    policy: Policy | None = None  # None: it awaits no approval


def issue(claim: Claim, demand: Demand, at_us: int, terms: Terms) -> Command:
    """The command for a claim, as if in mode `auto`; `demand` is the join with what others claim."""
    return seal(
        Command(
            id=UNSEALED,
            action=demand.action,
            endpoint=claim.endpoint,
            parameters=demand.parameters,
            mode=Mode.AUTO,
            held=None,
            finding_id=claim.finding_id,
            episode=claim.episode,
            rule=claim.rule,
            issued_at=rfc3339(at_us),
            expires_at=rfc3339(at_us + round(terms.lifetime_s * US)),
            reason=claim.reason,
            cost=claim.cost,
            before=claim.before,
            executor=terms.executor,
        )
    )


def hold(command: Command, held: Held, mode: Mode) -> Command:
    """The same command, held back: never in mode `auto`."""
    return seal(structs.replace(command, held=held, mode=Mode.SHADOW if mode is Mode.AUTO else mode))


def ask(command: Command, policy: Policy, asked: Command | None = None) -> Command:
    """The same command, which waits for persons; no longer than what was `asked` for before and it tightens."""
    until_us = from_rfc3339(command.issued_at) + round(policy.within * US)
    if asked is not None and asked.approval is not None and asked.action is command.action:
        until_us = min(until_us, from_rfc3339(asked.approval.until))
    approval = Approval(policy.persons, rfc3339(until_us), policy.otherwise)
    return seal(structs.replace(command, approval=approval))


def approve(brake: Brake, demand: Demand, at_us: int, terms: Terms) -> Command:
    """What awaited approval, to be carried out: as it was asked for, joined with what is in force meanwhile."""
    return seal(
        structs.replace(
            brake.command,
            action=demand.action,
            parameters=demand.parameters,
            mode=Mode.APPROVE,
            held=None,
            issued_at=rfc3339(at_us),
            expires_at=rfc3339(at_us + round(terms.lifetime_s * US)),
            executor=terms.executor,
            approval=None,
            proposal=brake.command.id,
            approved_by=brake.approvals,
            restores=None,
        )
    )


def inherit(command: Command, approved_by: tuple[str, ...]) -> Command:
    """The same command, approved by whoever approved what it remains of."""
    return seal(structs.replace(command, mode=Mode.APPROVE, approved_by=approved_by))


def replace(command: Command, brakes: tuple[Brake, ...]) -> Command:
    """A command over brakes on its endpoint.

    What to come back to is what the first of them saw, not their effect.
    """
    before = dict(command.before)
    for brake in brakes:
        before.update(brake.command.before)
    replaced = next((brake.command.id for brake in brakes if brake.reality is reality_of(command)), None)
    return seal(structs.replace(command, before=before, restores=replaced))


def renew(brake: Brake, finding_id: Id, at_us: int, lifetime_s: float) -> Command:
    """The same brake for another lifetime."""
    command = brake.command
    return seal(
        structs.replace(
            command,
            finding_id=finding_id,
            issued_at=rfc3339(at_us),
            expires_at=rfc3339(at_us + round(lifetime_s * US)),
            reason=_because("renewed", command),
            restores=command.id,
            proposal=None,
        )
    )


def restore(brake: Brake, finding_id: Id, at_us: int, why: str) -> Command:
    """Take the brake off, in the mode in which it was applied: what was really done is really undone.

    A brake that was held back, in mode `shadow` or `approve`, comes off for the same reason in name only.
    """
    command = brake.command
    return seal(
        structs.replace(
            command,
            action=Action.RESTORE,
            parameters={},
            finding_id=finding_id,
            issued_at=rfc3339(at_us),
            expires_at=None,
            reason=_because(why, command) + in_name_only(command),
            cost=Cost(),
            restores=command.id,
            approval=None,
            proposal=None,
        )
    )


def seal(command: Command) -> Command:
    """The command with the id that its content gives."""
    return structs.replace(command, id=content_id("command", command))


def is_sealed(command: Command) -> bool:
    """Whether it is what its id says, whoever has signed it."""
    return seal(structs.replace(command, signature=None)).id == command.id


def _because(why: str, command: Command) -> str:
    return f"{why}: {command.reason.removeprefix(RENEWED)}"
