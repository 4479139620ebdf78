"""Incidents put into clean traffic, seeded: surges, ramps, drops, silence, new levels, and a quiet day made busy.

The traffic is ServeGen's: the rate of a client at every ten minutes of two weeks, from which counts for each minute are
drawn (Poisson, of a rate that itself varies by a tenth from minute to minute). Each kind of incident comes into a copy
of its own, one every other day from the fourth on, where there is enough traffic for it to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality.series import Series
from detectors.table import Floats

DAY_S: Final = 86_400
STEP_S: Final = 60
RATE_STEP_S: Final = 600
DAY: Final = DAY_S // STEP_S  # steps
QUIET_DAYS: Final = 3  # before the first incident
JITTER: Final = 0.1  # of the rate, from minute to minute
START_S: Final = 1_795_996_800  # a Monday, 00:00 UTC
LEAST_RPS: Final = 0.5  # where an incident begins: 30 requests a minute, so that their absence is no chance
IDLE_SHARE: Final = 0.1  # of the time, at most
CLIENTS: Final = 12

Change = Callable[[Floats, int, np.random.Generator], int]
"""Put an incident into the rates, at a step; returns how many steps it lasts."""


class Kind(NamedTuple):
    """A kind of incident. `whole_days`: it begins at midnight, on the quietest day."""

    name: str
    change: Change
    whole_days: bool = False


def _times(factors: tuple[float, ...], lasting: tuple[int, ...]) -> Change:
    def change(rates: Floats, start: int, rng: np.random.Generator) -> int:
        steps = int(rng.choice(lasting))
        rates[start : start + steps] *= rng.choice(factors)
        return steps

    return change


def _ramp(rates: Floats, start: int, rng: np.random.Generator) -> int:
    """Up to 5x to 10x within half an hour, and ten minutes of that."""
    factors = np.minimum(np.arange(1, 41) / 30, 1) * (rng.uniform(5, 10) - 1) + 1
    rates[start : start + len(factors)] *= factors
    return len(factors)


def _busiest_day(rates: Floats, start: int, _: np.random.Generator) -> int:
    days = rates.reshape(-1, DAY)
    days[start // DAY] = days[int(np.argmax(days.sum(axis=1)))]
    return DAY


KINDS: Final = (
    Kind("surge 5x-20x, 1-10 min", _times((5.0, 10.0, 20.0), (1, 3, 10))),
    Kind("surge 2x-3x, 10 min", _times((2.0, 3.0), (10,))),
    Kind("ramp to 5x-10x in 30 min", _ramp),
    Kind("drop to 0.1x-0.33x, 30 min", _times((0.1, 0.2, 0.33), (30,))),
    Kind("silence, 30 min", _times((0.0,), (30,))),
    Kind("new level 2x-4x, a day", _times((2.0, 3.0, 4.0), (DAY,))),
    Kind("quiet day made the busiest", _busiest_day, whole_days=True),
)


def clients(rates: dict[str, Floats]) -> dict[str, Floats]:
    """Requests a second for each step, of clients that are seldom idle, from the busiest to the sparsest."""
    usable = {
        name: each
        for name, each in rates.items()
        if len(each) * RATE_STEP_S >= 14 * DAY_S and np.median(each) >= LEAST_RPS and (each == 0).mean() < IDLE_SHARE
    }
    chosen = list(usable)[:: max(1, len(usable) // CLIENTS)][:CLIENTS]
    return {name: _each_step(usable[name]) for name in chosen}


def _each_step(rates: Floats) -> Floats:
    """Linear between the centres of the ten minutes, over whole days."""
    centres = (np.arange(len(rates)) + 0.5) * RATE_STEP_S
    steps = len(rates) * RATE_STEP_S // DAY_S * DAY
    between: Floats = np.interp((np.arange(steps) + 0.5) * STEP_S, centres, rates)
    return between


def clean(traffic: dict[str, Floats], seed: int) -> Iterator[Series]:
    """Nothing happens."""
    for number, (name, rates) in enumerate(traffic.items()):
        yield _series(name, rates, [], np.random.default_rng([seed, number]))


def injected(traffic: dict[str, Floats], kind: Kind, seed: int) -> Iterator[Series]:
    """Where the incident is, is labelled."""
    place = KINDS.index(kind) + 1
    for number, (name, rates) in enumerate(traffic.items()):
        rng = np.random.default_rng([seed, number, place])
        changed = rates.copy()
        starts = _midnight(rates) if kind.whole_days else _moments(rates, rng)
        spans = [(start, kind.change(changed, start, rng)) for start in starts]
        yield _series(f"{name}, {kind.name}", changed, spans, rng)


def _midnight(rates: Floats) -> list[int]:
    days = rates.reshape(-1, DAY).sum(axis=1)
    return [(QUIET_DAYS + int(np.argmin(days[QUIET_DAYS:]))) * DAY]


def _moments(rates: Floats, rng: np.random.Generator) -> list[int]:
    found = []
    for day in range(QUIET_DAYS, len(rates) // DAY - 1, 2):
        busy = np.flatnonzero(rates[day * DAY : (day + 1) * DAY] >= LEAST_RPS)
        if len(busy):
            found.append(day * DAY + int(rng.choice(busy)))
    return found


def _series(name: str, rates: Floats, spans: list[tuple[int, int]], rng: np.random.Generator) -> Series:
    means = rates * STEP_S * rng.gamma(1 / JITTER**2, JITTER**2, len(rates))
    labels = np.zeros(len(rates), dtype=np.bool_)
    for start, steps in spans:
        labels[start : start + steps] = True
    times = START_S + STEP_S * np.arange(1.0, len(rates) + 1)
    return Series(name, float(STEP_S), times, rng.poisson(means).astype(np.float64), labels)
