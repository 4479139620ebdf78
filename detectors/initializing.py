"""How long replicas were initializing: Hugging Face bills it by the minute, before a replica has served anything.

A report whose state is `initializing` stands for the time until the next one, `HOLD_US` at most, and for as many
replicas as are wanted and not ready, at least one. Reports that follow on each other make one spell.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from detectors.report import HOLD_US, Report
from schemas.units import HOUR_US, US

INITIALIZING: Final = "initializing"
MOST: Final = 60  # spells that are kept of an endpoint; of more the earliest are not counted
LONGEST_US: Final = 24 * HOUR_US  # of any window
MINUTE_US: Final = 60 * US


class Spell(Struct, array_like=True):
    """So many replicas were initializing from `start_us` to `end_us`."""

    start_us: int
    end_us: int
    replicas: int


def remember(spells: list[Spell], report: Report, before: Report | None) -> None:
    """Add what lies between two reports; forget what no window reaches."""
    if before is None or before.state != INITIALIZING:
        return
    end_us = min(report.time_us, before.time_us + HOLD_US)
    replicas = max(1, before.target_replicas - before.ready_replicas)
    if spells and (spells[-1].end_us, spells[-1].replicas) == (before.time_us, replicas):
        spells[-1].end_us = end_us
    else:
        spells.append(Spell(before.time_us, end_us, replicas))
    spells[:] = [spell for spell in spells if spell.end_us > end_us - LONGEST_US][-MOST:]


def replica_minutes(spells: list[Spell], since_us: int, until_us: int) -> float:
    """Minutes, each counted as often as replicas were initializing, in a window of time."""
    within = [(max(s.start_us, since_us), min(s.end_us, until_us), s.replicas) for s in spells]
    return sum(max(0, end - start) * replicas for start, end, replicas in within) / MINUTE_US
