"""What is in force on an endpoint: the join of what all open episodes claim of it.

Every open episode may claim an action of an endpoint. The endpoint is under at most one brake per mode, and
the brake is the *join* of its claims: the highest rung (throttle < overflow < shutdown), and, for what is not
shut down, the tightest limit of each kind: what overflows must not grow again. A claim that does not change the
join is already in force; when a claim goes and the join of the others is weaker, the brake is restored and the
weaker one applied.

How real a brake is: one in `shadow` is supposed, one that awaits approval is asked for, all others are real. Of each
kind an endpoint has at most one. A brake counts among its own kind and those that are less real: what was really done
stands in the way of what is only supposed, but what is supposed has stopped nothing and stands in nobody's way. It
starts no cooldown of a real one, and takes nothing of the hour's actions from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from msgspec import Struct

from schemas.outputs import Action, Command, Cost, Held, Id, Mode, Severity
from schemas.units import US, from_rfc3339

RUNGS: Final = {Action.THROTTLE: 1, Action.OVERFLOW: 2, Action.SHUTDOWN: 3}
BEGIN_WITHIN_US: Final = 120 * US  # of a command, before people hear that no executor has begun
MAX_REPLICAS: Final = "max_replicas"  # the one limit that also an overflow has


class Reality(IntEnum):
    """How real a brake is."""

    SUPPOSED = 0
    ASKED = 1
    REAL = 2

    def counts_as(self, wanted: Reality) -> bool:
        """Whether a brake of this kind matters to one of the wanted kind."""
        return self >= wanted


OF_MODE: Final = {Mode.SHADOW: Reality.SUPPOSED, Mode.APPROVE: Reality.ASKED, Mode.AUTO: Reality.REAL}


def reality_of(command: Command) -> Reality:
    """Of a command that came into force, or awaits approval."""
    if command.held is None:
        return Reality.REAL
    return Reality.ASKED if command.held is Held.AWAITING_APPROVAL else Reality.SUPPOSED


class Claim(Struct, frozen=True):
    """What one episode wants done to one endpoint, and why.

    An overflow without parameters found no provider. `approved_by`: who let it into force, nobody if by silence; None:
    it needed no approval, or never got one.
    """

    episode: Id
    rule: str
    subject: str
    finding_id: Id
    severity: Severity
    endpoint: str
    action: Action
    parameters: dict[str, Any]
    before: dict[str, Any]
    cost: Cost
    reason: str
    approved_by: tuple[str, ...] | None = None


class Demand(NamedTuple):
    """What a brake does."""

    action: Action
    parameters: dict[str, Any]

    @property
    def rung(self) -> int:
        return RUNGS[self.action]


class Brake(Struct, frozen=True):
    """A command in force, and the claims whose join it is."""

    command: Command
    claims: tuple[Claim, ...]
    began: Id  # the command with which it began; each renewal is another one
    approvals: tuple[str, ...] = ()  # who has approved what awaits approval
    is_begun: bool = False  # its executor has said so ...
    is_missed: bool = False  # ... or not, in time, and somebody was told

    @property
    def demand(self) -> Demand:
        return Demand(self.command.action, self.command.parameters)

    @property
    def reality(self) -> Reality:
        return reality_of(self.command)

    @property
    def issued_us(self) -> int:
        return from_rfc3339(self.command.issued_at)

    @property
    def expires_us(self) -> int:
        """Commands in force always expire; what awaits approval waits until its own end."""
        approval = self.command.approval
        end = self.command.expires_at if approval is None else approval.until
        return from_rfc3339(end or self.command.issued_at)

    @property
    def unheeded_us(self) -> int | None:
        """When an executor should have begun; None: one has, or none is meant to, or it was told already."""
        is_awaited = self.reality is Reality.REAL and self.command.executor is not None
        return self.issued_us + BEGIN_WITHIN_US if is_awaited and not (self.is_begun or self.is_missed) else None

    @property
    def is_approved(self) -> bool:
        """Whether enough persons have said yes to what awaits approval."""
        approval = self.command.approval
        return approval is not None and len(self.approvals) >= approval.persons

    def is_about(self, command_id: Id) -> bool:
        """Whether that command is this brake, or was before it was renewed."""
        return command_id in (self.command.id, self.began)

    def claim_of(self, episode: Id) -> Claim | None:
        return next((claim for claim in self.claims if claim.episode == episode), None)

    def covers(self, claim: Claim) -> bool:
        """Whether the claim asks for nothing that is not in force already."""
        return join((*self.claims, claim)) == self.demand


def join(claims: Sequence[Claim]) -> Demand:
    """The weakest brake that satisfies every claim. Among overflows the first provider stays."""
    top = lead(claims)
    if top.action is Action.SHUTDOWN:
        return Demand(top.action, top.parameters)
    limits: dict[str, Any] = {}
    for claim in claims:
        for name, limit in _limits(claim).items():
            limits[name] = min(limit, limits.get(name, limit))
    rest = {name: value for name, value in top.parameters.items() if name not in limits}
    return Demand(top.action, {**rest, **dict(sorted(limits.items()))})


def _limits(claim: Claim) -> Mapping[str, Any]:
    """All that a throttle says; of an overflow its cap on the replicas that remain."""
    if claim.action is Action.THROTTLE:
        return claim.parameters
    return {name: limit for name, limit in claim.parameters.items() if name == MAX_REPLICAS}


def lead(claims: Iterable[Claim]) -> Claim:
    """The first of the claims for the highest rung: the one whose episode answers for the brake."""
    return max(claims, key=lambda claim: RUNGS[claim.action])


def without(claims: Sequence[Claim], episode: Id) -> tuple[Claim, ...]:
    """The claims of all other episodes."""
    return tuple(claim for claim in claims if claim.episode != episode)
