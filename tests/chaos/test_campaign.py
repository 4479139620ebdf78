from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.topics import APPROVALS, RESULTS
from streams.local_kafka import LocalKafka
from tests.chaos.campaign import Campaign, Plan
from tests.chaos.report import as_dict
from tests.chaos.schedule import Fault

SEED = 5
GOALS = {
    Fault.KILL: 2,
    Fault.KILL_IN_CHECKPOINT: 1,
    Fault.KILL_BEFORE_COMMIT: 1,
    Fault.JOIN: 1,
    Fault.LEAVE: 1,
}


@pytest.mark.kafka
def test_a_short_campaign_loses_nothing(new_kafka: Callable[[], LocalKafka], tmp_path: Path) -> None:
    """Kills anywhere, inside a checkpoint and before a commit, a join and a leave, under load."""
    report = Campaign(Plan(SEED, 0.25, GOALS, workers=2), tmp_path, print).run(new_kafka())
    assert report.passed, as_dict(report)
    assert report.done == GOALS
    assert report.verdict is not None
    assert all(topic.ids for topic in report.verdict.topics[:4]), "nothing was written of some kind"
    assert report.verdict.read[APPROVALS] > 0 < report.verdict.read[RESULTS], "nobody has said anything"
