"""Who carries out, and what is never even tried.

Refused is what is not signed by a trusted key, what was altered, is over, comes from the future, or is not for this
executor. Whether something was carried out before is the docket's to know.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from schemas import signatures
from schemas.executors import Executor
from schemas.outputs import Action, Command, Refusal
from schemas.signatures import PublicKey
from schemas.units import US, from_rfc3339

MOST_AHEAD_US: Final = 300 * US  # what clocks may differ by
MOST_BEHIND_US: Final = 300 * US  # what findings of different sources may differ by


class Office(NamedTuple):
    """One executor by its configuration. `others` are the names of those that the configuration has beside it."""

    name: str
    settings: Executor
    others: Collection[str]
    trusted: Collection[PublicKey]

    @property
    def give_up_us(self) -> int:
        return round(self.settings.give_up_after * US)


def judge(command: Command, office: Office, now_us: int) -> Refusal | None:
    """Why a command is refused by itself; None: it is sound."""
    if command.held is not None:
        return Refusal.HELD
    if not _is_for(command, office):
        return Refusal.WRONG_EXECUTOR
    return judge_signed(command, office, now_us)


def judge_signed(command: Command, office: Office, now_us: int) -> Refusal | None:
    """The same, whomever it is for."""
    if (refusal := signatures.refused(command, office.trusted)) is not None:
        return refusal
    if from_rfc3339(command.issued_at) > now_us + MOST_AHEAD_US:
        return Refusal.FROM_THE_FUTURE
    return Refusal.EXPIRED if is_over(command, now_us) else None


def is_over(command: Command, now_us: int) -> bool:
    """Whether its time has passed; a restore's never does."""
    return command.expires_at is not None and from_rfc3339(command.expires_at) <= now_us


def _is_for(command: Command, office: Office) -> bool:
    if command.executor != office.name:
        return False
    return command.action is Action.RESTORE or office.settings.takes(command.endpoint, command.action)
