"""`cost_spike`: an endpoint, or a budget as a whole, costs far more an hour than it usually does.

With C the dollars per hour of the last ten minutes (what the ledger says was spent in them, times six), it fires when

    C > ratio x normal   and   C > high   and   C >= min_usd_per_hour

where `normal` and `high` are the `LearnedNormal` of such costs, ten minutes by ten minutes of the budget's clock. What
is normal is looked up at multiples of ten minutes, so that it is the same whoever looks and when: at the last one and
the one before, of which the larger counts.

It is asked once a minute. An open episode does not teach the normal, nor does a time for which a schedule covers the
endpoint: then its `normal` and `high` count `expected_ratio` times, and `high` is above `normal` by as much as
`expected_max` replicas would be; those of the budget are higher by as much. A bill that comes late changes what is
measured from then on; what was learned stays. Where the price of an endpoint is another one, it is learned anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from detectors.account import Account
from detectors.account_normals import BUDGET, AccountNormals, AccountNormalsState
from detectors.episodes import Reading
from detectors.ledger import Ledger
from detectors.normal import NormalState
from detectors.plans import NOTHING, Plan
from detectors.rule import FleetRule, Measured
from detectors.table import Floats
from schemas.config import Config, RuleSettings
from schemas.outputs import Rollup, Severity
from schemas.units import HOUR_US, US, to_nano, to_usd

WINDOW_S: Final = 600
WINDOW_US: Final = WINDOW_S * US
AN_HOUR: Final = HOUR_US // WINDOW_US  # windows
MICRO_NANO: Final = 1000  # nano-dollars in a millionth of a dollar
MINUTE_US: Final = 60 * US
ERROR: Final = 2.0  # times the threshold
MOST_ENDPOINTS: Final = 10  # that the evidence of a budget lists, those furthest above their normal first

Costs = Mapping[str, int]  # nano-dollars per hour by endpoint; of the whole budget under `BUDGET`


class Settings(RuleSettings, frozen=True):
    """`ratio` times normal, and at least so many dollars an hour."""

    ratio: Annotated[float, Meta(gt=1)] = 2.0
    min_usd_per_hour: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0


class State(Struct, array_like=True):
    """What belongs to no one endpoint: the minute that was last looked at, and the normal of the budget."""

    minute: int
    normals: AccountNormalsState


class Series(Struct, array_like=True):
    """The normal of an endpoint, and the price that its costs were counted with."""

    price_nano: int
    normal: NormalState


class Limit(NamedTuple):
    """What is expected, in dollars per hour; `threshold` may not be exceeded."""

    expected: float
    high: float
    threshold: float


class CostSpike(FleetRule[Settings]):
    """All accounts of the budget, and the budget itself."""

    rule: ClassVar = "cost_spike"
    unit: ClassVar = "USD/h"
    Settings: ClassVar = Settings

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config, budget)
        self._minute = -1
        self._normals = AccountNormals(WINDOW_S)
        self._limits: dict[str, Limit | None] = {}  # by name, while nothing is learned and no ten minutes begin
        self._looked_us = -1  # the multiple of ten minutes that they are of; -1: they are of one minute alone
        self._prices: dict[str, int] = {}  # nano-dollars that the costs were counted with, by endpoint with a normal
        self._is_priced = False  # whether these are known to be the ledger's
        self._floors: dict[str, float] = {}  # nano-dollars per hour below which nothing fires, by name

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._floors.clear()
        self._limits.clear()
        self._is_priced = False

    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:  # noqa: ARG002
        minute = ledger.now_us // MINUTE_US
        if minute == self._minute:
            return ()
        self._minute = minute
        self._begin_anew(ledger)
        for end_us in self._normals.ended(ledger.now_us):
            self._learn(end_us, ledger, firing)
        return self._judge(ledger, firing)

    def snapshot(self) -> State:
        return State(self._minute, self._normals.snapshot())

    def restore(self, state: msgspec.Raw) -> None:
        kept = msgspec.msgpack.decode(state, type=State)
        self._minute = kept.minute
        self._normals.restore(kept.normals)

    def snapshot_of(self, endpoint: str) -> Series | None:
        normal = self._normals.snapshot_of(endpoint)
        return None if normal is None else Series(self._prices[endpoint], normal)

    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        series = msgspec.msgpack.decode(state, type=Series)
        self._normals.adopt(endpoint, series.normal)
        self._prices[endpoint] = series.price_nano

    def drop(self, endpoint: str) -> None:
        self._normals.drop(endpoint)
        self._prices.pop(endpoint, None)
        self._floors.pop(endpoint, None)
        self._limits.pop(endpoint, None)

    def _begin_anew(self, ledger: Ledger) -> None:
        """A configuration with another price makes the same replicas cost something else, in sum as well."""
        if self._is_priced:
            return
        self._is_priced = True
        changed = [name for name, price in self._prices.items() if price != ledger.prices.get(name, 0)]
        for name in changed:
            self.drop(name)
            self.changed.add(name)
        if changed:
            self._normals.drop(BUDGET)
            self._limits.clear()

    def _learn(self, end_us: int, ledger: Ledger, firing: Collection[str]) -> None:
        """A series begins with the first step that cost something."""
        costs = costs_of(ledger, end_us)
        planned = self._planned(ledger, end_us - WINDOW_US).keys() | self._planned(ledger, end_us).keys()
        unusual = {BUDGET, *planned} if planned else {}
        values = {
            name: to_usd(nano)
            for name, nano in costs.items()
            if (nano or name in self._normals) and name not in unusual
        }
        self._limits.clear()
        self._prices |= {n: ledger.prices.get(n, 0) for n in values if n != BUDGET and n not in self._prices}
        self._normals.learn(end_us, values, {BUDGET, *firing} if self.budget in firing else firing)
        self.changed.update(name for name in values if name != BUDGET)

    def _judge(self, ledger: Ledger, firing: Collection[str]) -> Iterator[Measured]:
        """Those that are dear enough to fire, and those that do: a few, mostly none."""
        costs = costs_of(ledger, ledger.now_us)
        names = {name for name, nano in costs.items() if nano >= self._floor(name) or name in firing}
        names |= {BUDGET} if self.budget in firing else set()
        self._look_up(names, ledger)
        for name in sorted(names):
            limit = self._limits[name]
            if name not in firing and name != BUDGET and (limit is None or to_usd(costs[name]) <= limit.threshold):
                continue
            reading = self._reading(name, costs, limit, ledger)
            subject = self.budget if name == BUDGET else name
            if subject in firing or reading.anomaly > 1:
                yield Measured(subject, ledger.now_us, reading, is_endpoint=name != BUDGET)

    def _floor(self, name: str) -> float:
        floor = self._floors.get(name)
        if floor is None:
            settings = self.settings(_endpoint(name), self.budget)
            is_judged = settings.enabled and (name == BUDGET or self.owns(name))
            floor = self._floors[name] = to_nano(settings.min_usd_per_hour) if is_judged else inf
        return floor

    def _look_up(self, names: Collection[str], ledger: Ledger) -> None:
        """Have the limits of these at hand: they change with what is learned, with the time, and with plans."""
        now_us = ledger.now_us
        is_planned = any(self.plans.any_holds(time_us / US) for time_us in (now_us - WINDOW_US, now_us))
        look_us = _anchor_us(now_us)
        if is_planned or look_us != self._looked_us:
            self._limits.clear()
        self._looked_us = -1 if is_planned else look_us
        missing = [name for name in names if name not in self._limits]
        if missing:
            self._limits |= {**dict.fromkeys(missing), **self._limits_of(missing, ledger)}

    def _limits_of(self, names: Collection[str], ledger: Ledger) -> dict[str, Limit]:
        """Of those whose normal is known."""
        known = [name for name in names if name in self._normals]
        ratios = np.array([self.settings(_endpoint(name), self.budget).ratio for name in known])
        found: dict[str, Limit] = {}
        for time_us in (ledger.now_us - WINDOW_US, ledger.now_us):
            normal, plans = self._normals.expect(known, _anchor_us(time_us)), self._planned(ledger, time_us)
            more, most = self._more(known, plans, ledger, time_us) if plans else (0.0, 0.0)
            expected, high = normal.expected + more, normal.high + more + most
            limits = np.maximum(ratios * expected, high)
            rows = zip(known, normal.warm, expected.tolist(), high.tolist(), limits.tolist(), strict=True)
            for name, is_warm, *numbers in rows:
                limit = Limit(*numbers)
                if is_warm and (name not in found or limit.threshold > found[name].threshold):
                    found[name] = limit
        return found

    def _more(
        self, names: Sequence[str], plans: Mapping[str, Plan], ledger: Ledger, time_us: int
    ) -> tuple[Floats, Floats]:
        """By how much plans raise what is normal for each of these; and, on top of it, the end of what is."""
        planned = sorted(name for name in plans if name in self._normals)
        normal = self._normals.expect(planned, _anchor_us(time_us)).expected.tolist()
        more, most = dict[str, float](), dict[str, float]()
        for name, expected in zip(planned, normal, strict=True):
            plan, price = plans[name], ledger.prices.get(name, 0)
            more[name] = (plan.ratio - 1) * expected
            most[name] = max(0.0, _at_most(plan, price) - plan.ratio * expected)
        for raised in (more, most):
            raised[BUDGET] = sum(raised.values())
        return np.array([more.get(name, 0.0) for name in names]), np.array([most.get(name, 0.0) for name in names])

    def _planned(self, ledger: Ledger, time_us: int) -> dict[str, Plan]:
        """What is planned for each endpoint for which anything is."""
        if not self.plans.any_holds(time_us / US):
            return {}
        plans = ((name, self.plans.at(name, time_us / US)) for name in ledger.accounts)
        return {name: plan for name, plan in plans if plan != NOTHING}

    def _reading(self, name: str, costs: Costs, limit: Limit | None, ledger: Ledger) -> Reading:
        """Without a limit, and where nothing is judged any more, it is calm."""
        settings, cost = self.settings(_endpoint(name), self.budget), to_usd(costs[name])
        least = to_usd(to_nano(settings.min_usd_per_hour) - 1)  # at least so much, not more
        expected, high, threshold = limit or Limit(0.0, 0.0, least)
        threshold = max(threshold, least)
        is_judged = limit is not None and self._floor(name) < inf
        return Reading(
            value=cost,
            threshold=threshold,
            severity=Severity.ERROR if cost > ERROR * threshold else Severity.WARNING,
            low=not is_judged or cost <= settings.resolve_below * threshold,
            baseline=expected,
            score=cost / threshold if is_judged else 0.0,
            evidence=lambda: {
                "usd_per_hour": cost,
                "normal_usd_per_hour": usd(expected),
                "high_usd_per_hour": usd(high),
                "ratio": round(cost / expected, 3) if expected > 0 else None,
                "min_usd_per_hour": settings.min_usd_per_hour,
                "window_s": WINDOW_S,
                "normal": self._described(name),
                **(self._dearest(costs, ledger) if name == BUDGET else _scale(name, ledger)),
            },
        )

    def _described(self, name: str) -> dict[str, Any] | None:
        """What is normal and why, in dollars per hour."""
        if name not in self._normals:
            return None
        return {key: usd(value) for key, value in self._normals.describe(name).items()}

    def _dearest(self, costs: Costs, ledger: Ledger) -> dict[str, Any]:
        """Which endpoints are furthest above their normals."""
        names = sorted(name for name, nano in costs.items() if nano > 0 and name != BUDGET)
        limits = self._limits_of(names, ledger)
        normals = {name: limits[name].expected if name in limits else 0.0 for name in names}
        names.sort(key=lambda name: normals[name] - to_usd(costs[name]))
        rows = [
            {
                "endpoint": name,
                "usd_per_hour": to_usd(costs[name]),
                "normal_usd_per_hour": usd(normals[name]),
                "replicas": ledger.accounts[name].replicas,
                "price_usd_per_hour": to_usd(ledger.prices.get(name, 0)),
            }
            for name in names[:MOST_ENDPOINTS]
        ]
        return {"dearest": rows, "endpoints_total": len(ledger.accounts)}


def costs_of(ledger: Ledger, end_us: int) -> dict[str, int]:
    """What every account costs an hour, by the ten minutes that end then; and their sum, the budget's."""
    start_us = end_us - WINDOW_US
    costs = {
        name: _hourly(spent(account, start_us, end_us, ledger.prices.get(name, 0)))
        for name, account in ledger.accounts.items()
    }
    costs[BUDGET] = sum(costs.values())
    return costs


def _anchor_us(time_us: int) -> int:
    """The last multiple of ten minutes: normals change from minute to minute, and limits are kept for longer."""
    return time_us // WINDOW_US * WINDOW_US


def _hourly(nano: int) -> int:
    """What ten minutes cost, per hour, to a millionth of a dollar: twice a cost is not made more by rounding."""
    return (AN_HOUR * nano + MICRO_NANO // 2) // MICRO_NANO * MICRO_NANO


def _at_most(plan: Plan, price_nano: int) -> float:
    """Dollars per hour of the replicas that are planned."""
    return to_usd((plan.expected_max or 0) * price_nano)


def spent(account: Account, start_us: int, end_us: int, price_nano: int) -> int:
    """`Account.spend`, at once where nothing happened in between: mostly."""
    if account.bills or (account.steps and account.steps[-1][0] > start_us):
        return account.spend(start_us, end_us, price_nano)
    return (account.replicas * (end_us - start_us) * price_nano + HOUR_US // 2) // HOUR_US


def usd(amount: float) -> float:
    """Dollars with at most nine decimals, as money is written."""
    return round(amount, 9)


def _endpoint(name: str) -> str | None:
    return None if name == BUDGET else name


def _scale(name: str, ledger: Ledger) -> dict[str, Any]:
    replicas = ledger.accounts[name].replicas
    price = to_usd(ledger.prices.get(name, 0))
    return {"replicas": replicas, "price_usd_per_hour": price, "before": {"ready_replicas": replicas}}
