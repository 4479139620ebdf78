"""What the fold over scaling events does beyond its rules."""

from __future__ import annotations

from detectors.scaling import LONGEST_GAP_S
from schemas.outputs import Status
from schemas.topics import SCALING
from tests.detectors.logs import START_S, findings, numbered, scaling, settings, stage_of


def test_a_long_gap_is_not_gone_through_second_by_second() -> None:
    """A runaway reported in 1970 and then nothing until now: updates for an hour, not for fifty years."""
    log = numbered([scaling(1.0, 40, 40), scaling(START_S, 40, 40)])
    found = findings(stage_of(SCALING, settings()), log)
    assert [finding.status for finding in found[:2]] == [Status.OPEN, Status.UPDATE]
    assert len(found) <= 1 + LONGEST_GAP_S // 60


def test_an_episode_goes_on_after_a_long_gap() -> None:
    """It resolves once the replicas are back, however long nobody said anything."""
    back = [scaling(START_S + second, 3, 3) for second in range(0, 200, 10)]
    log = numbered([scaling(1.0, 40, 40), *back])
    assert findings(stage_of(SCALING, settings()), log)[-1].status is Status.RESOLVED
