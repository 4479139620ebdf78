"""Which faults come when: drawn from the seed alone, before anything runs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

FULL_MINUTES: Final = 20.0  # of a campaign that reaches every goal once
QUIET_SHARE: Final = 0.05  # of the time, at its beginning and at its end, is without faults


class Fault(StrEnum):
    """What is done to workers, to the broker, or to both."""

    KILL = "kill"
    KILL_IN_CHECKPOINT = "kill_in_checkpoint"
    KILL_BEFORE_COMMIT = "kill_before_commit"
    KILL_IN_RESTORE = "kill_in_restore"
    JOIN = "join"
    LEAVE = "leave"
    ZOMBIE = "zombie"
    RELOAD = "reload"
    BROKER_RESTART = "broker_restart"
    BROKER_KILL = "broker_kill"
    BROKER_SLOW = "broker_slow"
    BROKER_FROZEN = "broker_frozen"
    DISK_FULL = "disk_full"
    STATE_REFUSED = "state_refused"
    OUTPUT_REFUSED = "output_refused"
    POWER_CUT = "power_cut"
    PARTITION_ADDED = "partition_added"


# What a campaign of FULL_MINUTES does: 100 kills, 20 joins and leaves, 10 restarts of the broker, and the rest.
GOALS: Final[Mapping[Fault, int]] = {
    Fault.KILL: 64,
    Fault.KILL_IN_CHECKPOINT: 12,
    Fault.KILL_BEFORE_COMMIT: 12,
    Fault.KILL_IN_RESTORE: 12,
    Fault.JOIN: 20,
    Fault.LEAVE: 20,
    Fault.ZOMBIE: 5,
    Fault.BROKER_RESTART: 5,
    Fault.BROKER_KILL: 5,
    Fault.BROKER_SLOW: 3,
    Fault.BROKER_FROZEN: 1,
    Fault.DISK_FULL: 2,
    Fault.STATE_REFUSED: 2,
    Fault.OUTPUT_REFUSED: 2,
    Fault.POWER_CUT: 2,
    Fault.PARTITION_ADDED: 1,
}
ONCE: Final = frozenset({Fault.PARTITION_ADDED})  # however long the campaign is
LENGTHY: Final[Mapping[Fault, float]] = {Fault.BROKER_FROZEN: 8.0}  # minutes that a campaign must have for it
OF_THE_BROKER: Final = frozenset(GOALS) - {
    Fault.KILL, Fault.KILL_IN_CHECKPOINT, Fault.KILL_BEFORE_COMMIT, Fault.KILL_IN_RESTORE, Fault.JOIN, Fault.LEAVE,
    Fault.ZOMBIE,
}  # fmt: skip


class Planned(NamedTuple):
    """A fault, and the second of the campaign before which it does not come."""

    at_s: float
    fault: Fault


def goals(minutes: float) -> dict[Fault, int]:
    """How often each fault comes in so many minutes: at least once, if there is the time for it."""
    wanted = {fault: math.ceil(goal * minutes / FULL_MINUTES) for fault, goal in GOALS.items()}
    return {
        fault: 1 if fault in ONCE else number
        for fault, number in wanted.items()
        if minutes >= LENGTHY.get(fault, 0.0)
    }  # fmt: skip


def draw(seed: int, seconds: float, wanted: Mapping[Fault, int]) -> list[Planned]:
    """The schedule, in order of time."""
    rng = random.Random(f"schedule {seed}")  # noqa: S311 -- no secret
    faults = [fault for fault, number in wanted.items() for _ in range(number)]
    rng.shuffle(faults)
    first, last = seconds * QUIET_SHARE, seconds * (1 - QUIET_SHARE)
    times = sorted(rng.uniform(first, last) for _ in faults)
    return [Planned(round(at_s, 1), fault) for at_s, fault in zip(times, _in_turns(faults), strict=True)]


def tracks(schedule: Iterable[Planned]) -> tuple[list[Planned], list[Planned]]:
    """The faults of the workers, and those of the broker: each kind one after another, both at once."""
    listed = list(schedule)
    return (
        [planned for planned in listed if planned.fault not in OF_THE_BROKER],
        [planned for planned in listed if planned.fault in OF_THE_BROKER],
    )


def _in_turns(faults: Iterable[Fault]) -> list[Fault]:
    """Who leaves has joined before: the group stays about as large as it was."""
    turns = {Fault.JOIN: Fault.LEAVE, Fault.LEAVE: Fault.JOIN}
    following = Fault.JOIN
    ordered = []
    for fault in faults:
        if fault in turns:
            ordered.append(following)
            following = turns[following]
        else:
            ordered.append(fault)
    return ordered
