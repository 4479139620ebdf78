"""`scale_thrash`: an autoscaler goes up and down, and pays for each turn.

With N the number of times in the last `window` that the replicas changed direction, the pace is

    N x day / window, and if N > 1 at most (N - 1) x day / (time from the first to the last of them)

and it fires when the pace is above `per_day`, and N is at least `min_changes`. The replicas of a report are
max(ready, target), as for `runaway_replicas`: a target that is taken back before a replica has gone costs nothing, and
a crash loop (ready falls, the target stays) is not the autoscaler's doing. Up and then down is one change.

In the default window of an hour it takes three changes within 57.6 minutes to be above 50 a day: whoever makes more
than that has such an hour, and who makes 50 or fewer, evenly spread, has none. But three may be chance, so that is
`info`; it is a `warning` when six hours were above the pace as well, or the pace is above twice the threshold.

What it costs: minutes initializing x price where the state is reported, else `usd_per_scale_event` for each change.
Sources: 50 a day and $2 to $5 each are the project's own example.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta, Struct

from detectors.episodes import Reading
from detectors.initializing import Spell, remember, replica_minutes
from detectors.report import Report
from detectors.rule import HistoryRule
from schemas.config import Price, RuleSettings, Seconds
from schemas.outputs import Severity
from schemas.units import HOUR_US, US

DAY_US: Final = 24 * HOUR_US
LASTING_US: Final = 6 * HOUR_US  # what is above the pace for so long is not chance
WARNING: Final = 2.0  # times the threshold
MOST: Final = 210  # changes that are remembered of an endpoint; of more the earliest are not counted
NEVER: Final = 1e9  # changes a day: the threshold of an endpoint that is not judged
RANGE: Final = 2  # dollars from, dollars to


class Settings(RuleSettings, frozen=True):
    """A pace of `per_day`, measured over `window`; what a change costs, from and to."""

    per_day: Annotated[float, Meta(ge=1, le=200)] = 50.0
    window: Annotated[Seconds, Meta(extra={"ge": 600, "le": 86_400})] = Seconds(3600)
    min_changes: Annotated[int, Meta(ge=2, le=100)] = 3
    usd_per_scale_event: tuple[Price, ...] = (2.0, 5.0)

    def __post_init__(self) -> None:
        if len(self.usd_per_scale_event) != RANGE or list(self.usd_per_scale_event) != sorted(self.usd_per_scale_event):
            raise ValueError("expected usd_per_scale_event as [from, to]")


class Turn(Struct, array_like=True):
    """A change of direction, and the replicas at which it was made."""

    time_us: int
    replicas: int


class Turns(Struct, array_like=True):
    """Which way the replicas last went (1: up, -1: down, 0: not known), and where they turned."""

    direction: int = 0
    turns: list[Turn] = msgspec.field(default_factory=list)
    spells: list[Spell] = msgspec.field(default_factory=list)


class ScaleThrash(HistoryRule[Settings, Turns]):
    """The pace at which replicas change direction."""

    rule: ClassVar = "scale_thrash"
    unit: ClassVar = "changes/day"
    Settings: ClassVar = Settings
    Memory: ClassVar = Turns

    def take(self, endpoint: str, memory: Turns, report: Report, before: Report | None) -> None:
        remember(memory.spells, report, before)
        if before is None or before.replicas == report.replicas:
            return
        direction = 1 if report.replicas > before.replicas else -1
        if memory.direction == -direction:
            since_us = report.time_us - max(round(self.settings(endpoint).window * US), LASTING_US)
            kept = [turn for turn in memory.turns if turn.time_us > since_us]
            memory.turns = [*kept, Turn(report.time_us, before.replicas)][-MOST:]
        memory.direction = direction

    def read(self, endpoint: str, memory: Turns, report: Report, at_us: int) -> Reading:
        settings = self.settings(endpoint)
        window_us = round(settings.window * US)
        turns = [turn for turn in memory.turns if turn.time_us > at_us - window_us]
        least = max(settings.per_day, (settings.min_changes - 1) * DAY_US / window_us)
        threshold = least if settings.enabled else NEVER
        pace = _pace(turns, window_us)
        lasting_us = max(window_us, LASTING_US)
        lasting = [turn for turn in memory.turns if turn.time_us > at_us - lasting_us]
        is_sure = _pace(lasting, lasting_us) > threshold or pace > WARNING * threshold

        def evidence() -> dict[str, Any]:
            minutes = replica_minutes(memory.spells, at_us - window_us, at_us)
            return {
                "changes": len(turns),
                "window_s": float(settings.window),
                **_swing(turns, report),
                "initializing_minutes": round(minutes, 3) if report.state or memory.spells else None,
                **self._money(endpoint, len(turns), pace, minutes),
                **self._spiral(endpoint, turns, report),
                "before": report.scaling,
            }

        return Reading(
            value=pace,
            threshold=threshold,
            severity=Severity.WARNING if is_sure else Severity.INFO,
            low=pace <= settings.resolve_below * threshold,
            evidence=evidence,
        )

    def _money(self, endpoint: str, changes: int, pace: float, minutes: float) -> dict[str, Any]:
        """Of the window, and of a day at its pace, from and to."""
        settings, price = self.settings(endpoint), self.config.endpoint(endpoint).price_usd_per_hour
        if minutes > 0 and price is not None:
            priced_by = "initializing"
            spent = [minutes / 60 * price] * RANGE
            daily = [usd * DAY_US / (settings.window * US) for usd in spent]
        else:
            priced_by = "usd_per_scale_event"
            spent, daily = ([count * usd for usd in settings.usd_per_scale_event] for count in (changes, pace))
        names = ("usd_in_window_low", "usd_in_window_high", "usd_per_day_low", "usd_per_day_high")
        amounts = zip(names, (*spent, *daily), strict=True)
        return {"priced_by": priced_by, **{name: round(usd, 9) for name, usd in amounts}}

    def _spiral(self, endpoint: str, turns: list[Turn], report: Report) -> dict[str, Any]:
        """Waking and sleeping: nothing but a minimum of one replica ends it, and what that costs."""
        price = self.config.endpoint(endpoint).price_usd_per_hour
        is_spiral = report.min_replicas <= 0 and any(turn.replicas == 0 for turn in turns)
        return {
            "death_spiral": is_spiral,
            "min_replicas": report.min_replicas if report.min_replicas >= 0 else None,
            "warm_usd_per_day": round(price * 24, 9) if is_spiral and price is not None else None,
        }


def _pace(turns: list[Turn], window_us: int) -> float:
    """Changes a day: three in an hour are 72 a day, but not if it took them 59 minutes."""
    pace = len(turns) * DAY_US / window_us
    span_us = turns[-1].time_us - turns[0].time_us if turns else 0
    return min(pace, (len(turns) - 1) * DAY_US / span_us) if span_us > 0 else pace


def _swing(turns: list[Turn], report: Report) -> dict[str, int]:
    """Between how many replicas it goes up and down."""
    levels = [turn.replicas for turn in turns] or [report.replicas]
    return {"replicas_low": min(levels), "replicas_high": max(levels)}
