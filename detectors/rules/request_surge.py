"""`request_surge`: the request rate is far above what is normal for the endpoint.

With N the number of requests in the last `window` seconds, the rule fires when

    N > ratio x normal   and   N > high   and   N > chance(normal)   and   N >= min_rate x window

where `normal` and `high` are the endpoint's `LearnedNormal` of such counts, and `chance` is how many requests a
Poisson process of that rate exceeds once in 1e9 windows (Bernstein's bound). The last three keep sparse endpoints
from raising hundreds of false episodes a month: three requests in a minute are "10x normal" and mean nothing.

It fires at the very request that crosses, without waiting for the second to end. An open episode does not teach the
normal. An endpoint without a request for an hour stops learning: its silence is not its normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.episodes import Reading
from detectors.normal import Judgement, LearnedNormal, NormalState
from detectors.rollup import Flags, Ints, RequestColumns, Ring
from detectors.rule import Crossing, RequestRule
from schemas.config import Config, RuleSettings, Seconds
from schemas.outputs import Severity

COUNT: Final = 0  # the row of the ring that counts requests
IDLE_S: Final = 3600  # an endpoint that was silent for so long is no longer taught zeros
CHANCE: Final = math.log(1e9)  # -log of the probability that chance alone may still explain
CRITICAL: Final = 2.0  # times the threshold
Floats = NDArray[np.float64]

NEVER: Final = 1e18  # requests in a window: the threshold of an endpoint that is not judged


class Settings(RuleSettings, frozen=True):
    """`ratio` times normal, and at least `min_rate` requests per second, over `window`."""

    ratio: Annotated[float, Meta(gt=1)] = 5.0
    min_rate: Annotated[float, Meta(gt=0, description="requests per second")] = 1.0
    window: Annotated[Seconds, Meta(extra={"ge": 1, "le": 60, "multiple_of": 1})] = Seconds(10)

    SAME_EVERYWHERE: ClassVar = frozenset({"window"})  # all endpoints of a partition share one ring of seconds


class RequestSurge(RequestRule[Settings]):
    """All endpoints of a partition at once, as columns; only the learned normals are one by one."""

    rule: ClassVar = "request_surge"
    unit: ClassVar = "requests/s"
    Settings: ClassVar = Settings

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config, ring)
        self.window_s = self.reach_s(config)
        self._names: list[str] = []
        self._settings: list[Settings] = []
        self._normals: list[LearnedNormal] = []
        self._leading = np.zeros(0, dtype=np.int64)  # requests in the window that ends with the newest second
        self._closed = np.zeros(0, dtype=np.int64)  # ... with the last closed second
        self._threshold = np.zeros(0)
        self._judged = np.zeros(0, dtype=np.int64)  # the second as of which the threshold stands
        self._idle = np.zeros(0, dtype=np.int64)  # closed steps without a request; -1: its first step is not over

    @classmethod
    def reach_s(cls, config: Config) -> int:
        settings = config.rule(cls.rule)
        return int(settings.window) if isinstance(settings, Settings) else int(Settings().window)

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._settings = [self.settings(endpoint) for endpoint in self._names]
        self._set_thresholds(np.arange(len(self._names)))

    def add(self, endpoints: Sequence[str]) -> None:
        new = len(endpoints)
        self._names += endpoints
        self._settings += [self.settings(endpoint) for endpoint in endpoints]
        self._normals += [LearnedNormal(self.window_s) for _ in endpoints]
        self._leading = np.append(self._leading, np.zeros(new, dtype=np.int64))
        self._closed = np.append(self._closed, np.zeros(new, dtype=np.int64))
        self._threshold = np.append(self._threshold, np.full(new, NEVER))
        self._judged = np.append(self._judged, np.zeros(new, dtype=np.int64))
        self._idle = np.append(self._idle, np.full(new, -1))

    def begin(self, second: int) -> None:
        if second - self.ring.newest >= self.window_s:
            self._leading[:] = 0
            return
        for new in range(self.ring.newest + 1, second + 1):
            self._leading -= self._row(new - self.window_s)

    def observe(self, columns: RequestColumns, silent: Flags) -> Iterable[Crossing]:
        inside = columns.second > self.ring.newest - self.window_s
        endpoint = columns.endpoint
        count = np.where(inside, columns.numbers[COUNT], 0)
        np.add.at(self._leading, endpoint, count)
        suspects = ((self._leading > self._threshold) & silent)[endpoint]
        for suspect in np.unique(endpoint[suspects]).tolist():
            places = np.flatnonzero((endpoint == suspect) & inside)
            before = self._leading[suspect] - count[places].sum()
            reached = before + np.cumsum(count[places])
            above = np.flatnonzero(reached > self._threshold[suspect])
            if len(above):
                first = int(above[0])
                yield Crossing(int(places[first]), suspect, self._reading(suspect, int(reached[first])))

    def close(self, second: int, silent: Flags) -> Flags:
        self._closed += self._row(second) - self._row(second - self.window_s)
        changed = np.zeros(len(self._names), dtype=np.bool_)
        if (second + 1) % self.window_s == 0:
            self._idle = np.where(self._closed > 0, 0, np.where(self._idle < 0, -1, self._idle + 1))
            learning = np.flatnonzero((self._idle >= 0) & (self._idle <= IDLE_S // self.window_s))
            self._learn(learning, second + 1, silent[learning])
            changed[learning] = True
        return changed

    def firing(self) -> Ints:
        return np.flatnonzero(self._closed > self._threshold)

    def read(self, endpoint: int) -> Reading:
        return self._reading(endpoint, int(self._closed[endpoint]))

    def is_quiescent(self) -> bool:
        unknown = self._idle < 0  # all its requests came late, or count nothing
        return not self._closed.any() and bool((unknown | (self._idle > IDLE_S // self.window_s)).all())

    def snapshot(self, endpoint: int) -> Any:  # noqa: ANN401 -- plain data
        return self._normals[endpoint].snapshot(), int(self._idle[endpoint]), int(self._judged[endpoint])

    def restore(self, endpoint: int, state: msgspec.Raw | None, closed: int) -> None:
        for second, numbers in self.ring.of(endpoint, 0):
            self._leading[endpoint] += numbers[COUNT] * (second > self.ring.newest - self.window_s)
            self._closed[endpoint] += numbers[COUNT] * (closed - self.window_s < second <= closed)
        if state is not None:
            normal, idle, judged = msgspec.msgpack.decode(state, type=tuple[NormalState, int, int])
            if normal.step_s == self.window_s:  # another window counts other things: learn anew
                self._normals[endpoint] = LearnedNormal.restore(normal)
                self._idle[endpoint], self._judged[endpoint] = idle, judged

    def _row(self, second: int) -> Ints:
        row: Ints = self.ring.row(second, len(self._names))[COUNT]
        return row

    def _learn(self, endpoints: Ints, end_s: int, silent: Flags) -> None:
        """The step that ends with second `end_s`; an open episode does not teach."""
        counts = self._closed[endpoints].tolist()
        for endpoint, count, teach in zip(endpoints.tolist(), counts, silent.tolist(), strict=True):
            self._normals[endpoint].update(float(end_s), float(count), teach=teach)
        self._judged[endpoints] = end_s
        self._set_thresholds(endpoints)

    def _set_thresholds(self, endpoints: Ints) -> None:
        settings = [self._settings[endpoint] for endpoint in endpoints.tolist()]
        normals = [self._expected(endpoint) for endpoint in endpoints.tolist()]
        expected = np.array([normal.expected for normal in normals])
        highest = np.array([normal.high for normal in normals])
        ratio = np.array([own.ratio for own in settings])
        floor = np.array([own.min_rate for own in settings]) * self.window_s - 0.5  # at least so many, not more
        judged = np.array([normal.warm and own.enabled for normal, own in zip(normals, settings, strict=True)], bool)
        threshold = np.maximum.reduce([ratio * expected, highest, chance_limit(expected), floor])
        self._threshold[endpoints] = np.where(judged, threshold, NEVER)

    def _expected(self, endpoint: int) -> Judgement:
        return self._normals[endpoint].expect(float(self._judged.item(endpoint)))

    def _reading(self, endpoint: int, count: int) -> Reading:
        threshold = float(self._threshold[endpoint])
        settings = self._settings[endpoint]
        normal = self._expected(endpoint)

        def evidence() -> dict[str, Any]:
            rates = {"rate_rps": count, "normal_rps": normal.expected, "high_rps": normal.high}
            return {
                **{name: round(number / self.window_s, 6) for name, number in rates.items()},
                "min_rps": settings.min_rate,
                "ratio": round(count / normal.expected, 3) if normal.expected > 0 else None,
                "window_s": self.window_s,
                "requests": count,
            }

        return Reading(
            value=count / self.window_s,
            threshold=threshold / self.window_s,
            severity=Severity.CRITICAL if count > CRITICAL * threshold else Severity.ERROR,
            low=count <= settings.resolve_below * threshold,
            baseline=normal.expected / self.window_s,
            evidence=evidence,
        )


def chance_limit(mean: Floats) -> Floats:
    """What Poisson counts of these means exceed with probability 1e-9 at most (Bernstein's inequality).

    >>> chance_limit(np.array([0.1, 100.0])).round(1).tolist()
    [14.2, 171.7]
    """
    third = CHANCE / 3
    limit: Floats = mean + third + np.sqrt(third * third + 2 * CHANCE * mean)
    return limit
