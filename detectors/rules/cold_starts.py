"""`cold_starts`: an endpoint starts from nothing too often, and pays for loading its model each time.

    cold starts in the last `window` > threshold

A cold start is a report with `cold_start: true`, or ready replicas going from 0 to above 0; of one wake-up that is told
in both ways it is one. What they cost:

    cold starts x model_gb x usd_per_gb + replica-minutes initializing / 60 x price_usd_per_hour

Sources: more than 10 an hour, and 26 GB x $0.09 = $2.34 each, are the project's own example ($0.09 a GB is what clouds
charge for traffic that leaves them); that initializing is billed by the minute is Hugging Face's rule. A warning, an
error above twice the threshold.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta, Struct

from detectors.episodes import Reading
from detectors.initializing import Spell, remember, replica_minutes
from detectors.report import Report
from detectors.rule import HistoryRule
from schemas.config import Price, RuleSettings, Seconds
from schemas.outputs import Severity
from schemas.units import US

DAY_S: Final = 86_400
ERROR: Final = 2.0  # times the threshold
MOST: Final = 110  # cold starts that are remembered of an endpoint; of more the earliest are not counted
NEVER: Final = 1e9  # cold starts: the threshold of an endpoint that is not judged


class Settings(RuleSettings, frozen=True):
    """More than `threshold` cold starts in `window`; `usd_per_gb` of the model each."""

    threshold: Annotated[int, Meta(ge=1, le=50)] = 10
    window: Annotated[Seconds, Meta(extra={"ge": 60, "le": 86_400})] = Seconds(3600)
    usd_per_gb: Price = 0.09


class Told(IntEnum):
    """How the present wake-up was told, so that it is not counted when it is told again."""

    NOT = 0
    BY_FLAG = 1  # while nothing was ready yet
    BY_REPLICAS = 2  # in the report before, by what is ready; its flag may follow


class Starts(Struct, array_like=True):
    """When an endpoint started from nothing, and how long it was initializing."""

    at_us: list[int] = msgspec.field(default_factory=list)
    spells: list[Spell] = msgspec.field(default_factory=list)
    told: Told = Told.NOT


class ColdStarts(HistoryRule[Settings, Starts]):
    """Cold starts in a window of time."""

    rule: ClassVar = "cold_starts"
    unit: ClassVar = "cold starts"
    Settings: ClassVar = Settings
    Memory: ClassVar = Starts

    def take(self, endpoint: str, memory: Starts, report: Report, before: Report | None) -> None:
        remember(memory.spells, report, before)
        is_start, memory.told = _judge(memory.told, report, before)
        if is_start:
            since_us = report.time_us - round(self.settings(endpoint).window * US)
            memory.at_us = [*(at_us for at_us in memory.at_us if at_us > since_us), report.time_us][-MOST:]

    def read(self, endpoint: str, memory: Starts, report: Report, at_us: int) -> Reading:
        settings = self.settings(endpoint)
        since_us = at_us - round(settings.window * US)
        count = sum(start_us > since_us for start_us in memory.at_us)
        threshold = float(settings.threshold) if settings.enabled else NEVER

        def evidence() -> dict[str, Any]:
            known = report.state or memory.spells
            minutes = replica_minutes(memory.spells, since_us, at_us) if known else None
            return {
                "cold_starts": count,
                "window_s": float(settings.window),
                **self._money(endpoint, count, minutes),
                "ready_replicas": report.ready_replicas,
                "min_replicas": report.min_replicas if report.min_replicas >= 0 else None,
                "before": report.scaling,
            }

        return Reading(
            value=float(count),
            threshold=threshold,
            severity=Severity.ERROR if count > ERROR * threshold else Severity.WARNING,
            low=count <= settings.resolve_below * threshold,
            evidence=evidence,
        )

    def _money(self, endpoint: str, count: int, minutes: float | None) -> dict[str, Any]:
        known, settings = self.config.endpoint(endpoint), self.settings(endpoint)
        price = known.price_usd_per_hour
        each = None if known.model_gb is None else known.model_gb * settings.usd_per_gb
        initializing = None if minutes is None or price is None else minutes / 60 * price
        parts = [part for part in (None if each is None else count * each, initializing) if part is not None]
        spent = sum(parts) if parts else None
        usd = {
            "usd_each": each,
            "usd_initializing": initializing,
            "usd_in_window": spent,
            "usd_per_day": None if spent is None else spent * DAY_S / settings.window,
        }
        return {
            "model_gb": known.model_gb,
            "usd_per_gb": settings.usd_per_gb,
            "initializing_minutes": None if minutes is None else round(minutes, 3),
            **{name: None if amount is None else round(amount, 9) for name, amount in usd.items()},
        }


def _judge(told: Told, report: Report, before: Report | None) -> tuple[bool, Told]:
    """Whether a report tells of a cold start that was not told yet, and what is told of it from now on."""
    was_empty = before is not None and before.ready_replicas == 0
    was_flagged = before is not None and before.cold_start
    if report.ready_replicas == 0:
        if report.cold_start:
            return not (was_empty and was_flagged), Told.BY_FLAG
        return False, told if was_empty else Told.NOT
    if was_empty:
        if told is Told.BY_FLAG:
            return False, Told.NOT
        return True, Told.NOT if report.cold_start else Told.BY_REPLICAS
    return report.cold_start and told is not Told.BY_REPLICAS, Told.NOT
