"""What the worker tells Prometheus. Counters move once per batch, never per event.

A worker has a registry of its own, so that several can live in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BATCH_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CHECKPOINT_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# what a stage may count (`Applied.counts`): name -> help and labels; the shell adds the topic of events
COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "events": ("Events read, by what became of them.", ("topic", "outcome")),
    "findings": ("Findings written.", ("rule", "status", "severity")),
    "commands": ("Commands written; `held` says why one was held back.", ("action", "mode", "held")),
    "results": ("What became of commands, as the action stage says.", ("state", "refusal")),
    "alerts": ("Alerts written.", ("status",)),
}


class Metrics:
    """All series of one worker; what moves in one place only is a public member."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._stage = {
            name: Counter(f"tidegate_{name}", text, labels, registry=registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._lag_records = _lag("records", "Records in the log that are not applied yet.", registry)
        self._lag_seconds = _lag("seconds", "Wall clock minus the largest event time seen.", registry)
        self.batch = Histogram(
            "tidegate_batch_seconds",
            "Applying one chunk.",
            ("topic",),
            registry=registry,
            buckets=BATCH_BUCKETS_S,
        )
        self.checkpoint = Histogram(
            "tidegate_checkpoint_seconds", "Writing one complete checkpoint.", ("topic",), registry=registry,
            buckets=CHECKPOINT_BUCKETS_S,
        )  # fmt: skip
        self.facts = Counter("tidegate_checkpoint_facts", "Facts written.", ("topic",), registry=registry)
        self.forgotten = Counter(
            "tidegate_forgotten",
            "Endpoints, accounts and episodes of which nothing is kept any more.",
            ("topic",),
            registry=registry,
        )
        self.restore = Gauge(
            "tidegate_restore_seconds", "The last restore of a partition.", ("topic",), registry=registry
        )
        self.send_retries = Counter(
            "tidegate_send_retries", "Times an acknowledgement did not come in time.", registry=registry
        )
        self.external = Counter(
            "tidegate_external_alerts",
            "Alerts of other systems, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self.gaps = Counter("tidegate_gaps", "Offsets that held no record.", ("topic",), registry=registry)
        self.reloads = Counter("tidegate_reloads", "Reloads asked for.", ("outcome",), registry=registry)
        info = Gauge("tidegate_info", "Always 1.", ("version",), registry=registry)
        info.labels(version("tidegate")).set(1)

    def count(self, topic: str, counts: Mapping[tuple[str, ...], int]) -> None:
        """Add what a stage counted over one batch of `topic`."""
        for (name, *labels), n in counts.items():
            if name == "events":
                labels.insert(0, topic)
            self._stage[name].labels(*labels).inc(n)

    def lag(self, topic: str, partition: int, records: int | None, seconds: float | None) -> None:
        """Set the lag of a partition; None leaves what is not known as it was."""
        if records is not None:
            self._lag_records.labels(topic, str(partition)).set(max(0, records))
        if seconds is not None:
            self._lag_seconds.labels(topic, str(partition)).set(seconds)

    def forget(self, topic: str, partition: int) -> None:
        """Remove the lag of a partition that another worker has now."""
        for gauge in (self._lag_records, self._lag_seconds):
            gauge.labels(topic, str(partition))  # removing what is not there would warn
            gauge.remove(topic, str(partition))

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


def _lag(unit: str, text: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(f"tidegate_lag_{unit}", text, ("topic", "partition"), registry=registry)
