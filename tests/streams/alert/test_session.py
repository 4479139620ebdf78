"""What a session makes of the records that it reads, without Kafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.topics import ALERTS, APPROVALS, RESULTS
from streams.alert.metrics import AlertMetrics
from streams.alert.session import Session, Shared
from tests.actions.alerting.alerts import START_US, alert, config

DEEP = b'{"unknown": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def record(offset: int, value: bytes) -> Any:
    return SimpleNamespace(offset=offset, value=value, timestamp=START_US // 1000)


@pytest.mark.parametrize("topic", [ALERTS, APPROVALS, RESULTS])
@pytest.mark.parametrize(
    "value", [b"{", b'{"why": "\xff", "before": {"a": "\xff"}}', DEEP], ids=["cut", "text", "deep"]
)
def test_a_record_that_nobody_can_read_stops_no_page(topic: str, value: bytes) -> None:
    """Every operator may write approvals; it would be read again at each start, and end each."""
    lease: Any = SimpleNamespace(sure=None)
    metrics = AlertMetrics()
    session = Session(config("pager"), {}, Shared(None, lease, metrics, lambda: START_US))
    session._apply(topic, record(0, value))
    session._apply(ALERTS, record(1, msgspec.json.encode(alert("e"))))
    assert metrics.registry.get_sample_value("tidegate_unreadable_total", {"topic": topic}) == 1
    assert session._dispatch.take("pager", START_US) is not None
