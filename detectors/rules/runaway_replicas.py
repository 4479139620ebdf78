"""`runaway_replicas`: an endpoint has, or wants, more replicas than anybody planned for.

    max(ready_replicas, target_replicas) > expected_max

While one of the `schedules` holds that plans more for the endpoint, its `expected_max` counts instead.

It fires at the event that says so. The remedy caps the replicas at `expected_max`, so an endpoint that obeys stays
exactly at the threshold; therefore "low" means at or below the threshold, not below 80 % of it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta

from detectors.episodes import Reading
from detectors.report import Report
from detectors.rule import ScalingRule
from schemas.config import RuleSettings
from schemas.outputs import Severity
from schemas.units import US

CRITICAL: Final = 2.0  # times the threshold
NEVER: Final = 1e9  # replicas: the threshold of an endpoint that is not judged


class Settings(RuleSettings, frozen=True):
    """The threshold is not a setting of the rule, but the endpoint's `expected_max`."""

    resolve_below: Annotated[float, Meta(gt=0, le=1)] = 1.0


class RunawayReplicas(ScalingRule[Settings]):
    """Replicas against `expected_max`."""

    rule: ClassVar = "runaway_replicas"
    unit: ClassVar = "replicas"
    Settings: ClassVar = Settings

    def read(self, endpoint: str, report: Report, before: Report | None) -> Reading:
        known = self.config.endpoint(endpoint)
        settings = self.settings(endpoint)
        expected, planned = known.expected_max, self.plans.at(endpoint, report.time_us / US).expected_max
        limit = float(max(expected, planned or 0)) if settings.enabled and expected is not None else NEVER
        replicas = report.replicas

        def evidence() -> dict[str, Any]:
            price = known.price_usd_per_hour
            return {
                "ready_replicas": report.ready_replicas,
                "target_replicas": report.target_replicas,
                "expected_max": int(limit),
                "planned_max": planned,
                "rate_usd_per_hour": None if price is None else round(report.ready_replicas * price, 9),
                "state": report.state or None,
                "region": report.region or known.region,
                "instance": report.instance or None,
                "before": (before or report).scaling,
            }

        return Reading(
            value=float(replicas),
            threshold=limit,
            severity=Severity.CRITICAL if replicas > CRITICAL * limit else Severity.ERROR,
            low=replicas <= settings.resolve_below * limit,
            evidence=evidence,
        )
