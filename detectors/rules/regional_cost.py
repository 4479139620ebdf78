"""`regional_cost`: one model costs more in one region than in another where it may run, too.

Endpoints with the same `model` are a group, and those of one region are added up, full hour by full hour:

    dollars / requests x 1000              if both regions had at least `min_requests`,
    dollars / (ready replicas x hours)     else

It fires when that is more than `difference` above the same of the cheapest region that is legal for the endpoints of
the dear one, and the difference is worth `min_usd_per_day` at the pace of the hour. A region is legal that every one of
them may run in (`legal`); one that is not is never named. Endpoints whose region nobody told, and those that another
budget owns, are left out.

An hour is compared a quarter of an hour after its end, and again when more of it is told. A region of which nothing is
told keeps what was found of it for one hour more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from detectors.episodes import Reading
from detectors.ledger import Ledger
from detectors.rule import FleetRule, Measured
from detectors.unit_costs import Hour, Tally, UnitCosts, per_thousand
from schemas.config import Config, RuleSettings
from schemas.outputs import Rollup, Severity
from schemas.units import HOUR_US, US, rfc3339, to_usd

MINUTE_US: Final = 60 * US
SETTLE_US: Final = 900 * US  # after an hour's end, until which partitions may still tell of it
LEAST_REPLICA_US: Final = HOUR_US // 2  # half a replica for an hour: with less a region is not compared
DAY_H: Final = 24
MOST_ENDPOINTS: Final = 20  # that the evidence names

Basis = Literal["1000 requests", "replica-hour"]


class Settings(RuleSettings, frozen=True):
    """`difference` is a share: 0.3 is 30 % dearer."""

    difference: Annotated[float, Meta(gt=0)] = 0.3
    min_requests: Annotated[int, Meta(ge=1)] = 100  # of a region in the hour; with fewer replica-hours are compared
    min_usd_per_day: Annotated[float, Meta(ge=0)] = 1.0


class Last(Struct, array_like=True, frozen=True):
    """The newest full hour of an endpoint."""

    end_us: int
    requests: int
    cost_nano: int
    replica_us: int


class Kept(Struct, array_like=True):
    """Of one endpoint."""

    tally: Tally | None = None
    last: Last | None = None
    region: str | None = None  # as it was told


class Verdict(Struct, array_like=True, frozen=True):
    """What the last comparison said of a region: the unit costs are in dollars."""

    subject: str
    model: str
    region: str
    cheaper: str
    basis: Basis
    usd: float
    cheaper_usd: float
    per_hour: float  # units of the dear region
    requests: int
    usd_per_hour: float
    endpoints: list[str]
    end_us: int

    @property
    def difference(self) -> float:
        return self.usd / self.cheaper_usd - 1

    @property
    def saving_usd_per_day(self) -> float:
        return DAY_H * self.per_hour * (self.usd - self.cheaper_usd)


class State(Struct, array_like=True):
    """What belongs to no one endpoint."""

    minute: int
    compared: int  # hours since the epoch: the end of the last one that was compared, ...
    is_news: bool  # ... and whether more of it was told since then
    complete: dict[int, int]
    verdicts: list[Verdict]


class Region(NamedTuple):
    """The endpoints of one model in one region, and what they did in an hour."""

    name: str
    endpoints: list[str]
    hours: list[Last]
    legal: frozenset[str] | None  # None: anywhere

    @property
    def requests(self) -> int:
        return sum(hour.requests for hour in self.hours)

    @property
    def cost_nano(self) -> int:
        return sum(hour.cost_nano for hour in self.hours)

    @property
    def replica_us(self) -> int:
        return sum(hour.replica_us for hour in self.hours)

    @property
    def is_priced(self) -> bool:
        """Whether it is known of all of it what it costs: else it would look cheap."""
        return self.cost_nano > 0 and all(hour.cost_nano > 0 for hour in self.hours if hour.replica_us)

    def usd(self, basis: Basis) -> float:
        if basis == "1000 requests":
            return per_thousand(self.cost_nano, self.requests)
        return to_usd(self.cost_nano) * HOUR_US / self.replica_us

    def per_hour(self, basis: Basis) -> float:
        return self.requests / 1000 if basis == "1000 requests" else self.replica_us / HOUR_US


Best = tuple[Region, Basis]  # the cheapest, and by what it was compared


class RegionalCost(FleetRule[Settings]):
    """The models of one budget."""

    rule: ClassVar = "regional_cost"
    unit: ClassVar = "%"
    set_in: ClassVar = ("budgets",)  # its subjects are models and regions
    Settings: ClassVar = Settings

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config, budget)
        self._minute = self._compared = -1
        self._is_news = False
        self._hours = UnitCosts(self.changed)
        self._kept: dict[str, Kept] = {}
        self._verdicts: dict[str, Verdict] = {}  # of those that fire

    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        if rollup.endpoint is not None and rollup.region:
            self._locate(rollup, rollup.endpoint)
        for hour in self._hours.observe(rollup, ledger):
            self._keep(hour)
        minute = ledger.now_us // MINUTE_US
        if minute == self._minute:
            return ()
        self._minute = minute
        return self._look(ledger, firing)

    def snapshot(self) -> State:
        verdicts = [self._verdicts[subject] for subject in sorted(self._verdicts)]
        return State(self._minute, self._compared, self._is_news, self._hours.snapshot(), verdicts)

    def restore(self, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=State)
        self._minute, self._compared, self._is_news = kept.minute, kept.compared, kept.is_news
        self._hours.restore(kept.complete)
        self._verdicts = {verdict.subject: verdict for verdict in kept.verdicts}

    def snapshot_of(self, endpoint: str) -> Kept | None:
        tally, kept = self._hours.snapshot_of(endpoint), self._kept.get(endpoint)
        if kept is None:
            return None if tally is None else Kept(tally)
        kept.tally = tally
        return kept

    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=Kept)
        self._hours.adopt(endpoint, kept.tally)
        self._kept[endpoint] = kept

    def drop(self, endpoint: str) -> None:
        self._hours.drop(endpoint)
        self._kept.pop(endpoint, None)

    def _locate(self, rollup: Rollup, endpoint: str) -> None:
        """Of two sources that disagree the one that reports replicas is right: bills use names of their own."""
        kept = self._kept.setdefault(endpoint, Kept())
        if kept.region is None or (rollup.replicas is not None and kept.region != rollup.region):
            kept.region = rollup.region
            self.changed.add(endpoint)

    def _keep(self, hour: Hour) -> None:
        kept = self._kept.setdefault(hour.endpoint, Kept())
        if kept.last is None or hour.end_us > kept.last.end_us:
            kept.last = Last(hour.end_us, hour.requests, hour.cost_nano, hour.replica_us)
            self._is_news = self._is_news or hour.end_us == self._compared * HOUR_US
            self.changed.add(hour.endpoint)

    def _look(self, ledger: Ledger, firing: Collection[str]) -> Iterator[Measured]:
        """An episode that shall end needs to be told so more often than once an hour."""
        hour = (ledger.now_us - SETTLE_US) // HOUR_US
        is_new = self._is_news or hour > self._compared
        if is_new:
            self._compared, self._is_news = max(hour, self._compared), False
            self._judge(self._compare(self._compared * HOUR_US), firing)
        for subject in sorted(self._verdicts.keys() | firing):
            verdict = self._verdicts.get(subject)
            reading = self._nothing() if verdict is None else self._reading(verdict)
            if is_new or reading.low:
                yield Measured(subject, ledger.now_us, reading, is_endpoint=False)

    def _judge(self, found: Mapping[str, Verdict | None], firing: Collection[str]) -> None:
        """Keep the verdicts of those that fire; of one that was not compared the one before, if it is not too old."""
        oldest_us = (self._compared - 1) * HOUR_US
        old = {subject: verdict for subject, verdict in self._verdicts.items() if verdict.end_us >= oldest_us}
        self._verdicts = {
            subject: verdict
            for subject, verdict in {**old, **found}.items()
            if verdict is not None and (subject in firing or self._reading(verdict).anomaly > 1)
        }

    def _compare(self, end_us: int) -> dict[str, Verdict | None]:
        """Of each region that did anything in the hour; None: no other is cheaper."""
        least = self.settings(budget=self.budget).min_requests
        found: dict[str, Verdict | None] = {}
        for model, regions in self._regions(end_us).items():
            for region in regions.values():
                subject, best = f"{self.budget}/{model}@{region.name}", _cheapest(region, regions, least)
                found[subject] = None if best is None else _verdict(subject, model, region, best, end_us)
        return found

    def _regions(self, end_us: int) -> Mapping[str, Mapping[str, Region]]:
        """Model -> region -> what its endpoints did in the hour that ended then."""
        found: dict[str, dict[str, Region]] = {}
        for endpoint in sorted(self._kept):
            known, kept = self.config.endpoint(endpoint), self._kept[endpoint]
            name = known.region or kept.region
            if known.model and name and kept.last and kept.last.end_us == end_us and self.owns(endpoint):
                regions = found.setdefault(known.model, {})
                region = regions.get(name, Region(name, [], [], None))
                legal = _both(region.legal, frozenset(known.legal) if known.legal else None)
                regions[name] = Region(name, [*region.endpoints, endpoint], [*region.hours, kept.last], legal)
        return found

    def _reading(self, verdict: Verdict) -> Reading:
        settings = self.settings(budget=self.budget)
        value, threshold = 100 * verdict.difference, 100 * settings.difference
        is_judged = settings.enabled and verdict.saving_usd_per_day >= settings.min_usd_per_day
        return Reading(
            value=value,
            threshold=threshold,
            severity=Severity.WARNING,
            low=not is_judged or value <= settings.resolve_below * threshold,
            score=max(0.0, value / threshold) if is_judged else 0.0,
            evidence=lambda: _evidence(verdict),
        )

    def _nothing(self) -> Reading:
        """There is no cheaper region any more, or nothing to compare."""
        threshold = 100 * self.settings(budget=self.budget).difference
        return Reading(0.0, threshold, Severity.WARNING, low=True, evidence=lambda: {"compared": False})


def _verdict(subject: str, model: str, region: Region, best: Best, end_us: int) -> Verdict:
    other, basis = best
    return Verdict(
        subject=subject,
        model=model,
        region=region.name,
        cheaper=other.name,
        basis=basis,
        usd=region.usd(basis),
        cheaper_usd=other.usd(basis),
        per_hour=region.per_hour(basis),
        requests=region.requests,
        usd_per_hour=to_usd(region.cost_nano),
        endpoints=region.endpoints,
        end_us=end_us,
    )


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _cheapest(region: Region, regions: Mapping[str, Region], min_requests: int) -> Best | None:
    """The cheapest region that is legal for a dear one; None: it is none, or there is nothing to compare."""
    others = [other for name, other in sorted(regions.items()) if name != region.name]
    others = [other for other in others if region.legal is None or other.name in region.legal]
    if region.requests >= min_requests:
        busy = [other for other in others if other.requests >= min_requests]
        if busy:
            return _cheaper(region, busy, "1000 requests")
    running = [other for other in others if other.replica_us >= LEAST_REPLICA_US]
    return _cheaper(region, running, "replica-hour") if region.replica_us >= LEAST_REPLICA_US else None


def _cheaper(region: Region, others: Iterable[Region], basis: Basis) -> Best | None:
    priced = [other for other in others if other.is_priced]
    best = min(priced, key=lambda other: (other.usd(basis), other.name), default=None)
    return (best, basis) if best is not None and best.usd(basis) < region.usd(basis) else None


def _evidence(verdict: Verdict) -> dict[str, Any]:
    return {
        "model": verdict.model,
        "region": verdict.region,
        "cheaper_region": verdict.cheaper,
        "per": verdict.basis,
        "usd": round(verdict.usd, 9),
        "cheaper_usd": round(verdict.cheaper_usd, 9),
        "difference_percent": round(100 * verdict.difference, 3),
        "saving_usd_per_day": round(verdict.saving_usd_per_day, 9),
        "requests": verdict.requests,
        "usd_per_hour": verdict.usd_per_hour,
        "hour_ended_at": rfc3339(verdict.end_us),
        "dear_endpoints": verdict.endpoints[:MOST_ENDPOINTS],
        "endpoints_total": len(verdict.endpoints),
    }
