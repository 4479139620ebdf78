"""The rule `request_surge` itself, through the fold of the endpoint stage: silent on clean traffic, quick in a surge.

Clean traffic is Poisson: of a constant rate, and of one that swings by 60 % over the day. An incident multiplies the rate
for 10 s to 10 min. When it crosses is known from the truth, not from what was learned: at the first request with which
the last ten seconds hold more than five times the true mean, and more than chance explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality import datasets, incidents
from benchmarks.quality.scoring import say
from benchmarks.table import Column, Table
from detectors import SETTINGS
from detectors.requests import RequestFold
from detectors.rules.request_surge import RequestSurge, Settings, chance_limit
from detectors.table import Floats, Ints
from schemas.events import Request
from schemas.outputs import Finding, Status
from schemas.units import US, from_rfc3339
from streams.configuration import defaults

START_S: Final = 1_795_996_800
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
MONTH_S: Final = 30 * DAY_S
RATES_RPS: Final = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
SURGE_RATES_RPS: Final = (1.0, 10.0, 100.0, 1000.0)
FACTORS: Final = (5.0, 6.0, 8.0, 10.0, 20.0)
LASTING_S: Final = (10, 30, 120, 600)
REPEATS: Final = 3
IN_TIME_S: Final = 2.0
FINE: Final = 20  # parts of a second in a surge
BATCH: Final = 20_000
WINDOW_S: Final = 10
DAYS: Final = 10
SWING: Final = 0.6


class Arrivals(NamedTuple):
    """How many requests came when, in order of time."""

    time_us: Ints
    count: Ints


class Surge(NamedTuple):
    """`crossed_s`: when it did, by the truth; None: never."""

    factor: float
    start_s: float
    end_s: float
    crossed_s: float | None


def run(seed: int = 1, days: int = DAYS) -> list[Table]:
    return [_clean(seed, days), _surged(seed), _traces(seed, days)]


def opened(endpoint_arrivals: dict[str, Arrivals]) -> list[Finding]:
    """The episodes that the rule opens."""
    fold = RequestFold(defaults(SETTINGS), 0, [RequestSurge])
    names = list(endpoint_arrivals)
    number = np.concatenate([np.full(len(each.count), i) for i, each in enumerate(endpoint_arrivals.values())])
    time_us = np.concatenate([each.time_us for each in endpoint_arrivals.values()])
    count = np.concatenate([each.count for each in endpoint_arrivals.values()])
    order = np.argsort(time_us, kind="stable")
    found = []
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        rows = zip(number[some].tolist(), time_us[some].tolist(), count[some].tolist(), strict=True)
        events = [Request(endpoint=names[i], time=at / US, count=requests) for i, at, requests in rows]
        found += [each for each in fold.apply(events, time_us[some]) if isinstance(each, Finding)]
    return [finding for finding in found if finding.status is Status.OPEN]


def each_second(rates: Floats, rng: np.random.Generator, start_s: int = START_S) -> Arrivals:
    """Requests of a Poisson process whose rate is given for each second, as one row a second."""
    counts = rng.poisson(rates)
    seconds = np.flatnonzero(counts)
    return Arrivals((start_s + seconds) * US + US // 2, counts[seconds])


def _clean(seed: int, days: int) -> Table:
    """An endpoint-month at each rate: three endpoints, ten days each."""
    rows = []
    for place, rps in enumerate(RATES_RPS):
        say(f"request_surge on clean traffic of {rps:g} requests/s ...")
        rng, swing = np.random.default_rng([seed, place]), _swing(days)
        endpoints = {
            "flat": each_second(np.full(days * DAY_S, rps), rng),
            "daily": each_second(rps * swing, rng),
            "also daily": each_second(rps * swing[::-1], rng),
        }
        false = len(opened(endpoints))
        rows.append((f"{rps:g} requests/s", false * MONTH_S / (len(endpoints) * days * DAY_S), false))
    columns = (Column("clean traffic"), Column("false episodes per endpoint-month", ".2f"), Column("episodes"))
    return Table(f"request_surge on clean traffic, {3 * days} endpoint-days at each rate", columns, rows)


def _swing(days: int) -> Floats:
    phase = 2 * np.pi * np.arange(days * DAY_S) / DAY_S
    swing: Floats = 1 + SWING * np.sin(phase - 2)
    return swing


def _surged(seed: int) -> Table:
    rows = []
    for factor in FACTORS:
        say(f"request_surge in surges of {factor:g}x ...")
        surges = [
            (surge, finding)
            for place, rps in enumerate(SURGE_RATES_RPS)
            for surge, finding in _surges_at(rps, factor, np.random.default_rng([seed, place, int(factor)]))
        ]
        crossed = [(surge, finding) for surge, finding in surges if surge.crossed_s is not None]
        delays = [from_rfc3339(f.opened_at) / US - (s.crossed_s or 0.0) for s, f in crossed if f is not None]
        in_time = sum(delay <= IN_TIME_S for delay in delays)
        rows.append((
            f"{factor:g}x", len(surges), len(crossed), len(delays) / max(1, len(crossed)),
            in_time / max(1, len(crossed)),
            float(np.quantile(delays, 0.5)), float(np.quantile(delays, 0.95)),
        ))  # fmt: skip
    columns = (
        *(Column("surge"), Column("number"), Column("crossed"), Column("found", ".3f")),
        *(Column("within 2 s", ".3f"), Column("delay p50, s", ".2f"), Column("p95, s", ".2f")),
    )
    rates = ", ".join(f"{rps:g}" for rps in SURGE_RATES_RPS)
    note = f"Of 10 s, 30 s, 2 min and 10 min, at {rates} requests/s. Delays are from the crossing, by the true rate."
    return Table("request_surge in surges", columns, rows, (note,))


def _surges_at(rps: float, factor: float, rng: np.random.Generator) -> Iterator[tuple[Surge, Finding | None]]:
    """A day without, then a surge every hour."""
    lasting = [each for each in LASTING_S for _ in range(REPEATS)]
    pieces, surges = [each_second(np.full(DAY_S, rps), rng)], []
    for place, lasts_s in enumerate(lasting):
        hour_s = START_S + DAY_S + place * HOUR_S
        begins_s = hour_s + int(rng.integers(600, 1800))
        # from ten seconds before the surge to its end finely
        fine_s = begins_s - WINDOW_S
        rates = np.full((WINDOW_S + lasts_s) * FINE, rps)
        rates[WINDOW_S * FINE :] *= factor
        pieces.append(each_second(np.full(fine_s - hour_s, rps), rng, hour_s))
        fine = _fine(rates, rng, fine_s)
        pieces += [fine, each_second(np.full(hour_s + HOUR_S - begins_s - lasts_s, rps), rng, begins_s + lasts_s)]
        surges.append(Surge(factor, begins_s, begins_s + lasts_s, _crossing(fine, rps, begins_s)))
    arrivals = Arrivals(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    found = [(from_rfc3339(finding.opened_at) / US, finding) for finding in opened({"surged": arrivals})]
    for surge in surges:
        within = (f for at, f in found if surge.start_s <= at <= surge.end_s + WINDOW_S)
        yield surge, next(within, None)


def _fine(rates: Floats, rng: np.random.Generator, start_s: int) -> Arrivals:
    counts = rng.poisson(rates / FINE)
    places = np.flatnonzero(counts)
    return Arrivals(start_s * US + places * (US // FINE) + US // (2 * FINE), counts[places])


def _crossing(fine: Arrivals, rps: float, since_s: float) -> float | None:
    """The true one: of requests in whole seconds up to the newest, as the rule counts them."""
    settings, mean = Settings(), np.array([rps * WINDOW_S])
    limit = max(settings.ratio * mean[0], float(chance_limit(mean)[0]), settings.min_rate * WINDOW_S)
    total = np.concatenate([[0], np.cumsum(fine.count)])
    second = fine.time_us // US
    first = np.searchsorted(second, second - (WINDOW_S - 1))
    inside = total[1:] - total[first]
    above = np.flatnonzero((inside > limit) & (fine.time_us >= since_s * US))
    return float(fine.time_us[above[0]] / US) if len(above) else None


def _traces(seed: int, days: int) -> Table:
    """What it finds in real rates, and in real requests with a surge put into them."""
    say("request_surge on ServeGen and Azure ...")
    rows: list[tuple[str, float, int, str]] = []
    traffic = incidents.clients(datasets.servegen_rates())
    some = dict(list(traffic.items())[::3])
    rates = {name: np.repeat(rates, incidents.STEP_S)[: days * DAY_S] for name, rates in some.items()}
    rng = np.random.default_rng(seed)
    found = opened({name: each_second(each, rng) for name, each in rates.items()})
    rises = sum(_rose(finding, rates[finding.subject]) for finding in found)
    note = f"{rises} where the rate in the trace itself is above 3x the normal"
    rows.append((f"ServeGen, {len(rates)} clients, {days} days", len(rates) * days * DAY_S / HOUR_S, len(found), note))
    hour = {f"azure/{kind}": _arrivals(times) for kind, times in datasets.azure_requests().items()}
    rows.append(("Azure, 2 services, as it is", 2.0, len(opened(hour)), "none is a surge"))
    moments = hour["azure/conv"]
    hits, late = _azure_surges(moments)
    total = len(AZURE_AT_S) * len(AZURE_FACTORS)
    rows.append((f"Azure conv, {total} surges of 6x to 20x", float(total), hits, f"{late} of them later than 2 s"))
    columns = (Column("requests of"), Column("endpoint-hours", ",.0f"), Column("episodes"), Column("what they are"))
    return Table("request_surge on real traffic", columns, rows)


AZURE_AT_S: Final = (700, 1150, 1600, 2050, 2500, 2950)
AZURE_FACTORS: Final = (6, 8, 12, 20)
AZURE_SURGE_S: Final = 30


def _rose(finding: Finding, rates: Floats) -> bool:
    at = int(from_rfc3339(finding.opened_at) / US) - START_S
    return bool(rates[max(0, at - WINDOW_S) : at + 1].max() > 3 * (finding.baseline or 0.0))  # noqa: PLR2004 -- see the note


def _arrivals(times: Iterable[float]) -> Arrivals:
    time_us = (np.sort(np.fromiter(times, dtype=np.float64)) * US).astype(np.int64)
    return Arrivals(time_us, np.ones(len(time_us), dtype=np.int64))


def _azure_surges(hour: Arrivals) -> tuple[int, int]:
    """How many are found while they last, and how many of these more than two seconds after the true crossing."""
    hits = late = 0
    start_us = int(hour.time_us[0])
    for at_s in AZURE_AT_S:
        for factor in AZURE_FACTORS:
            first, last = start_us + at_s * US, start_us + (at_s + AZURE_SURGE_S) * US
            inside = hour.time_us[(hour.time_us >= first) & (hour.time_us < last)]
            copies = np.random.default_rng([at_s, factor]).integers(first, last, (factor - 1) * len(inside))
            times = np.sort(np.concatenate([hour.time_us, copies]))
            found = [from_rfc3339(f.opened_at) for f in opened({"conv": Arrivals(times, np.ones_like(times))})]
            seen = [at for at in found if first <= at <= last + WINDOW_S * US]
            before = times[(times >= first - 600 * US) & (times < first)]
            crossed = _crossing(Arrivals(times, np.ones_like(times)), len(before) / 600, first / US)
            hits += bool(seen)
            late += bool(seen and crossed is not None and seen[0] / US - crossed > IN_TIME_S)
    return hits, late
