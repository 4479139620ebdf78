"""The rule `request_surge` itself, through the fold of the endpoint stage: silent on clean traffic, quick in a surge.

Clean traffic is Poisson: of a constant rate, and of one that swings by 60 % over the day. An incident multiplies the
rate for 10 s to 10 min. When it crosses is known from the truth, not from what was learned: at the first request with
which the last ten seconds hold more than five times the true mean, and more than chance explains.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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
QUIET_S: Final = DAY_S
TRACE_DAYS: Final = 5
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
    requests: Ints


class Surge(NamedTuple):
    """`crossed_s`: when it did, by the truth; None: never."""

    start_s: float
    end_s: float
    crossed_s: float | None


def run(seed: int = 1, days: int = DAYS) -> list[Table]:
    say("request_surge: clean traffic, surges and real traffic ...")
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(_clean, seed, days), pool.submit(_surged, seed), pool.submit(_traces, seed)]
        return [part.result() for part in parts]


def opened(endpoint_arrivals: dict[str, Arrivals]) -> list[Finding]:
    """The episodes that the rule opens."""
    fold = RequestFold(defaults(SETTINGS), 0, [RequestSurge])
    names = list(endpoint_arrivals)
    number = np.concatenate([np.full(len(each.requests), i) for i, each in enumerate(endpoint_arrivals.values())])
    time_us = np.concatenate([each.time_us for each in endpoint_arrivals.values()])
    count = np.concatenate([each.requests for each in endpoint_arrivals.values()])
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
    """Endpoints in threes at each rate: one of a constant rate, two that swing."""
    swing, arrivals = _swing(days), {}
    for place, rps in enumerate(RATES_RPS):
        rng = np.random.default_rng([seed, place])
        for shape, factors in (("flat", np.ones(days * DAY_S)), ("daily", swing), ("nightly", swing[::-1])):
            arrivals[f"{rps:g}/{shape}"] = each_second(rps * factors, rng)
    found = [finding.subject.split("/")[0] for finding in opened(arrivals)]
    endpoint_days = 3 * days
    rows = []
    for rps in RATES_RPS:
        false = found.count(f"{rps:g}")
        rows.append((f"{rps:g} requests/s", endpoint_days, false, false * MONTH_S / (endpoint_days * DAY_S)))
    columns = (
        Column("clean traffic"),
        Column("endpoint-days"),
        Column("episodes"),
        Column("per endpoint-month", ".2f"),
    )
    return Table("request_surge on clean traffic", columns, rows)


def _swing(days: int) -> Floats:
    phase = 2 * np.pi * np.arange(days * DAY_S) / DAY_S
    swing: Floats = 1 + SWING * np.sin(phase - 2)
    return swing


def _surged(seed: int) -> Table:
    """All rates and factors side by side, an endpoint for each."""
    arrivals, surges = {}, {}
    for place, rps in enumerate(SURGE_RATES_RPS):
        for factor in FACTORS:
            name, rng = f"{rps:g}/{factor:g}", np.random.default_rng([seed, place, int(factor)])
            arrivals[name], surges[name] = _surges_at(rps, factor, rng)
    found = opened(arrivals)
    rows = []
    for factor in FACTORS:
        names = [f"{rps:g}/{factor:g}" for rps in SURGE_RATES_RPS]
        crossed = [(name, surge) for name in names for surge in surges[name] if surge.crossed_s is not None]
        delays = [delay for name, surge in crossed for delay in _delay(surge, name, found)]
        in_time = sum(delay <= IN_TIME_S for delay in delays)
        rows.append((
            f"{factor:g}x", sum(len(surges[name]) for name in names), len(crossed), len(delays) / len(crossed),
            in_time / len(crossed), float(np.quantile(delays, 0.5)), float(np.quantile(delays, 0.95)),
        ))  # fmt: skip
    columns = (
        *(Column("surge"), Column("number"), Column("crossed"), Column("found", ".3f")),
        *(Column("within 2 s", ".3f"), Column("delay p50, s", ".2f"), Column("p95, s", ".2f")),
    )
    rates = ", ".join(f"{rps:g}" for rps in SURGE_RATES_RPS)
    note = f"Of 10 s, 30 s, 2 min and 10 min, at {rates} requests/s. Delays are from the crossing, by the true rate."
    return Table("request_surge in surges", columns, rows, (note,))


def _delay(surge: Surge, name: str, found: Sequence[Finding]) -> list[float]:
    """From the crossing to the first episode of the surge, if there is one."""
    opened_s = [from_rfc3339(finding.opened_at) / US for finding in found if finding.subject == name]
    return [at - (surge.crossed_s or 0.0) for at in opened_s if surge.start_s <= at <= surge.end_s + WINDOW_S][:1]


def _surges_at(rps: float, factor: float, rng: np.random.Generator) -> tuple[Arrivals, list[Surge]]:
    """A day without, then a surge every hour."""
    lasting = [each for each in LASTING_S for _ in range(REPEATS)]
    pieces, surges = [each_second(np.full(QUIET_S, rps), rng)], []
    for place, lasts_s in enumerate(lasting):
        hour_s = START_S + QUIET_S + place * HOUR_S
        begins_s = hour_s + int(rng.integers(600, 1800))
        fine_s = begins_s - WINDOW_S  # from here on the truth is followed closely
        rates = np.full((WINDOW_S + lasts_s) * FINE, rps)
        rates[WINDOW_S * FINE :] *= factor
        pieces.append(each_second(np.full(fine_s - hour_s, rps), rng, hour_s))
        fine = _fine(rates, rng, fine_s)
        pieces += [fine, each_second(np.full(hour_s + HOUR_S - begins_s - lasts_s, rps), rng, begins_s + lasts_s)]
        surges.append(Surge(begins_s, begins_s + lasts_s, _crossing(fine, rps, begins_s)))
    return Arrivals(*(np.concatenate(column) for column in zip(*pieces, strict=True))), surges


def _fine(rates: Floats, rng: np.random.Generator, start_s: int) -> Arrivals:
    counts = rng.poisson(rates / FINE)
    places = np.flatnonzero(counts)
    return Arrivals(start_s * US + places * (US // FINE) + US // (2 * FINE), counts[places])


def _crossing(fine: Arrivals, rps: float, since_s: float) -> float | None:
    """The true one: of requests in whole seconds up to the newest, as the rule counts them."""
    settings, mean = Settings(), np.array([rps * WINDOW_S])
    limit = max(settings.ratio * mean[0], float(chance_limit(mean)[0]), settings.min_rate * WINDOW_S)
    total = np.concatenate([[0], np.cumsum(fine.requests)])
    second = fine.time_us // US
    first = np.searchsorted(second, second - (WINDOW_S - 1))
    inside = total[1:] - total[first]
    above = np.flatnonzero((inside > limit) & (fine.time_us >= since_s * US))
    return float(fine.time_us[above[0]] / US) if len(above) else None


def _traces(seed: int) -> Table:
    """What it finds in real rates, and in real requests with a surge put into them."""
    rows: list[tuple[str, float, int, str]] = []
    traffic = incidents.clients(datasets.servegen_rates())
    seconds = TRACE_DAYS * DAY_S
    rates = {name: np.repeat(each, incidents.STEP_S)[:seconds] for name, each in traffic.items()}
    rng = np.random.default_rng(seed)
    found = opened({name: each_second(each, rng) for name, each in rates.items()})
    rises = sum(_rose(finding, rates[finding.subject]) for finding in found)
    note = f"{rises} where the trace itself is above 3x the normal"
    rows.append((f"ServeGen, {len(rates)} clients, {TRACE_DAYS} days", len(rates) * seconds / HOUR_S, len(found), note))
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
    return bool(rates[max(0, at - WINDOW_S) : at + 1].max() > 3 * (finding.baseline or 0.0))


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
