"""What is in force on an endpoint: the join of what all open episodes claim of it.

Every open episode may claim an action of an endpoint. The endpoint is under at most one brake per mode, and
the brake is the *join* of its claims: the highest rung (throttle < overflow < shutdown), and, for what is not
shut down, the tightest limit of each kind: what overflows must not grow again. A claim that does not change the
join is already in force; when a claim goes and the join of the others is weaker, the brake is restored and the
weaker one applied.

A command counts only in its own mode and in milder ones: what was done in `auto` stands in the way of a
command in `shadow`, but a brake that exists in `shadow` alone has stopped nothing and stands in nobody's
way. It starts no cooldown of a real one, and takes nothing of the hour's actions from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from schemas.outputs import Action, Command, Cost, Id, Mode, Severity
from schemas.units import from_rfc3339

RUNGS: Final = {Action.THROTTLE: 1, Action.OVERFLOW: 2, Action.SHUTDOWN: 3}
MAX_REPLICAS: Final = "max_replicas"  # the one limit that also an overflow has
REALITY: Final = {Mode.SHADOW: 0, Mode.APPROVE: 1, Mode.AUTO: 2}


class Claim(Struct, frozen=True):
    """What one episode wants done to one endpoint, and why.

    An overflow without parameters found no provider.
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

    @property
    def demand(self) -> Demand:
        return Demand(self.command.action, self.command.parameters)

    @property
    def mode(self) -> Mode:
        return self.command.mode

    @property
    def issued_us(self) -> int:
        return from_rfc3339(self.command.issued_at)

    @property
    def expires_us(self) -> int:
        """Commands in force always expire."""
        return from_rfc3339(self.command.expires_at or self.command.issued_at)

    def claim_of(self, episode: Id) -> Claim | None:
        return next((claim for claim in self.claims if claim.episode == episode), None)

    def counts_in(self, mode: Mode) -> bool:
        return counts_in(self.mode, mode)

    def covers(self, claim: Claim) -> bool:
        """Whether the claim asks for nothing that is not in force already."""
        return join((*self.claims, claim)) == self.demand


def counts_in(own: Mode, mode: Mode) -> bool:
    """Whether what was done in mode `own` matters to a command in `mode`."""
    return REALITY[own] >= REALITY[mode]


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
