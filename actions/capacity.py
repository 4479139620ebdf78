"""How much of the fleet would be down: its endpoints, and its replicas.

An endpoint's replicas are those that a finding told of last; of one that none has told of, one. Of an endpoint that is
shut down they are those that it had before.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actions import evidence
from actions.brakes import Claim, Reality
from actions.memory import Memory
from schemas.config import Config
from schemas.outputs import Action


class Down(NamedTuple):
    """The shares that would be down with one endpoint more."""

    endpoints: float
    replicas: float


NOTHING_DOWN: Final = Down(0.0, 0.0)


def down_with(claim: Claim, memory: Memory, config: Config, kind: Reality) -> Down:
    """What is shut down as far as it counts for that kind of brake, and the claim's endpoint, of all that is known."""
    known = memory.endpoints() | set(config.endpoints) | {claim.endpoint}
    down = {
        endpoint
        for endpoint, brake in memory.in_force()
        if brake.command.action is Action.SHUTDOWN and brake.reality.counts_as(kind)
    } | {claim.endpoint}
    of_claim = evidence.count(claim.before, "ready_replicas")
    replicas = {endpoint: memory.peek_place(endpoint).replicas or 1 for endpoint in known}
    if of_claim:
        replicas[claim.endpoint] = of_claim
    return Down(len(down) / len(known), sum(replicas[endpoint] for endpoint in down) / sum(replicas.values()))
