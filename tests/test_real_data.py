"""Real input: what is found in it is what a person who looks at the plot would call a surge, and money adds up."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from math import gamma
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from detectors import SETTINGS
from schemas.config import Budget, Config
from schemas.outputs import Finding, Rollup, Status
from schemas.units import US, from_rfc3339
from streams import configuration
from streams.core_stage import encode
from streams.lines import Line
from streams.replay import Replay
from streams.stages import BillingStage, BudgetStage, RequestStage

Unpack = Callable[[str], Path]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIG: Final = configuration.defaults(SETTINGS)
SURGE_S: Final = 30
WINDOW_S: Final = 10
RATIO: Final = 5  # the rule's own default
EPOCH_S: Final = 1_800_000_000 // 86_400 * 86_400
DAY_S: Final = 86_400
TRACE_STEP_S: Final = 600
LOGGED_MS: Final = (EPOCH_S + 400 * DAY_S) * 1000  # files are read long after what they tell of


# -- Azure: one hour of requests to two services ------------------------------------------------------------------


class Hour(NamedTuple):
    """Times of the requests of each service, and when the first one came."""

    times: dict[str, Floats]
    start_s: float


@pytest.fixture(scope="module")
def hour(unpack: Unpack) -> Hour:
    folder = unpack("azure_llm_2023") / "azure_llm_2023"
    times = {name: _read_times(folder / f"AzureLLMInferenceTrace_{name}.csv") for name in ("conv", "code")}
    return Hour(times, min(float(moments[0]) for moments in times.values()))


def _read_times(file: Path) -> Floats:
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines)
        # seven digits of a second, more than datetime takes; the zone is not written, and is UTC
        return np.array([datetime.fromisoformat(row["TIMESTAMP"][:26] + "+00:00").timestamp() for row in rows])


def _replayed(times: dict[str, Floats], folder: Path) -> list[Finding]:
    """What `tidegate replay` finds in a CSV file of these requests."""
    rows = sorted((time, name) for name, moments in times.items() for time in moments.tolist())
    file = folder / "requests.csv"
    file.write_text("endpoint,time\n" + "".join(f"azure/{name},{time:.6f}\n" for time, name in rows))
    bad: list[tuple[str, int, str]] = []
    values = list(Replay(CONFIG, {"inference.requests.v1": str(file)}, lambda *line: bad.append(line)).run())
    assert bad == []
    return [value for value in values if isinstance(value, Finding)]


def _surged(hour: Hour, service: str, at_s: int) -> tuple[Hour, Floats]:
    """The hour with eight times the requests of the service for 30 s from `at_s` on, and the service's times."""
    start_s = hour.start_s + at_s
    real = hour.times[service]
    inside = int(((real >= start_s) & (real < start_s + SURGE_S)).sum())
    more = np.random.default_rng(at_s).uniform(start_s, start_s + SURGE_S, 7 * inside)
    mixed = np.sort(np.concatenate((real, more)))
    return Hour({**hour.times, service: mixed}, hour.start_s), mixed


def _first_above(times: Floats, limit: float, since_s: float) -> float:
    """When the number of requests in the 10 s before first exceeds the limit, request by request."""
    count = np.arange(len(times)) - np.searchsorted(times, times - WINDOW_S, side="right") + 1
    above = np.flatnonzero((count > limit) & (times >= since_s))
    return float(times[above[0]])


def _opened(findings: Sequence[Finding], service: str) -> Finding:
    (opened,) = [f for f in findings if f.status is Status.OPEN]
    assert opened.subject == f"azure/{service}"
    return opened


def test_an_ordinary_hour_of_two_llm_services_is_no_surge(hour: Hour, tmp_path: Path) -> None:
    """Nothing is found in the clean hour, though one of the services comes in bursts of 16 times its mean."""
    assert _replayed(hour.times, tmp_path) == []


@pytest.mark.parametrize("at_s", [700, 1150, 1600, 2050, 2500, 2950, 3250])
def test_a_surge_of_a_steady_service_is_found_within_two_seconds(hour: Hour, at_s: int, tmp_path: Path) -> None:
    """An eightfold 30 s opens one episode, within 2 s of event time after the count first exceeds 5x the normal."""
    surged, times = _surged(hour, "conv", at_s)
    opened = _opened(_replayed(surged.times, tmp_path), "conv")
    assert opened.baseline is not None
    crossed_s = _first_above(times, RATIO * opened.baseline * WINDOW_S, hour.start_s + at_s)
    assert -1 / US <= from_rfc3339(opened.opened_at) / US - crossed_s <= 2


# The code service sends nothing in half of all 10 s windows and up to 411 requests in others, 16 times its mean of
# 26: eightfold silence is silence, and eight times its mean is what it does by itself several times an hour. So the
# surge is put on stretches of at least 230 requests in 30 s, once the normal is warm (ten minutes): there it is one.
@pytest.mark.parametrize("at_s", [915, 1260, 1500, 2040, 2250, 2640])
def test_a_surge_of_a_bursty_service_is_found_where_it_exceeds_its_own_bursts(
    hour: Hour, at_s: int, tmp_path: Path
) -> None:
    """Eight times a busy 30 s opens one episode, within 2 s of the count passing what its own bursts allow."""
    surged, times = _surged(hour, "code", at_s)
    opened = _opened(_replayed(surged.times, tmp_path), "code")
    assert opened.baseline is not None
    assert opened.threshold >= RATIO * opened.baseline
    crossed_s = _first_above(times, opened.threshold * WINDOW_S, hour.start_s + at_s)
    assert -1 / US <= from_rfc3339(opened.opened_at) / US - crossed_s <= 2


# -- ServeGen: the rates of two models' clients, day by day -------------------------------------------------------


class Window(NamedTuple):
    """What the trace says of 600 s of one client: its rate, and the shape of the time between two requests."""

    start_s: int
    rate_rps: float
    distribution: str
    shape: float


class Judged(NamedTuple):
    """An episode that was opened, and whether the client's own rate rose, or chance alone heaped its requests."""

    finding: Finding
    is_rise: bool


def _windows(file: Path) -> list[Window]:
    with file.open(newline="") as lines:
        rows = [Window(int(float(r[0])), float(r[1]), r[3], float(r[4] or 0)) for r in csv.reader(lines)]
    return [row for row in rows if row.start_s < DAY_S]


def _drawn(window: Window, rng: np.random.Generator) -> Ints:
    """Requests in each second of the window: a renewal process of the trace's rate and shape."""
    size = int(window.rate_rps * TRACE_STEP_S * 1.5) + 200
    total = np.zeros(0)
    while not len(total) or total[-1] < TRACE_STEP_S:
        if window.distribution == "Gamma":
            gaps = rng.gamma(window.shape, 1 / window.shape, size)
        else:
            gaps = rng.weibull(window.shape, size) / gamma(1 + 1 / window.shape)
        last = total[-1] if len(total) else 0.0
        total = np.concatenate((total, last + np.cumsum(gaps) / window.rate_rps))
    return np.bincount(total[total < TRACE_STEP_S].astype(np.int64), minlength=TRACE_STEP_S)


def _day(windows: Sequence[Window], rng: np.random.Generator) -> Ints:
    counts = np.zeros(DAY_S, dtype=np.int64)
    for window in windows:
        if window.rate_rps > 0:
            counts[window.start_s : window.start_s + TRACE_STEP_S] = _drawn(window, rng)
    return counts


def _found(names: Sequence[str], counts: Ints) -> list[Finding]:
    """What the endpoint stage finds in counts of requests ([second, client]), a row for each that is not zero."""
    stage = RequestStage(CONFIG, 0, keyed=False)
    found: list[Finding] = []
    for start in range(0, DAY_S, 120):
        second, client = (axis.tolist() for axis in np.nonzero(counts[start : start + 120]))
        number = counts[start : start + 120][second, client].tolist()
        lines = [
            Line(
                i,
                LOGGED_MS,
                b'{"endpoint":"%s","time":%d.5,"count":%d}' % (names[c].encode(), EPOCH_S + start + s, n),
            )
            for i, (s, c, n) in enumerate(zip(second, client, number, strict=True))
        ]
        found += [value for value in stage.fold(lines).values if isinstance(value, Finding)]
    return found


def judged_day(folder: Path, every: int = 1) -> list[Judged]:
    """All episodes of one day of every n-th client of a model. A rise is a rate in the trace of 3x the normal."""
    files = sorted(folder.glob("*.csv"), key=lambda file: int(file.stem.split("-")[1]))[::every]
    clients = {f"{folder.name}/{file.stem}": _windows(file) for file in files}
    rng = np.random.default_rng(len(files))
    counts = np.stack([_day(windows, rng) for windows in clients.values()], axis=1)
    opened = [f for f in _found(list(clients), counts) if f.status is Status.OPEN]
    return [Judged(finding, _is_rise(finding, clients[finding.subject])) for finding in opened]


def _is_rise(finding: Finding, windows: Sequence[Window]) -> bool:
    at_s = from_rfc3339(finding.opened_at) // US - EPOCH_S
    now = {w.start_s: w.rate_rps for w in windows}[at_s // TRACE_STEP_S * TRACE_STEP_S]
    return now > 3 * (finding.baseline or 0.0)


def _told(judged: Sequence[Judged]) -> str:
    return "\n".join(
        f"{f.subject} {f.opened_at} {f.value} rps, normal {f.baseline} rps, rise: {rise}" for f, rise in judged
    )


@pytest.mark.parametrize(
    ("model", "every", "most", "most_by_chance"),
    [("reason/deepseek-r1", 1, 45, 8), ("language/m-mid", 8, 30, 4)],
)
def test_what_is_found_in_a_day_of_real_clients_are_rises_of_their_own_rates(
    unpack: Unpack, model: str, every: int, most: int, most_by_chance: int
) -> None:
    """Clients that start and stop do surge; where the rate stands, a bursty process may raise a few in a day."""
    judged = judged_day(unpack("servegen_requests") / "alibaba_servegen" / "data" / model, every)
    by_chance = [one for one in judged if not one.is_rise]
    assert len(judged) <= most, _told(judged)
    assert len(by_chance) <= most_by_chance, _told(by_chance)


# -- optscale: the hourly cost lines of a GCP account ---------------------------------------------------------------


@pytest.fixture(scope="module")
def cost_lines(unpack: Unpack) -> list[dict[str, str]]:
    with (unpack("optscale_billing") / "optscale_livedemo" / "gcp_hourly_expenses.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def _resource(row: dict[str, str]) -> str:
    """Most lines name no resource: then what was used is the resource."""
    return f"gcp/{row['resource_id'] or row['sku']}"


def _billing_event(row: dict[str, str]) -> bytes:
    event: dict[str, Any] = {
        "endpoint": _resource(row),
        "cost_usd": float(row["cost"]),
        "region": row["region"] or None,
    }
    event |= {"period_start": EPOCH_S + int(row["start_s"]), "period_end": EPOCH_S + int(row["end_s"])}
    return json.dumps(event).encode()


def _budgeted() -> Config:
    return structs.replace(CONFIG, budgets={"gcp": Budget(daily_usd=24.0, endpoints=("gcp/*",))}, version="gcp")


class Billed(NamedTuple):
    """What the budget's ledger made of each hour, and what was found."""

    nano: dict[int, int]
    findings: list[Finding]


def _billed(rows: Sequence[dict[str, str]]) -> Billed:
    """The lines as billing events, in the file's order, through the two stages; the ledger is read hour by hour."""
    config = _budgeted()
    billing, budgets = BillingStage(config, 0, keyed=False), BudgetStage(config, 0)
    ledger_of = budgets._fold._budgets
    billed = Billed({}, [])
    numbers = iter(range(len(rows)))
    for start_s, group in groupby(rows, key=lambda row: int(row["start_s"])):
        records = [Line(next(numbers), LOGGED_MS, _billing_event(row)) for row in group]
        values, counts = billing.fold(records)
        assert counts == {("events", "accepted"): len(records)}
        rollups = [
            Line(line.offset, LOGGED_MS, encode(v))
            for line, v in zip(records, values, strict=True)
            if isinstance(v, Rollup)
        ]
        billed.findings.extend(v for v in budgets.fold(rollups).values if isinstance(v, Finding))
        start_us = (EPOCH_S + start_s) * US
        accounts = ledger_of["gcp"].ledger.accounts.values()
        billed.nano[start_s] = sum(account.spend(start_us, start_us + 3600 * US, 0) for account in accounts)
    return billed


def _by(rows: Sequence[dict[str, str]], length_s: int) -> dict[int, Decimal]:
    """The file's own sums, exactly as its text has them, by day or by hour."""
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[int(row["start_s"]) // length_s] += Decimal(row["cost"])
    return sums


def test_a_bill_adds_up_to_the_cent_on_every_day(cost_lines: list[dict[str, str]]) -> None:
    """The ledger's spend of each day is the sum of the file's lines, and so is each hour's, to a nano-dollar a line."""
    billed = _billed(cost_lines)
    for hour, exact in _by(cost_lines, 3600).items():
        assert abs(Decimal(billed.nano[hour * 3600]) / 10**9 - exact) < Decimal("1e-6")
    days: dict[int, int] = defaultdict(int)
    for start_s, nano in billed.nano.items():
        days[start_s // DAY_S] += nano
    cents = {day: round(Decimal(nano) / 10**9, 2) for day, nano in days.items()}
    assert cents == {day: round(exact, 2) for day, exact in _by(cost_lines, DAY_S).items()}
