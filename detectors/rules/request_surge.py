"""`request_surge`: the request rate is far above what is normal for the endpoint.

With N the number of requests in the last `window` seconds, the rule fires when

    N > ratio x normal   and   N > high   and   N > chance(normal)   and   N >= min_rate x window

where `normal` and `high` are the endpoint's `LearnedNormal` of such counts, and `chance` is how many requests a
Poisson process of that rate exceeds once in 1e9 windows (Bernstein's bound). The last three keep sparse endpoints
from raising hundreds of false episodes a month: three requests in a minute are "10x normal" and mean nothing.

It fires at the very request that crosses, without waiting for the second to end. An open episode does not teach the
normal. An endpoint without a request for an hour stops learning: its silence is not its normal. While one of the
`schedules` expects more of the endpoint, its normal learns nothing either, and counts `expected_ratio` times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
import numpy as np
from msgspec import Meta

from detectors.episodes import Reading
from detectors.normal import NormalState
from detectors.normal_bank import NormalBank
from detectors.plans import NOTHING
from detectors.rollup import COUNT, RequestColumns, Ring
from detectors.rule import Crossing, RequestRule
from detectors.table import NOBODY, Flags, Floats, Ints, Table
from schemas.config import Config, RuleSettings, Seconds
from schemas.outputs import Severity

IDLE_S: Final = 3600  # an endpoint that was silent for so long is no longer taught zeros
CHANCE: Final = math.log(1e9)  # -log of the probability that chance alone may still explain
CRITICAL: Final = 2.0  # times the threshold
RATES: Final = ("expected", "level", "season", "low", "high", "noise")  # of what the normal tells of itself
NEVER: Final = 1e18  # requests in a window: the threshold of an endpoint that is not judged

ROW: Final = np.dtype(
    [("threshold", "f8"), ("idle", "i8"), ("ratio", "f8"), ("floor", "f8"), ("enabled", "?"), ("planned", "f8")]
)
"""Of an endpoint; `idle`: closed steps without a request, -1 before its first step is over; `planned`: what schedules
say, in times its normal."""

State = tuple[NormalState, int, float]  # with `idle` and `planned`
_decode_state = msgspec.msgpack.Decoder(State).decode


class Settings(RuleSettings, frozen=True):
    """`ratio` times normal, and at least `min_rate` requests per second, over `window`."""

    ratio: Annotated[float, Meta(gt=1)] = 5.0
    min_rate: Annotated[float, Meta(gt=0, description="requests per second")] = 1.0
    window: Annotated[Seconds, Meta(extra={"ge": 1, "le": 60, "multiple_of": 1})] = Seconds(10)

    SAME_EVERYWHERE: ClassVar = frozenset({"window"})  # all endpoints of a partition share one ring of seconds


class RequestSurge(RequestRule[Settings]):
    """All endpoints of a partition at once, as columns."""

    rule: ClassVar = "request_surge"
    unit: ClassVar = "requests/s"
    Settings: ClassVar = Settings

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config, ring)
        self.window_s = self.reach_s(config)
        self._names: list[str] = []
        self._normals = NormalBank(self.window_s)
        self._table = Table(ROW, (NEVER, -1, 0.0, 0.0, False, 1.0))
        self._closed: Ints = np.zeros(0, dtype=np.int64)  # requests in the window that ends with the last closed second
        self._is_planned = True  # whether a schedule may have held when the last step ended

    @classmethod
    def reach_s(cls, config: Config) -> int:
        return int(cls.shared(config).window)

    @classmethod
    def step_s(cls, config: Config) -> int:
        return cls.reach_s(config)

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._configure(0)
        self._set_thresholds(np.arange(len(self._names)))

    def add(self, endpoints: Sequence[str]) -> None:
        first = len(self._names)
        self._names += endpoints
        self._normals.add(len(endpoints))
        self._table.add(len(endpoints))
        self._configure(first)

    def keep(self, numbers: Ints) -> None:
        self._names = [self._names[number] for number in numbers.tolist()]
        self._normals.keep(numbers)
        self._table.keep(numbers)
        self._closed = self._closed[numbers]

    def may_cross(self, columns: RequestColumns) -> bool:
        count = np.bincount(columns.endpoint, columns.numbers[COUNT], minlength=len(self._names))
        return bool(np.any(self._leading() + count > self._table.rows["threshold"]))

    def observe(self, columns: RequestColumns, silent: Flags) -> Iterable[Crossing]:
        endpoint, leading = columns.endpoint, self._leading()
        suspects = (leading > self._table.rows["threshold"]) & silent
        if not suspects.any():
            return
        count = np.where(columns.second > self.ring.newest - self.window_s, columns.numbers[COUNT], 0)
        for suspect in np.unique(endpoint[suspects[endpoint]]).tolist():
            places = np.flatnonzero((endpoint == suspect) & (count > 0))
            reached = leading[suspect] - count[places].sum() + np.cumsum(count[places])
            above = np.flatnonzero(reached > self._table.rows["threshold"][suspect])
            if len(above):
                first = int(above[0])
                yield Crossing(int(places[first]), suspect, self._reading(suspect, int(reached[first])))

    def close(self, second: int, silent: Flags) -> Ints:
        self._closed = self.ring.window(second, self.window_s)
        if (second + 1) % self.window_s == 0:
            idle = self._table.rows["idle"]
            idle[:] = np.where(self._closed > 0, 0, np.where(idle < 0, -1, idle + 1))
            learning = np.flatnonzero((idle >= 0) & (idle <= IDLE_S // self.window_s))
            ordinary, replanned = self._plan(second + 1)
            self._learn(learning, second + 1, silent[learning], ordinary[learning])
            changed = np.union1d(learning, replanned) if len(replanned) else learning
            self._set_thresholds(changed)
            return changed
        return NOBODY

    def _learn(self, learning: Ints, second: int, silent: Flags, ordinary: Flags) -> None:
        counts = self._closed[learning].astype(float)
        if not ordinary.all():  # what is planned is no news, however long it lasts: as if it had been as expected
            counts = np.where(ordinary, counts, self._normals.expect(learning).expected)
        self._normals.update(learning, float(second), counts, silent & ordinary)

    def _plan(self, second: int) -> tuple[Flags, Ints]:
        """Of each endpoint, whether nothing is planned; and those of which something else is than a step ago.

        A window that reaches into a plan is a part of it, and the requests that are judged until the next step ends are
        newer than this one by the lateness and the step.
        """
        ordinary = np.ones(len(self._names), dtype=np.bool_)
        ahead_s = int(self.config.input.lateness) + self.window_s
        times = [second - self.window_s, second, second + ahead_s]
        holds = any(map(self.plans.any_holds, times))
        if not holds and not self._is_planned:
            return ordinary, NOBODY
        self._is_planned = holds
        plans = [[self.plans.at(endpoint, time_s) for time_s in times] for endpoint in self._names]
        ordinary[:] = [all(plan == NOTHING for plan in several) for several in plans]
        planned = np.array([max(plan.ratio for plan in several) for several in plans], dtype=np.float64)
        replanned = np.flatnonzero(planned != self._table.rows["planned"])
        self._table.rows["planned"] = planned
        return ordinary, replanned

    def firing(self) -> Ints:
        return np.flatnonzero(self._closed > self._table.rows["threshold"])

    def read(self, endpoint: int) -> Reading:
        return self._reading(endpoint, int(self._closed[endpoint]))

    def is_quiescent(self, second: int) -> bool:
        idle = self._table.rows["idle"]
        unknown = idle < 0  # all its requests came late, or count nothing
        asleep = unknown | (idle > IDLE_S // self.window_s)
        return bool(asleep.all()) and not self.ring.window(second, self.window_s).any()

    def snapshots(self, numbers: Ints) -> Sequence[State]:
        rows = self._table.rows
        idle, planned = rows["idle"][numbers].tolist(), rows["planned"][numbers].tolist()
        return list(zip(self._normals.snapshots(numbers), idle, planned, strict=True))

    def restore(self, numbers: Ints, states: Sequence[msgspec.Raw]) -> None:
        read = [_decode_state(state) for state in states]
        usable = [i for i, state in enumerate(read) if state[0].step_s == self.window_s]  # else it is learned anew
        self._normals.restore(numbers[usable], [read[i][0] for i in usable])
        for place, column in ((1, "idle"), (2, "planned")):
            self._table.rows[column][numbers[usable]] = [read[i][place] for i in usable]

    def _leading(self) -> Ints:
        """Requests in the window that ends with the newest second."""
        return self.ring.window(self.ring.newest, self.window_s)

    def _configure(self, first: int) -> None:
        """What the configuration says of the endpoints from this number on."""
        settings = [self.settings(endpoint) for endpoint in self._names[first:]]
        rows = self._table.rows[first:]
        rows["ratio"] = [own.ratio for own in settings]
        rows["floor"] = [own.min_rate * self.window_s - 0.5 for own in settings]  # at least so many, not more
        rows["enabled"] = [own.enabled for own in settings]

    def _set_thresholds(self, numbers: Ints) -> None:
        rows, normal = self._table.rows, self._normals.expect(numbers)
        planned = rows["planned"][numbers]
        expected, high = planned * normal.expected, planned * normal.high
        limits = [rows["ratio"][numbers] * expected, high, chance_limit(expected), rows["floor"][numbers]]
        judged = normal.warm & rows["enabled"][numbers]
        rows["threshold"][numbers] = np.where(judged, np.maximum.reduce(limits), NEVER)

    def _reading(self, endpoint: int, count: int) -> Reading:
        threshold = float(self._table.rows["threshold"][endpoint])
        settings = self.settings(self._names[endpoint])
        normal = self._normals.expect(np.array([endpoint]))
        planned = float(self._table.rows["planned"][endpoint])
        expected, high = planned * normal.expected.item(), planned * normal.high.item()

        def evidence() -> dict[str, Any]:
            rates = {"rate_rps": count, "normal_rps": expected, "high_rps": high}
            return {
                **{name: round(number / self.window_s, 6) for name, number in rates.items()},
                "min_rps": settings.min_rate,
                "planned_ratio": planned,
                "ratio": round(count / expected, 3) if expected > 0 else None,
                "window_s": self.window_s,
                "requests": count,
                "normal": self._why_normal(endpoint),
            }

        return Reading(
            value=count / self.window_s,
            threshold=threshold / self.window_s,
            severity=Severity.CRITICAL if count > CRITICAL * threshold else Severity.ERROR,
            low=count <= settings.resolve_below * threshold,
            baseline=expected / self.window_s,
            evidence=evidence,
        )

    def _why_normal(self, endpoint: int) -> dict[str, Any]:
        """What the model said of the window, as rates, and how much it has seen."""
        told = self._normals.describe(endpoint)
        rates = {f"{name}_rps": round(told[name] / self.window_s, 6) for name in RATES}
        return {**rates, **{name: round(number, 3) for name, number in told.items() if name not in RATES}}


def chance_limit(mean: Floats) -> Floats:
    """What Poisson counts of these means exceed with probability 1e-9 at most (Bernstein's inequality).

    >>> chance_limit(np.array([0.1, 100.0])).round(1).tolist()
    [14.2, 171.7]
    """
    third = CHANCE / 3
    limit: Floats = mean + third + np.sqrt(third * third + 2 * CHANCE * mean)
    return limit
