"""Minutes that replicas spend initializing, which are paid for."""

from __future__ import annotations

import pytest

from detectors.initializing import MOST, Spell, remember, replica_minutes
from detectors.report import Report
from schemas.units import US

MINUTE_US = 60 * US


def report(minute: float, state: str, ready: int = 0, target: int = 1) -> Report:
    return Report(round(minute * MINUTE_US), ready, target, state=state)


def spells(*reports: Report) -> list[Spell]:
    kept: list[Spell] = []
    for before, after in zip([None, *reports], reports, strict=False):
        remember(kept, after, before)
    return kept


def test_a_state_holds_until_the_next_report() -> None:
    """From one minute to four, told by three reports: one spell."""
    kept = spells(report(0, "pending"), *(report(m, "initializing") for m in (1, 2, 3)), report(4, "running"))
    assert kept == [Spell(MINUTE_US, 4 * MINUTE_US, 1)]
    assert replica_minutes(kept, 0, 10 * MINUTE_US) == 3


def test_a_state_does_not_hold_for_ever() -> None:
    """Nobody knows what happened in an hour without reports: ten minutes of it count."""
    kept = spells(report(0, "initializing"), report(55, "running"))
    assert replica_minutes(kept, 0, 60 * MINUTE_US) == 10


@pytest.mark.parametrize(("ready", "target", "minutes"), [(0, 1, 2), (0, 4, 8), (3, 4, 2), (4, 4, 2), (4, 0, 2)])
def test_each_replica_that_is_wanted_and_not_ready_counts(ready: int, target: int, minutes: float) -> None:
    """At least one does: the state says so."""
    kept = spells(report(1, "initializing", ready, target), report(3, "running"))
    assert replica_minutes(kept, 0, 9 * MINUTE_US) == minutes


def test_a_window_cuts_a_spell() -> None:
    """Of five minutes the two that lie within."""
    kept = [Spell(0, 5 * MINUTE_US, 2)]
    assert replica_minutes(kept, 3 * MINUTE_US, 60 * MINUTE_US) == 4
    assert replica_minutes(kept, 0, 1 * MINUTE_US) == 2
    assert replica_minutes(kept, 6 * MINUTE_US, 60 * MINUTE_US) == 0


def test_what_is_over_is_forgotten_and_what_is_kept_is_bounded() -> None:
    """Of too many spells the earliest go."""
    states = [report(m, "initializing" if m % 2 else "running") for m in range(4 * MOST)]
    assert len(spells(*states)) == MOST
    days = [report(1440 * day + m, state) for day in range(9) for m, state in ((0, "initializing"), (1, "running"))]
    assert spells(*days) == [Spell((8 * 1440) * MINUTE_US, (8 * 1440 + 1) * MINUTE_US, 1)]
