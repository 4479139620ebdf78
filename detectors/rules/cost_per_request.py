"""`cost_per_request`: what a thousand requests of an endpoint cost has risen for good.

Once for each full hour with at least `min_requests`, the logarithm of

    dollars / requests x 1000

goes to a drift detector (`detectors/trend.py`). It fires when that confirms a rise which is larger than `rise`, on the
average since it began. From then on the rise is that of the last six hours; it is over when that is low, or after
`accept_after`, when what it has risen to becomes usual. An open episode teaches nothing.

An hour is complete a few minutes after its end, by the clock of the partition that the endpoint's requests are in
(`detectors/unit_costs.py`). Bills that come later than that change no hour any more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta, Struct, field

from detectors.episodes import Reading
from detectors.ledger import Ledger
from detectors.rule import FleetRule, Measured
from detectors.trend import Trend
from detectors.unit_costs import Hour, Tally, UnitCosts, per_thousand
from schemas.config import Config, Lasting, RuleSettings, Seconds
from schemas.outputs import Rollup, Severity
from schemas.units import HOUR_US, US, rfc3339, to_usd

MINUTE_US: Final = 60 * US
DOUBLED: Final = 100.0  # per cent: from there on it is an error


class Settings(RuleSettings, frozen=True):
    """`rise` is a share: 0.2 is a fifth more than before."""

    rise: Annotated[float, Meta(gt=0)] = 0.2
    min_requests: Annotated[int, Meta(ge=1)] = 100  # in an hour; with fewer it is left out
    accept_after: Lasting = Seconds(86_400)  # how long until what it has risen to is usual


class Kept(Struct, array_like=True):
    """Of one endpoint: its requests in the open hours, its trend, and its last hour."""

    tally: Tally | None = None
    trend: Trend = field(default_factory=Trend)
    end_us: int = -1  # of the last hour with enough requests, ...
    requests: int = 0
    cost_nano: int = 0
    is_accepted: bool = False  # whether the rise that was last confirmed has become usual


class State(Struct, array_like=True):
    """What belongs to no one endpoint: the minute that was last looked at, and the hours of each partition."""

    minute: int
    complete: dict[int, int]


class CostPerRequest(FleetRule[Settings]):
    """The endpoints of a budget, each by itself."""

    rule: ClassVar = "cost_per_request"
    unit: ClassVar = "%"
    Settings: ClassVar = Settings

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config, budget)
        self._minute = -1
        self._hours = UnitCosts(self.changed)
        self._kept: dict[str, Kept] = {}

    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterator[Measured]:
        hours = self._hours.observe(rollup, ledger)
        for hour in hours:
            yield from self._take(hour, ledger, firing)
        minute = ledger.now_us // MINUTE_US
        if minute != self._minute:
            self._minute = minute
            yield from self._look_again(ledger, firing)

    def snapshot(self) -> State:
        return State(self._minute, self._hours.snapshot())

    def restore(self, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=State)
        self._minute = kept.minute
        self._hours.restore(kept.complete)

    def snapshot_of(self, endpoint: str) -> Kept | None:
        tally, kept = self._hours.snapshot_of(endpoint), self._kept.get(endpoint)
        if kept is None:
            return None if tally is None else Kept(tally)
        kept.tally = tally
        return kept

    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=Kept)
        self._hours.adopt(endpoint, kept.tally)
        if kept.end_us >= 0:
            self._kept[endpoint] = kept

    def drop(self, endpoint: str) -> None:
        self._hours.drop(endpoint)
        self._kept.pop(endpoint, None)

    def _take(self, hour: Hour, ledger: Ledger, firing: Collection[str]) -> Iterator[Measured]:
        settings = self.settings(hour.endpoint, self.budget)
        if hour.requests < settings.min_requests or hour.cost_nano <= 0:
            return
        kept = self._kept.setdefault(hour.endpoint, Kept())
        if hour.end_us <= kept.end_us:
            return
        kept.end_us, kept.requests, kept.cost_nano = hour.end_us, hour.requests, hour.cost_nano
        self._end_rise(hour.endpoint, kept, firing)
        kept.trend.update(hour.end_us // HOUR_US - 1, math.log(per_thousand(hour.cost_nano, hour.requests)))
        self.changed.add(hour.endpoint)
        if kept.trend.confirmed < 0:
            return
        reading = self._reading(hour.endpoint, kept)
        if hour.endpoint in firing or reading.anomaly > 1:
            yield Measured(hour.endpoint, ledger.now_us, reading)
        else:
            kept.trend.begin_anew()  # too small to be told

    def _end_rise(self, endpoint: str, kept: Kept, firing: Collection[str]) -> None:
        """Its episode is over: what comes next is judged anew."""
        if endpoint not in firing:
            kept.is_accepted = False
            if kept.trend.confirmed >= 0:
                kept.trend.begin_anew()

    def _look_again(self, ledger: Ledger, firing: Collection[str]) -> Iterator[Measured]:
        """An episode that shall end needs to be told so more than once an hour."""
        for endpoint in sorted(firing & self._kept.keys()):
            kept = self._kept[endpoint]
            if self._is_over(endpoint, kept, ledger.now_us):
                kept.trend.accept()
                kept.is_accepted = True
                self.changed.add(endpoint)
            reading = self._reading(endpoint, kept)
            if reading.low:
                yield Measured(endpoint, ledger.now_us, reading)

    def _is_over(self, endpoint: str, kept: Kept, now_us: int) -> bool:
        accept_us = self.settings(endpoint, self.budget).accept_after * US
        return kept.trend.confirmed >= 0 and now_us - (kept.trend.confirmed + 1) * HOUR_US >= accept_us

    def _reading(self, endpoint: str, kept: Kept) -> Reading:
        settings = self.settings(endpoint, self.budget)
        rise, threshold = 100 * math.expm1(kept.trend.above), 100 * settings.rise
        is_judged = settings.enabled and self.owns(endpoint) and kept.trend.confirmed >= 0
        return Reading(
            value=rise,
            threshold=threshold,
            severity=Severity.ERROR if rise >= DOUBLED else Severity.WARNING,
            low=not is_judged or rise <= settings.resolve_below * threshold,
            score=max(0.0, rise / threshold) if is_judged else 0.0,
            evidence=lambda: _evidence(kept, settings.min_requests),
        )


def _evidence(kept: Kept, min_requests: int) -> dict[str, Any]:
    """`before` is the word for replicas elsewhere, so what was usual is called that."""
    now, trend = per_thousand(kept.cost_nano, kept.requests), kept.trend
    usual = trend.usual(kept.end_us // HOUR_US - 1)
    return {
        "rise_percent": round(100 * math.expm1(trend.above), 3),
        "usd_per_1000_requests": round(now, 9),
        "usual_usd_per_1000_requests": None if usual is None else round(math.exp(usual), 9),
        "since": rfc3339(trend.since * HOUR_US) if trend.since >= 0 else None,
        "hour_ended_at": rfc3339(kept.end_us),
        "requests": kept.requests,
        "usd_per_hour": to_usd(kept.cost_nano),
        "min_requests": min_requests,
        "accepted": kept.is_accepted,
    }
