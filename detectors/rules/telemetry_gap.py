"""`telemetry_gap`: what should be heard of is not: an endpoint, a source, bills, prices.

    endpoint  no request for `for`, while it had replicas, and of the requests that could be relied on meanwhile
              more than ln 1e9, and than twice those of the longest silence that ended by itself
    requests  the same of all endpoints of the budget together
    scaling   no report of any endpoint for `scaling_after`, of a source that has been regular for 12 times as long
    bills     wall clock - newest `period_end` > `bills_after`
    prices    wall clock - `price_as_of` > `prices_after`

The only rule on the wall clock, which comes to it through the log alone (`inputs.py`). Silence is no ground to act.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
from msgspec import Struct

from detectors.episodes import Reading
from detectors.flow import Flow, FlowState
from detectors.inputs import MINUTE_US, Inputs, Part, Silence
from detectors.ledger import Ledger
from detectors.rule import FleetRule, Measured
from schemas.config import Config, Lasting, RuleSettings, Seconds
from schemas.outputs import Rollup, Severity
from schemas.topics import BILLING, REQUESTS, SCALING, topic_of
from schemas.units import US, rfc3339, to_us, to_usd

DAY_S: Final = 86_400
REGULAR: Final = 12  # times `scaling_after`, for which reports must have come without such a gap
MOST_ENDPOINTS: Final = 50  # with old prices, that the evidence lists


class Settings(RuleSettings, frozen=True, rename={"for_": "for"}):
    """`for` is a word of Python's, so in code it is `for_`."""

    for_: Lasting = Seconds(300)  # how long a silence must last, however much should have come
    known_for: Lasting = Seconds(DAY_S)  # for how long requests must have been counted before silence means anything
    scaling_after: Lasting = Seconds(300)  # collectors report every 15 to 30 s
    bills_after: Lasting = Seconds(36 * 3600)  # providers bill a day within the next
    prices_after: Lasting = Seconds(90 * DAY_S)


class State(Struct, array_like=True):
    """What belongs to no one endpoint."""

    inputs: Inputs
    total: FlowState  # of all endpoints together
    scaled_us: int  # the newest report of replicas; -1: none
    regular_us: int  # since when there has been no gap of `scaling_after` in them
    billed_us: int  # the newest end of a bill's period; -1: none
    looked: int  # minute in which the budget was last looked at


class Scene(NamedTuple):
    """What a rule is asked about."""

    ledger: Ledger
    firing: Collection[str]

    def up_since_us(self, endpoint: str) -> int | None:
        account = self.ledger.accounts.get(endpoint)
        return None if account is None else account.up_since_us


class Reason(NamedTuple):
    """One thing that a budget should hear of: since when it does not, and for how long it may not."""

    what: str
    since_us: int
    age_us: float
    allowed_us: float
    severity: Severity
    more: Mapping[str, Any] = {}

    @property
    def score(self) -> float:
        return max(0.0, self.age_us / self.allowed_us)

    @property
    def evidence(self) -> dict[str, Any]:
        ages = {"age_s": round(self.age_us / US, 3), "allowed_s": round(self.allowed_us / US, 3)}
        return {"what": self.what, "since": rfc3339(self.since_us), **ages, **self.more}


class TelemetryGap(FleetRule[Settings]):
    """Silence of endpoints and of sources."""

    rule: ClassVar = "telemetry_gap"
    unit: ClassVar = "s"
    Settings: ClassVar = Settings

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config, budget)
        self._inputs, self._total = Inputs(), Flow()
        self._scaled_us = self._regular_us = self._billed_us = self._looked = -1
        self._flows: dict[str, Flow] = {}
        self._names: dict[int, dict[str, None]] = {}  # partition of the requests -> endpoints
        self._owned: dict[str, bool] = {}
        self._dates = _dates(config, budget)

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._dates = _dates(config, self.budget)
        self._owned.clear()
        for endpoint in [endpoint for endpoint in self._flows if not self._owns(endpoint)]:
            self.drop(endpoint)

    # -- what is told ----------------------------------------------------------------------------------------------

    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        part, scene = self._inputs.part(rollup.source, rollup.partition), Scene(ledger, firing)
        told_us = part.told_us
        part.tell(rollup.time_us)
        if rollup.requests is not None:
            self._count(rollup.requests, rollup, scene)
        elif rollup.source == SCALING:
            self._scale(rollup.time_us)
        elif rollup.bill is not None:
            self._billed_us = max(self._billed_us, rollup.bill.end_us)
        if rollup.source == REQUESTS and part.told_us > told_us:
            yield from self._of_endpoints(rollup.partition, scene)
        if part.until_us // MINUTE_US > self._looked:
            yield from self._of_budget(scene)

    def tick(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        topic, scene = topic_of(rollup.source), Scene(ledger, firing)
        self._inputs.part(topic, rollup.partition).mark(rollup.time_us, rollup.heard_us)
        if topic == REQUESTS:
            yield from self._of_endpoints(rollup.partition, scene)
        yield from self._of_budget(scene)

    def _count(self, requests: Mapping[str, tuple[int, int]], rollup: Rollup, scene: Scene) -> None:
        settings = self.settings(budget=self.budget)
        if self._total.gap_us(rollup.time_us) >= settings.for_ * US:
            _end(self._total, rollup.time_us, settings, was_silent=self.budget in scene.firing)
        self._total.tell(rollup.time_us, sum(count for count, _ in requests.values()))
        for endpoint, (count, _) in requests.items():
            if endpoint in scene.ledger.accounts and self._owns(endpoint):  # else nobody knows of replicas
                self._count_one(endpoint, count, rollup, scene)

    def _count_one(self, endpoint: str, count: int, rollup: Rollup, scene: Scene) -> None:
        flow = self._flows.get(endpoint)
        if flow is None or flow.partition != rollup.partition:
            flow = self._place(endpoint, flow or Flow(), rollup.partition)
        gap_us = flow.gap_us(rollup.time_us)
        if gap_us >= MINUTE_US:
            settings, up_us = self.settings(endpoint), scene.up_since_us(endpoint)
            if gap_us >= settings.for_ * US and up_us is not None and up_us <= flow.since_us:
                _end(flow, rollup.time_us, settings, was_silent=endpoint in scene.firing)
        flow.tell(rollup.time_us, count)
        self.changed.add(endpoint)

    def _scale(self, time_us: int) -> None:
        if self._scaled_us < 0 or time_us - self._scaled_us > self.settings(budget=self.budget).scaling_after * US:
            self._regular_us = time_us
        self._scaled_us = max(self._scaled_us, time_us)

    # -- what is not -----------------------------------------------------------------------------------------------

    def _of_endpoints(self, partition: int, scene: Scene) -> Iterator[Measured]:
        part, names = self._inputs.part(REQUESTS, partition), self._names.get(partition, {})
        quiet_us = part.until_us - MINUTE_US
        quiet = [name for name in names if self._flows[name].since_us <= quiet_us and self._may_fire(name, part, scene)]
        for name in sorted({*quiet, *(names.keys() & scene.firing)}):
            reading = self._silent(name, part, scene)
            if name in scene.firing or (reading.anomaly > 1 and self._is_its_own(name)):
                yield Measured(name, part.until_us, reading)

    def _is_its_own(self, name: str) -> bool:
        """Whether others were heard while the endpoint was silent for long enough: else it is what they share."""
        quiet_us = self._total.since_us - self._flows[name].since_us
        return len(self._flows) == 1 or quiet_us >= self.settings(name).for_ * US

    def _may_fire(self, name: str, part: Part, scene: Scene) -> bool:
        """Whether `_silent` need be asked: mostly not, and it costs a hundred times as much."""
        flow, up_us = self._flows[name], scene.up_since_us(name)
        if up_us is None:
            return False
        silence = self._silence(flow, part, up_us)
        is_long = silence.length_us > self.settings(name).for_ * US
        return is_long and not flow.is_short(silence)

    def _silence(self, flow: Flow, part: Part, up_us: int | None) -> Silence:
        """What is proven while there were replicas, as far as these are known."""
        begin_us, end_us = part.silence(flow.since_us)
        return Silence(max(begin_us, up_us or 0), min(end_us, self._inputs.until_us(SCALING)))

    def _silent(self, name: str, part: Part, scene: Scene) -> Reading:
        """The silence of an endpoint, as a reading."""
        flow, settings, up_us = self._flows[name], self.settings(name), scene.up_since_us(name)
        silence = self._silence(flow, part, up_us)
        is_judged = settings.enabled and up_us is not None and flow.known_us >= settings.known_for * US
        score = _score(flow, silence, settings) if is_judged else 0.0
        length_s = silence.length_us / US

        def evidence() -> dict[str, Any]:
            replicas = scene.ledger.accounts[name].replicas
            price = scene.ledger.prices.get(name, 0)
            return {
                "clock": "wall",
                "silent_since": rfc3339(silence.begin_us),
                **_requests(flow, silence),
                "replicas": replicas,
                "usd_per_hour": to_usd(replicas * price),
            }

        return Reading(
            value=length_s,
            threshold=length_s / score if score > 0 else float(settings.for_),
            severity=Severity.ERROR,
            low=score <= settings.resolve_below,
            score=score,
            evidence=evidence,
        )

    def _of_budget(self, scene: Scene) -> Iterator[Measured]:
        now_us, settings = self._inputs.now_us, self.settings(budget=self.budget)
        self._looked = now_us // MINUTE_US
        reasons = sorted(self._reasons(now_us, scene.ledger), key=_weight, reverse=True)
        worst = reasons[0] if reasons else Reason("nothing", now_us, 0, settings.for_ * US, Severity.WARNING)
        if worst.score <= 1 and self.budget not in scene.firing:
            return
        firing = [reason.evidence for reason in reasons if reason.score > 1]
        reading = Reading(
            value=worst.age_us / US,
            threshold=worst.allowed_us / US,
            severity=worst.severity,
            low=all(reason.score <= settings.resolve_below for reason in reasons),
            score=worst.score,
            evidence=lambda: {"clock": "wall", "reasons": firing},
        )
        yield Measured(self.budget, now_us, reading, is_endpoint=False)

    def _reasons(self, now_us: int, ledger: Ledger) -> Iterator[Reason]:
        """What the budget should hear of, and how long it has not."""
        settings = self.settings(budget=self.budget)
        if not settings.enabled:
            return
        if len(self._flows) > 1 and any(account.replicas for account in ledger.accounts.values()):
            yield from self._stopped()
        after_us = settings.scaling_after * US
        if self._scaled_us - self._regular_us >= REGULAR * after_us:
            age_us = self._inputs.until_us(SCALING) - self._scaled_us
            yield Reason("scaling", self._scaled_us, age_us, after_us, Severity.ERROR)
        if self._billed_us >= 0:
            age_us = self._inputs.until_us(BILLING) - self._billed_us
            yield Reason("bills", self._billed_us, age_us, settings.bills_after * US, Severity.WARNING)
        if self._dates:
            yield _prices(self._dates, now_us, settings.prices_after * US)

    def _stopped(self) -> Iterator[Reason]:
        """The requests of all endpoints together."""
        settings = self.settings(budget=self.budget)
        silence = self._inputs.silence(REQUESTS, self._total.since_us)
        score = _score(self._total, silence, settings) if self._total.known_us >= settings.known_for * US else 0.0
        if score > 0:
            length_us, more = silence.length_us, _requests(self._total, silence)
            yield Reason("requests", silence.begin_us, length_us, length_us / score, Severity.ERROR, more)

    # -- who it is about, and state --------------------------------------------------------------------------------

    def _owns(self, endpoint: str) -> bool:
        """`owns`, which looks at patterns, once for each endpoint."""
        known = self._owned.get(endpoint)
        if known is None:
            known = self._owned[endpoint] = self.owns(endpoint)
        return known

    def _place(self, endpoint: str, flow: Flow, partition: int) -> Flow:
        self._names.get(flow.partition, {}).pop(endpoint, None)
        self._names.setdefault(partition, {})[endpoint] = None
        flow.partition = partition
        self._flows[endpoint] = flow
        return flow

    def drop(self, endpoint: str) -> None:
        self._owned.pop(endpoint, None)
        flow = self._flows.pop(endpoint, None)
        if flow is not None:
            self._names[flow.partition].pop(endpoint)

    def snapshot(self) -> State:
        total = self._total.snapshot()
        return State(self._inputs, total, self._scaled_us, self._regular_us, self._billed_us, self._looked)

    def restore(self, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=State)
        self._inputs, self._total = kept.inputs, Flow(kept.total)
        self._scaled_us, self._regular_us = kept.scaled_us, kept.regular_us
        self._billed_us, self._looked = kept.billed_us, kept.looked

    def snapshot_of(self, endpoint: str) -> FlowState | None:
        flow = self._flows.get(endpoint)
        return None if flow is None else flow.snapshot()

    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        if self._owns(endpoint):
            flow = Flow(msgspec.msgpack.decode(state, type=FlowState))
            self._place(endpoint, flow, flow.partition)


def _end(flow: Flow, minute_us: int, settings: Settings, *, was_silent: bool) -> None:
    """A silence is over. By itself it shows how long they may be; an open episode teaches nothing."""
    silence = Silence(flow.since_us, flow.since_us + flow.gap_us(minute_us))
    if was_silent and _score(flow, silence, settings) > 1:
        flow.lose(minute_us)
    elif flow.known_us >= settings.known_for * US:
        flow.remember(silence)


def _score(flow: Flow, silence: Silence, settings: Settings) -> float:
    """How far a silence is beyond both limits: in time, and in requests that could be relied on."""
    long = silence.length_us / (settings.for_ * US)
    return min(long, flow.hours.expected(*silence) / flow.limit) if long > 0 else 0.0


def _requests(flow: Flow, silence: Silence) -> dict[str, float]:
    """What a silence amounts to, what it may, and the longest that ended by itself."""
    numbers = {
        "expected_requests": flow.hours.expected(*silence),
        "limit_requests": flow.limit,
        "longest_requests": flow.longest,
    }
    return {name: round(number, 3) for name, number in numbers.items()}


def _weight(reason: Reason) -> tuple[bool, int, float]:
    """The larger the worse: one that fires before one that does not, then the more severe."""
    fires = reason.score > 1
    return fires, reason.severity.rank if fires else 0, reason.score


def _dates(config: Config, budget: str) -> dict[str, date]:
    """When the prices were looked up that the budget counts with, by endpoint; `defaults` if it may have others."""
    known, own = config.endpoints, config.budgets[budget]
    dates = {name: known[name].price_as_of for name in known if own.covers(name)}
    if not set(own.endpoints) <= known.keys():
        dates["defaults"] = config.defaults.price_as_of
    return {name: day for name, day in dates.items() if day is not None}


def _prices(dates: Mapping[str, date], now_us: int, allowed_us: float) -> Reason:
    """The oldest, and whose are too old."""
    since_us = _midnight_us(min(dates.values()))
    old = sorted(name for name, day in dates.items() if now_us - _midnight_us(day) > allowed_us)
    more = {"endpoints": old[:MOST_ENDPOINTS], "endpoints_total": len(old)}
    return Reason("prices", since_us, now_us - since_us, allowed_us, Severity.WARNING, more)


def _midnight_us(day: date) -> int:
    return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
