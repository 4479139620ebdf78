"""What `tidegate execute` tells Prometheus. Every series has the label `executor`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from schemas.outputs import Result

SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)


class ExecuteMetrics:
    """All series of one process."""

    def __init__(self, executor: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._executor = executor
        ProcessCollector(registry=registry)
        self._states = _counter("results", "Results written, by the state they tell.", registry, "state")
        self._refusals = _counter("refusals", "Commands refused.", registry, "reason")
        self._left = _counter("left", "Commands that were none of this executor's affairs.", registry, "reason")
        self._failures = _counter("failures", "Requests of the executor that failed.", registry, "step", "retryable")
        self._sends = _counter("send_retries", "Times an acknowledgement did not come in time.", registry)
        self._verified = Histogram(
            "tidegate_execute_verified_seconds",
            "From the issue of a command to its verified effect; renewals do not count.",
            ("executor",),
            registry=registry,
            buckets=SECONDS,
        )
        self._in_force = Gauge(
            "tidegate_execute_in_force", "Endpoints under a brake.", ("executor",), registry=registry
        )
        info = Gauge("tidegate_info", "Always 1.", ("version",), registry=registry)
        info.labels(version("tidegate")).set(1)

    def told(self, result: Result) -> None:
        if result.refusal is not None:
            self._refusals.labels(self._executor, result.refusal.value).inc()
        elif result.state is not None:
            self._states.labels(self._executor, result.state.value).inc()

    def left(self, reason: str) -> None:
        self._left.labels(self._executor, reason).inc()

    def failed(self, step: str, *, retryable: bool) -> None:
        self._failures.labels(self._executor, step, str(retryable).lower()).inc()

    def not_acknowledged(self) -> None:
        self._sends.labels(self._executor).inc()

    def verified(self, seconds: float) -> None:
        self._verified.labels(self._executor).observe(max(0.0, seconds))

    def in_force(self, endpoints: int) -> None:
        self._in_force.labels(self._executor).set(endpoints)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


def _counter(name: str, text: str, registry: CollectorRegistry, *labels: str) -> Counter:
    return Counter(f"tidegate_execute_{name}", text, ("executor", *labels), registry=registry)
