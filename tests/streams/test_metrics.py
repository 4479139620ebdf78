from __future__ import annotations

import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import Metrics


def series(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels of every sample, and its value."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_events_carry_their_topic() -> None:
    """The shell adds what a stage does not know."""
    metrics = Metrics()
    metrics.count("inference.requests.v1", {("events", "applied"): 3, ("events", "dead_letter"): 1})
    metrics.count("inference.requests.v1", {("events", "applied"): 2})
    found = series(metrics)
    labels = (("outcome", "applied"), ("topic", "inference.requests.v1"))
    assert found["tidegate_events_total", labels] == 5


def test_findings_commands_and_alerts_are_counted_by_their_labels() -> None:
    """The labels are those of the metric, in the order in which a stage names them."""
    metrics = Metrics()
    metrics.count(
        "control.findings.v1",
        {
            ("findings", "request_surge", "open", "critical"): 1,
            ("commands", "throttle", "shadow", "cooldown"): 2,
            ("alerts", "firing"): 3,
        },
    )
    found = series(metrics)
    labels = (("rule", "request_surge"), ("severity", "critical"), ("status", "open"))
    assert found["tidegate_findings_total", labels] == 1
    labels = (("action", "throttle"), ("held", "cooldown"), ("mode", "shadow"))
    assert found["tidegate_commands_total", labels] == 2
    assert found["tidegate_alerts_total", (("status", "firing"),)] == 3


def test_the_lag_of_a_lost_partition_is_gone() -> None:
    """Or two workers would report it, and one of them for ever."""
    metrics = Metrics()
    metrics.lag("t", 0, 7, 1.5)
    metrics.lag("t", 1, 8, None)
    metrics.forget("t", 0)
    metrics.forget("t", 2)
    lags = {name: value for name, value in series(metrics).items() if "lag" in name[0]}
    assert lags == {("tidegate_lag_records", (("partition", "1"), ("topic", "t"))): 8}


@pytest.mark.skipif(sys.platform != "linux", reason="the client library reads /proc")
def test_a_worker_tells_what_every_process_tells() -> None:
    """When it started, its memory and its processor time, under the names that Prometheus gave them."""
    found = {name for name, _ in series(Metrics())}
    assert {"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"} <= found


def test_two_workers_in_one_process_share_nothing() -> None:
    """Each has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.send_retries.inc()
    assert series(one)["tidegate_send_retries_total", ()] == 1
    assert series(other)["tidegate_send_retries_total", ()] == 0
