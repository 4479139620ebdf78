"""The commands themselves: issued, held, renewed, restored.

An id is derived from everything else in the command, so two commands with the same id are the same,
whatever restarts or changes of configuration lie between them.

`restores` names the command whose place this one takes: a restore undoes it, a renewal goes on with it, a
stronger brake replaces it. So every command that came into force is named by exactly one later one, and the
last is a restore.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from actions.brakes import Brake, Claim, Demand
from actions.wording import RENEWED, in_mode
from schemas.outputs import Action, Command, Cost, Held, Id, Mode, derive_id
from schemas.units import US, rfc3339

UNSEALED: Final = "0" * 32


def issue(claim: Claim, demand: Demand, at_us: int, lifetime_s: float) -> Command:
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
            expires_at=rfc3339(at_us + round(lifetime_s * US)),
            reason=claim.reason,
            cost=claim.cost,
            before=claim.before,
        )
    )


def hold(command: Command, held: Held, mode: Mode) -> Command:
    """The same command, held back: never in mode `auto`."""
    return seal(structs.replace(command, held=held, mode=Mode.SHADOW if mode is Mode.AUTO else mode))


def replace(command: Command, brakes: tuple[Brake, ...]) -> Command:
    """A command over brakes on its endpoint.

    What to come back to is what the first of them saw, not their effect.
    """
    before = dict(command.before)
    for brake in brakes:
        before.update(brake.command.before)
    replaced = next((brake.command.id for brake in brakes if brake.mode is command.mode), None)
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
            reason=_because(why, command) + in_mode(command.mode),
            cost=Cost(),
            restores=command.id,
        )
    )


def seal(command: Command) -> Command:
    """The command with the id that its content gives."""
    content = msgspec.json.encode(structs.replace(command, id=UNSEALED), order="deterministic")
    return structs.replace(command, id=derive_id("command", content.decode()))


def _because(why: str, command: Command) -> str:
    return f"{why}: {command.reason.removeprefix(RENEWED)}"
