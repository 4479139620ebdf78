"""The fleet in motion: it advances in fixed steps of event time, and has the replicas that whoever runs it says.

Each step draws the same number of random values in the same order, so a span gives the same events however
finely it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.topics import BILLING, REQUESTS, SCALING
from schemas.units import HOUR_US, US
from streams.simulator.meter import Credit, Meter
from streams.simulator.profiles import Profile, draw_profiles

CLIMB_PER_S: Final = 15.0  # replicas that become ready, or go, in a second: a pool of warm machines
OK: Final = 200
FAILED: Final = 500
PAUSED: Final = 400  # as Hugging Face answers for an endpoint that was paused, ...
ASLEEP: Final = 503  # ... and for one that scaled to zero
NO_LIMIT: Final = np.inf
DURATION_S: Final = 0.12  # median time of an answer
DURATION_SIGMA: Final = 0.3
REFUSED_S: Final = 0.001  # time of a refusal
INPUT_TOKENS: Final = 180  # a request's mean
OUTPUT_TOKENS: Final = 90
_DAY_US: Final = 24 * HOUR_US
# not orjson: a result of its that is kept costs twenty times one that is dropped, and a log is kept
_encode = msgspec.json.Encoder().encode


class Cadence(NamedTuple):
    """How often the fleet reports: gateways add up over `step_us`, collectors poll every `report_us`."""

    step_us: int
    report_us: int


BACKFILL: Final = Cadence(step_us=US, report_us=15 * US)
LIVE: Final = Cadence(step_us=US // 10, report_us=5 * US)


class Emitted(NamedTuple):
    """One record for a topic; `time_us` is the event's own time."""

    time_us: int
    topic: str
    key: bytes
    value: bytes


class Replicas(NamedTuple):
    """How many replicas an endpoint has, in the words of whoever runs it. `most` 0: it was paused."""

    ready: int
    target: int
    most: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to see of one endpoint now. Rates are requests a second, over about the last second."""

    rps: float
    normal_rps: float
    ready: int
    target: int
    usd_per_hour: float
    capped: bool


class Fleet:
    """Endpoints that answer requests, scale and cost money.

    `start_us` is the event time at which the first step begins, in microseconds since the epoch.
    """

    def __init__(self, profiles: Sequence[Profile], seed: int, start_us: int) -> None:
        self.profiles = tuple(profiles)
        self.now_us = start_us
        self._rng = np.random.default_rng([seed, 2])
        self._index = {profile.name: i for i, profile in enumerate(self.profiles)}
        self._keys = [profile.name.encode() for profile in self.profiles]
        self._rps = self._column("normal_rps")
        self._replicas = self._column("replicas")
        self._swing = self._column("swing")
        self._peak_us = self._column("peak_hour") * HOUR_US
        size = len(self.profiles)
        self._load = np.ones(size)
        self._slowness = np.ones(size)  # times the usual duration
        self._failing = np.zeros(size)  # share of what is served
        self._queue = np.zeros(size, dtype=np.int64)
        self._wanted = np.full(size, np.nan)
        self._cap = np.full(size, NO_LIMIT)
        self._target = self._desired()
        self._ready = self._target.copy()
        self._hosted = np.full((size, 2), np.nan)  # ready and target, of those that somebody else runs
        self._stagger = self._rng.random(size)
        self._reported: NDArray[np.float64] = np.full((size, 3), np.nan)  # ready, target, next report in us
        self._seen_rps = self._normal_rps()
        self.meter = Meter(self.profiles)

    def advance(self, until_us: int, cadence: Cadence = LIVE) -> Iterator[Emitted]:
        """The events of all whole steps up to `until_us`, in the order of their times."""
        while self.now_us + cadence.step_us <= until_us:
            yield from self._step(cadence)

    def load(self, endpoint: str, factor: float) -> None:
        """From the next step on `factor` times the normal number of requests arrive."""
        self._load[self._index[endpoint]] = factor

    def slow_down(self, endpoint: str, factor: float, queue_depth: int = 0) -> None:
        """From the next step on an answer takes `factor` times as long as usual, and so many wait for theirs."""
        self._slowness[self._index[endpoint]] = factor
        self._queue[self._index[endpoint]] = queue_depth

    def fail(self, endpoint: str, share: float) -> None:
        """From the next step on this share of the requests is answered with status 500."""
        self._failing[self._index[endpoint]] = share

    def want(self, endpoint: str, replicas: int | None) -> None:
        """The autoscaler insists on so many replicas from the next step on; None: as many as usual."""
        self._wanted[self._index[endpoint]] = np.nan if replicas is None else replicas

    def wish(self, endpoint: str) -> int:
        """How many replicas the autoscaler would like now, whatever it may have."""
        return int(self._wishes()[self._index[endpoint]])

    def follow(self, endpoint: str, replicas: Replicas) -> None:
        """From the next step on the endpoint has these replicas, and no way of its own: somebody else runs it."""
        index = self._index[endpoint]
        self._hosted[index] = replicas.ready, replicas.target
        self._cap[index] = replicas.most

    def bill(self, endpoint: str, start_us: int, end_us: int, share: float = 1.0) -> Emitted:
        """The provider's bill for a period: `share` of what replicas x price makes of it."""
        estimate_usd = self.meter.cost_usd(endpoint, start_us, end_us)
        cost_usd = round(share * estimate_usd, 6)
        self.meter.credit(Credit(endpoint, start_us, end_us, estimate_usd - cost_usd))
        return self.line(endpoint, (start_us, end_us), cost_usd, f"{endpoint}/{start_us}")

    def line(self, endpoint: str, period_us: tuple[int, int], cost_usd: float, line_id: str) -> Emitted:
        """A line of a bill, as the provider has it; a credit is negative."""
        start_us, end_us = period_us
        line = {
            "endpoint": endpoint,
            "period_start": start_us / US,
            "period_end": end_us / US,
            "cost_usd": cost_usd,
            "region": self.profiles[self._index[endpoint]].region,
            "provider": "aws",
            "line_id": line_id,
        }
        return Emitted(start_us, BILLING, endpoint.encode(), _encode(line))

    def reading(self, endpoint: str) -> Reading:
        """What a dashboard would show of an endpoint at this moment."""
        i = self._index[endpoint]
        ready = int(self._ready[i])
        return Reading(
            rps=float(self._seen_rps[i]),
            normal_rps=float(self._normal_rps()[i]),
            ready=ready,
            target=int(self._target[i]),
            usd_per_hour=ready * self.profiles[i].price_usd_per_hour,
            capped=self._is_capped(i),
        )

    def _is_capped(self, index: int) -> bool:
        """Whoever runs an endpoint always has some maximum: it is a cap where more are wanted."""
        is_hosted = not np.isnan(self._hosted[index, 0])
        return bool(self._cap[index] < (self._wishes()[index] if is_hosted else NO_LIMIT))

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(profile, name) for profile in self.profiles], dtype=np.float64)

    def _shape(self) -> NDArray[np.float64]:
        """How the time of day scales each endpoint, around 1."""
        angle = 2 * np.pi * (self.now_us % _DAY_US - self._peak_us) / _DAY_US
        return np.asarray(1 + self._swing * np.cos(angle))

    def _normal_rps(self) -> NDArray[np.float64]:
        return np.multiply(self._rps, self._shape())

    def _wishes(self) -> NDArray[np.float64]:
        usual = np.maximum(1, np.rint(self._replicas * self._shape()))
        return np.where(np.isnan(self._wanted), usual, self._wanted)

    def _desired(self) -> NDArray[np.float64]:
        return np.asarray(np.minimum(self._wishes(), self._cap))

    def _step(self, cadence: Cadence) -> list[Emitted]:
        scaled = self._scale(cadence)
        events = [*scaled, *self._serve(cadence)]
        events.sort(key=itemgetter(0))
        self.now_us += cadence.step_us
        return events

    def _scale(self, cadence: Cadence) -> list[Emitted]:
        """Replicas move towards their target; who moved reports, and so does whose turn has come."""
        reach = CLIMB_PER_S * cadence.step_us / US
        self._target = self._desired()
        self._ready += np.clip(self._target - self._ready, -reach, reach)
        hosted = ~np.isnan(self._hosted[:, 0])
        self._ready[hosted], self._target[hosted] = self._hosted[hosted].T
        now = np.column_stack((np.floor(self._ready), self._target))
        changed = (now != self._reported[:, :2]).any(axis=1)
        due = ~(self._reported[:, 2] > self.now_us)
        reporting = np.flatnonzero(changed | due)
        first = np.isnan(self._reported[:, 2])
        phase_us = np.where(first, self._stagger, 1.0) * cadence.report_us
        self._reported[reporting, :2] = now[reporting]
        self._reported[reporting, 2] = self.now_us + phase_us[reporting]
        return [self._scaling(i, cadence) for i in reporting.tolist()]

    def _scaling(self, i: int, cadence: Cadence) -> Emitted:
        profile = self.profiles[i]
        time_us = self.now_us + int(self._stagger[i] * cadence.step_us)
        ready, target = int(self._ready[i]), int(self._target[i])
        self.meter.note(profile.name, time_us, ready)
        event = {
            "endpoint": profile.name,
            "time": time_us / US,
            "ready_replicas": ready,
            "target_replicas": target,
            "min_replicas": profile.min_replicas,
            "max_replicas": _whole(self._cap[i]),
            "state": _state(ready, target, self._cap[i]),
            "region": profile.region,
            "instance": profile.instance,
        }
        return Emitted(time_us, SCALING, self._keys[i], _encode(event))

    def _serve(self, cadence: Cadence) -> Iterator[Emitted]:
        """The step's requests; what finds nobody is reported too, so the offered rate stays visible."""
        seconds = cadence.step_us / US
        offered = self._rng.poisson(self._normal_rps() * self._load * seconds)
        durations = self._slowness * self._rng.lognormal(np.log(DURATION_S), DURATION_SIGMA, len(offered))
        offsets = self._rng.integers(cadence.step_us, size=(2, len(offered)))
        served = np.where(self._target == 0, 0, offered)
        refused = np.where(self._cap == 0, PAUSED, ASLEEP)
        failed = self._rng.binomial(served, self._failing)
        self._remember(offered / seconds, seconds)
        yield from self._requests(served - failed, np.full_like(served, OK), offsets[0], durations)
        yield from self._requests(failed, np.full_like(served, FAILED), offsets[0], durations)
        yield from self._requests(offered - served, refused, offsets[1], np.full(len(offered), REFUSED_S))

    def _remember(self, rps: NDArray[np.float64], seconds: float) -> None:
        weight = min(1.0, seconds)
        self._seen_rps += weight * (rps - self._seen_rps)

    def _requests(
        self,
        counts: NDArray[np.int64],
        status: NDArray[np.int64],
        offsets: NDArray[np.int64],
        durations: NDArray[np.float64],
    ) -> Iterator[Emitted]:
        """A row for each endpoint that has any; `offsets` are microseconds into the step."""
        rows = np.flatnonzero(counts)
        times_us, waiting = self.now_us + offsets[rows], self._queue[rows]
        columns = (rows, counts[rows], status[rows], times_us, durations[rows].round(4), waiting)
        for i, count, code, time_us, duration_s, queue_depth in zip(*(c.tolist() for c in columns), strict=True):
            event = {
                "endpoint": self.profiles[i].name,
                "time": time_us / US,
                "count": count,
                "status": code,
                "duration_s": duration_s,
                "queue_depth": queue_depth,
                "region": self.profiles[i].region,
                "input_tokens": INPUT_TOKENS * count,
                "output_tokens": OUTPUT_TOKENS * count if code == OK else 0,
            }
            yield Emitted(time_us, REQUESTS, self._keys[i], _encode(event))


def simulate(seed: int, endpoints: int, seconds: int, start_us: int = 1_800_000_000 * US) -> list[Emitted]:
    """The log of an uneventful fleet, in the order of the events' times.

    Each endpoint has at most one row of requests a second, whose `count` is what arrived within it, and a
    scaling event every 15 seconds.
    """
    fleet = Fleet(draw_profiles(seed, endpoints), seed, start_us)
    return list(fleet.advance(start_us + seconds * US, BACKFILL))


def _whole(cap: float) -> int | None:
    return int(cap) if np.isfinite(cap) else None


def _state(ready: int, target: int, cap: float) -> str:
    """In Hugging Face's words: who was shut down is paused, who went to sleep by itself is scaled to zero."""
    if target == 0:
        return "paused" if cap == 0 else "scaledToZero"
    if ready == 0:
        return "initializing"
    return "running" if ready >= target else "updating"
