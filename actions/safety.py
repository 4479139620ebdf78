"""The safety stages: small pure functions that let a claim pass (None) or say why it is held.

The first reason found is the one that is published, so the order is from the widest word to the narrowest:

1. `kill_switch`: an operator said "nothing at all", which needs no other reason beside it.
2. `evidence_too_old`: nobody may act on the past, whatever else is true.
3. `protected`: a standing word about this endpoint, and true however often one asks.
4. `refused`: an operator said no to this action, for as long as the episode lasts.
5. `telemetry_gap`: nobody knows how the endpoint is now; a throttle is the most that may be done in the dark.
6. `no_provider`: what cannot be done at all must not use up a cooldown or an hour's actions.
7. `already_in_force`: what is done already is neither early nor one too many.
8. `cooldown`: this endpoint had its command; an escalation to a higher rung does not wait, unless it has just failed.
9. `max_actions_per_hour`: the whole fleet had its commands; `max_actions_per_endpoint`: this endpoint had.
10. `blast_radius`: too much of the fleet would be down. Needs to know what is down, so it comes late.
11. `mode`: last, so that `shadow` and `approve` tell exactly what `auto` would do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from actions.brakes import RUNGS, Brake, Claim
from actions.capacity import Down
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
    recent: int  # ... commands issued in the last hour, ...
    recent_here: int  # ... and those of them for this endpoint, as far as they count in this mode
    down: Down  # what of the fleet would be shut down; nothing unless the claim is a shutdown
    paused: bool  # by an operator, for now
    refused: bool  # by an operator, for this episode
    blind: bool  # the source that tells of this endpoint is silent
    failed_us: int | None = None  # when this action could not be carried out here

    @property
    def rung(self) -> int:
        """The highest rung in force on the endpoint; 0 without a brake."""
        return max((brake.demand.rung for brake in self.brakes), default=0)


Stage = Callable[[Claim, Context], Held | None]


def kill_switch(claim: Claim, context: Context) -> Held | None:
    """An operator said: nothing at all, in the configuration or just now."""
    return Held.KILL_SWITCH if context.safety.kill_switch or context.paused else None


def evidence_too_old(claim: Claim, context: Context) -> Held | None:
    """The log took the finding too long after its time. An unknown age is no reason."""
    oldest_us = context.safety.max_evidence_age * US
    return Held.EVIDENCE_TOO_OLD if context.age_us is not None and context.age_us > oldest_us else None


def protected(claim: Claim, context: Context) -> Held | None:
    """The endpoint is on the list of those that are never touched."""
    return Held.PROTECTED if context.safety.protects(claim.endpoint) else None


def refused(claim: Claim, context: Context) -> Held | None:
    """An operator rejected this action, or took it back."""
    return Held.REFUSED if context.refused else None


def telemetry_gap(claim: Claim, context: Context) -> Held | None:
    """What was last heard is no ground to do more than a throttle."""
    return Held.TELEMETRY_GAP if context.blind and claim.action is not Action.THROTTLE else None


def no_provider(claim: Claim, context: Context) -> Held | None:
    """Nobody takes the overflow."""
    return Held.NO_PROVIDER if claim.action is Action.OVERFLOW and not claim.parameters else None


def already_in_force(claim: Claim, context: Context) -> Held | None:
    """The same or more is done already."""
    return Held.ALREADY_IN_FORCE if any(brake.covers(claim) for brake in context.brakes) else None


def cooldown(claim: Claim, context: Context) -> Held | None:
    """The endpoint was commanded a moment ago, and this is no escalation; or just this has failed a moment ago."""
    cooldown_us = context.safety.cooldown * US
    if context.failed_us is not None and context.at_us < context.failed_us + cooldown_us:
        return Held.COOLDOWN
    if context.commanded_us is None or 0 < context.rung < RUNGS[claim.action]:
        return None
    return Held.COOLDOWN if context.at_us < context.commanded_us + cooldown_us else None


def max_actions_per_hour(claim: Claim, context: Context) -> Held | None:
    """The hour has had its commands."""
    return Held.MAX_ACTIONS_PER_HOUR if context.recent >= context.safety.max_actions_per_hour else None


def max_actions_per_endpoint(claim: Claim, context: Context) -> Held | None:
    """The endpoint has had its commands of this hour."""
    too_many = context.recent_here >= context.safety.max_actions_per_endpoint
    return Held.MAX_ACTIONS_PER_ENDPOINT if too_many else None


def blast_radius(claim: Claim, context: Context) -> Held | None:
    """A shutdown more would be too large a share of all endpoints, or of all replicas."""
    if claim.action is not Action.SHUTDOWN:
        return None
    limits = context.safety
    too_many = context.down.endpoints > limits.max_share_down or context.down.replicas > limits.max_capacity_down
    return Held.BLAST_RADIUS if too_many else None


def mode(claim: Claim, context: Context) -> Held | None:
    """Nobody allowed more than shadow, or somebody wants to approve."""
    return {Mode.SHADOW: Held.SHADOW, Mode.APPROVE: Held.AWAITING_APPROVAL}.get(context.mode)


STAGES: Final[tuple[Stage, ...]] = (
    kill_switch, evidence_too_old, protected, refused, telemetry_gap, no_provider, already_in_force, cooldown,
    max_actions_per_hour, max_actions_per_endpoint, blast_radius, mode,
)  # fmt: skip
OPERATORS: Final[tuple[Stage, ...]] = (kill_switch, evidence_too_old, protected)  # what also stops a renewal
APPROVED: Final[tuple[Stage, ...]] = (kill_switch, protected, blast_radius)  # what no approval overrules
UNANSWERED: Final[tuple[Stage, ...]] = (kill_switch, protected, refused, telemetry_gap, blast_radius)  # nor silence

IN_FORCE_ALL_THE_SAME: Final = frozenset({None, Held.SHADOW, Held.AWAITING_APPROVAL})
FOR_THIS_RUNG: Final = frozenset(
    {Held.REFUSED, Held.TELEMETRY_GAP, Held.NO_PROVIDER, Held.BLAST_RADIUS}
)  # a lower one may still be possible
FOR_EVERY_ENDPOINT: Final = frozenset({Held.KILL_SWITCH, Held.EVIDENCE_TOO_OLD, Held.MAX_ACTIONS_PER_HOUR})


def check(claim: Claim, context: Context, stages: tuple[Stage, ...] = STAGES) -> Held | None:
    """The first reason to hold the claim."""
    return next((held for stage in stages if (held := stage(claim, context)) is not None), None)
