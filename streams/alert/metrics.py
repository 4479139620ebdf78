"""What `tidegate alert` tells Prometheus."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from actions.failure import Failure

REFUSED: Final = "refused"  # the reasons why a notification failed: somebody has to mend something ...
LATER: Final = "later"  # ... it is tried again ...
OVERFLOW: Final = "overflow"  # ... or too many changes were waiting


class AlertMetrics:
    """All series of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.delivered = Counter(
            "tidegate_notifications_delivered",
            "Notifications that the receiver took.",
            ("receiver",),
            registry=registry,
        )
        self.failed = Counter(
            "tidegate_notifications_failed",
            "Notifications that it did not take: `refused` ones want a person, the others are tried again `later`.",
            ("receiver", "reason"),
            registry=registry,
        )
        self.up = Gauge(
            "tidegate_receiver_up", "Whether the last notification was taken.", ("receiver",), registry=registry
        )
        self.pending = Gauge(
            "tidegate_notifications_pending",
            "Episodes with something to tell that is neither silenced nor inhibited.",
            ("receiver",),
            registry=registry,
        )
        self.oldest = Gauge(
            "tidegate_notifications_oldest_seconds",
            "How long the oldest of these has been waiting.",
            ("receiver",),
            registry=registry,
        )
        self.unreadable = Counter(
            "tidegate_unreadable", "Records that could not be read.", ("topic",), registry=registry
        )
        self.retries = Counter(
            "tidegate_send_retries", "Times an acknowledgement did not come in time.", registry=registry
        )
        self.reloads = Counter("tidegate_reloads", "Reloads asked for.", ("outcome",), registry=registry)
        self.active = Gauge(
            "tidegate_alert_active", "1: this process delivers; 0: it stands by, or reads.", registry=registry
        )
        info = Gauge("tidegate_info", "Always 1.", ("version",), registry=registry)
        info.labels(version("tidegate")).set(1)

    def answered(self, receiver: str, failure: Failure | None) -> None:
        """What became of a notification. Who says when to come again, or has to be spared, is up."""
        self.up.labels(receiver).set(failure is None or failure.retry_after_s is not None)
        if failure is None:
            self.delivered.labels(receiver).inc()
        else:
            self.failed.labels(receiver, LATER if failure.retryable else REFUSED).inc()

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
