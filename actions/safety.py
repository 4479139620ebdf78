"""The safety stages: small pure functions that let a claim pass (None) or say why it is held.

The first reason found is the one that is published, so the order is from the widest word to the narrowest:

1. `kill_switch`: an operator said "nothing at all", which needs no other reason beside it.
2. `evidence_too_old`: nobody may act on the past, whatever else is true.
3. `protected`: a standing word about this endpoint, and true however often one asks.
4. `no_provider`: what cannot be done at all must not use up a cooldown or an hour's actions.
5. `already_in_force`: what is done already is neither early nor one too many.
6. `cooldown`: this endpoint had its command; an escalation to a higher rung does not wait.
7. `max_actions_per_hour`: the whole fleet had its commands.
8. `blast_radius`: too much of the fleet would be down. Needs to know what is down, so it comes late.
9. `mode`: last, so that `shadow` and `approve` tell exactly what `auto` would do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from actions.brakes import RUNGS, Brake, Claim
from schemas.config import Safety
from schemas.outputs import Action, Held, Mode
from schemas.units import US


class Context(NamedTuple):
    """What the stages may know, all of it as of the finding's place in the log."""

    safety: Safety
    mode: Mode
    at_us: int
    age_us: int | None  # of the evidence when the log took it; None in a replay
    brakes: tuple[Brake, ...]  # on this endpoint, as far as they count in this mode
    commanded_us: int | None  # the endpoint's last command that was not a restore, ...
    recent: int  # ... and commands issued in the last hour, as far as they count in this mode
    down: int  # endpoints that are shut down
    known: int  # endpoints that there are

    @property
    def rung(self) -> int:
        """The highest rung in force on the endpoint; 0 without a brake."""
        return max((brake.demand.rung for brake in self.brakes), default=0)


Stage = Callable[[Claim, Context], Held | None]


def kill_switch(claim: Claim, context: Context) -> Held | None:
    """An operator said: nothing at all."""
    return Held.KILL_SWITCH if context.safety.kill_switch else None


def evidence_too_old(claim: Claim, context: Context) -> Held | None:
    """The log took the finding too long after its time. An unknown age is no reason."""
    oldest_us = context.safety.max_evidence_age * US
    return Held.EVIDENCE_TOO_OLD if context.age_us is not None and context.age_us > oldest_us else None


def protected(claim: Claim, context: Context) -> Held | None:
    """The endpoint is on the list of those that are never touched."""
    return Held.PROTECTED if context.safety.protects(claim.endpoint) else None


def no_provider(claim: Claim, context: Context) -> Held | None:
    """Nobody takes the overflow."""
    return Held.NO_PROVIDER if claim.action is Action.OVERFLOW and not claim.parameters else None


def already_in_force(claim: Claim, context: Context) -> Held | None:
    """The same or more is done already."""
    return Held.ALREADY_IN_FORCE if any(brake.covers(claim) for brake in context.brakes) else None


def cooldown(claim: Claim, context: Context) -> Held | None:
    """The endpoint was commanded a moment ago, and this is no escalation."""
    if context.commanded_us is None or 0 < context.rung < RUNGS[claim.action]:
        return None
    return Held.COOLDOWN if context.at_us < context.commanded_us + context.safety.cooldown * US else None


def max_actions_per_hour(claim: Claim, context: Context) -> Held | None:
    """The hour has had its commands."""
    return Held.MAX_ACTIONS_PER_HOUR if context.recent >= context.safety.max_actions_per_hour else None


def blast_radius(claim: Claim, context: Context) -> Held | None:
    """A shutdown more would be too large a share of all endpoints."""
    if claim.action is not Action.SHUTDOWN:
        return None
    share = (context.down + 1) / max(1, context.known)
    return Held.BLAST_RADIUS if share > context.safety.max_share_down else None


def mode(claim: Claim, context: Context) -> Held | None:
    """Nobody allowed more than shadow, or somebody wants to approve."""
    return {Mode.SHADOW: Held.SHADOW, Mode.APPROVE: Held.AWAITING_APPROVAL}.get(context.mode)


STAGES: Final[tuple[Stage, ...]] = (
    kill_switch, evidence_too_old, protected, no_provider, already_in_force, cooldown, max_actions_per_hour,
    blast_radius, mode,
)  # fmt: skip
OPERATORS: Final[tuple[Stage, ...]] = (kill_switch, evidence_too_old, protected)  # what also stops a renewal

IN_FORCE_ALL_THE_SAME: Final = frozenset({None, Held.SHADOW, Held.AWAITING_APPROVAL})
FOR_THIS_RUNG: Final = frozenset({Held.NO_PROVIDER, Held.BLAST_RADIUS})  # a lower one may still be possible
FOR_EVERY_ENDPOINT: Final = frozenset({Held.KILL_SWITCH, Held.EVIDENCE_TOO_OLD, Held.MAX_ACTIONS_PER_HOUR})


def check(claim: Claim, context: Context, stages: tuple[Stage, ...] = STAGES) -> Held | None:
    """The first reason to hold the claim."""
    return next((held for stage in stages if (held := stage(claim, context)) is not None), None)
