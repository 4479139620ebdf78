"""Laws of whole stages, for every log and every way it is cut, restarted or repeated."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final, NamedTuple

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import LearnedNormal
from detectors.rules.hourly_spend import Settings as HourlySpendSettings
from detectors.rules.request_surge import Settings as SurgeSettings
from schemas.config import Config, Input, Seconds
from schemas.outputs import Status
from schemas.topics import REQUESTS, ROLLUPS, SCALING
from schemas.units import US, from_rfc3339
from streams.stage import Outgoing
from tests.detectors.logs import (
    START_S,
    Cut,
    Entry,
    findings,
    numbered,
    outputs,
    ran,
    request,
    scaling,
    stage_of,
)
from tests.detectors.logs import settings as configuration

ENDPOINTS: Final = ("acme/a", "acme/b", "acme/c")
WARM_STEPS: Final = 60
laws = settings(max_examples=20)


class Phase(NamedTuple):
    """Some seconds in which each endpoint has so many times its usual rate, after a gap."""

    gap_s: int
    length_s: int
    levels: tuple[float, float, float]


LEVELS: Final = st.tuples(*[st.sampled_from([0.0, 1.0, 1.0, 12.0, 60.0])] * 3)
SHORT_GAPS: Final = st.sampled_from([0, 0, 1, 15, 400, 5000])
LONG_GAPS: Final = st.sampled_from([0, 0, 1, 15, 400, 5000, 90_000, 900_000])


def phases(gaps: st.SearchStrategy[int]) -> st.SearchStrategy[list[Phase]]:
    return st.lists(st.builds(Phase, gaps, st.integers(1, 90), LEVELS), max_size=4)


def times_of(drawn: list[Phase], window_s: int) -> list[tuple[int, tuple[float, float, float]]]:
    """Every second of a log with the level of each endpoint; long enough before to be warm."""
    start, rows = 0, []
    for phase in [Phase(0, window_s * (WARM_STEPS + 5), (1.0, 1.0, 0.0)), *drawn]:
        start += phase.gap_s
        rows += [(start + second, phase.levels) for second in range(phase.length_s)]
        start += phase.length_s
    return rows


def requests_of(rows: list[tuple[int, tuple[float, float, float]]], seed: int, lateness_s: int) -> list[Entry]:
    """A request an endpoint and second, some rows for many; one in five comes late, some too late."""
    random = np.random.default_rng(seed)
    log: list[tuple[float, Entry]] = []
    for second, levels in rows:
        for endpoint, level in zip(ENDPOINTS, levels, strict=True):
            count = int(random.poisson(3 * level))
            if count or random.random() < 0.02:
                time_s = second + int(random.integers(0, 1000)) / 1000
                delay_s = random.uniform(0, 2.5 * lateness_s) if random.random() < 0.2 else 0
                how = {"status": 500 if random.random() < 0.05 else 200, "duration_s": float(random.exponential(0.2))}
                log.append((time_s + delay_s, request(time_s, count, endpoint, queue_depth=3 * count, **how)))
    log.sort(key=lambda row: row[0])
    return numbered([record for _, record in log])


def cuts_of(length: int) -> st.SearchStrategy[list[Cut]]:
    return st.lists(st.builds(Cut, st.integers(0, length), st.booleans(), st.just(value=False)), max_size=12)


@st.composite
def request_logs(draw: st.DrawFn, gaps: st.SearchStrategy[int]) -> tuple[Config, list[Entry]]:
    """A configuration with a short window, so that short logs are warm; and requests."""
    window_s, lateness_s = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 2, 7]))
    rows = times_of(draw(phases(gaps)), window_s)
    config = configuration(lateness_s, request_surge=SurgeSettings(window=Seconds(window_s)))
    return config, requests_of(rows, draw(st.integers(0, 2**32)), lateness_s)


@settings(max_examples=12)
@given(request_logs(LONG_GAPS), st.data())
def test_requests_give_the_same_however_they_are_cut(
    given_log: tuple[Config, list[Entry]], data: st.DataObject
) -> None:
    """Batches, restarts, gaps of days, requests out of order: findings and roll-ups are the same bytes."""
    config, log = given_log
    whole = outputs(REQUESTS, config, log, [])
    assert outputs(REQUESTS, config, log, data.draw(cuts_of(len(log)))) == whole


@settings(max_examples=12)
@given(request_logs(LONG_GAPS), st.sampled_from([300, 7200]), st.sampled_from([1, 2, 5]), st.data())
def test_endpoints_are_forgotten_alike_however_the_log_is_cut(
    given_log: tuple[Config, list[Entry]], after_s: int, at_most: int, data: st.DataObject
) -> None:
    """Also when stale facts of forgotten ones come up again at every restart."""
    config, log = given_log
    short = structs.replace(config.input, forget_after=Seconds(after_s), max_endpoints=at_most)
    config = structs.replace(config, input=short)
    whole, pieces = ran(REQUESTS, config, log, []), ran(REQUESTS, config, log, data.draw(cuts_of(len(log))))
    assert pieces.out == whole.out
    assert pieces.stage.position() == whole.stage.position()


@laws
@given(request_logs(SHORT_GAPS))
def test_surges_open_where_a_slow_reader_sees_them(given_log: tuple[Config, list[Entry]]) -> None:
    """Each episode opens, and ends, at the very moment that an event-by-event reading of the rule gives."""
    config, log = given_log
    stage = stage_of(REQUESTS, config)
    told = [
        (finding.subject, finding.status, from_rfc3339(finding.at))
        for finding in findings(stage, log)
        if finding.rule == "request_surge" and finding.status is not Status.UPDATE
    ]
    reader = SlowReader(config)
    for event in stage_events(log):
        reader.read(*event)
    assert told == reader.told


def stage_events(log: list[Entry]) -> list[tuple[str, int, int]]:
    """(endpoint, microseconds, count) of each record."""
    rows = [msgspec.json.decode(record.value or b"") for record in log]
    return [(row["endpoint"], round(row["time"] * US), row["count"]) for row in rows]


def poisson_limit(mean: float) -> float:
    """What chance allows (Bernstein): so many requests come once in a thousand million windows."""
    share = math.log(1e9) / 3
    return mean + share + math.sqrt(share**2 + 6 * share * mean)


class SlowReader:
    """`request_surge` as its page tells it: one event at a time, one second at a time, nothing clever."""

    def __init__(self, config: Config) -> None:
        settings = config.rules["request_surge"]
        assert isinstance(settings, SurgeSettings)
        self.settings, self.window = settings, int(settings.window)
        self.lateness = int(config.input.lateness)
        self.counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.normals: dict[str, LearnedNormal] = {}
        self.thresholds: dict[str, float] = {}
        self.idle: dict[str, int] = {}
        self.opened: dict[str, int] = {}
        self.low_since: dict[str, int] = {}
        self.newest, self.open_from = -1, -1
        self.told: list[tuple[str, Status, int]] = []

    def read(self, endpoint: str, time_us: int, count: int) -> None:
        second = time_us // US
        self.newest = max(self.newest, second)
        if self.open_from < 0:
            self.open_from = self.newest - self.lateness
        while self.open_from < self.newest - self.lateness:
            self.close(self.open_from)
            self.open_from += 1
        if second < self.open_from:
            return
        self.counts[endpoint][second] += count
        in_window = second > self.newest - self.window
        if in_window and self.requests(endpoint, self.newest) > self.thresholds.get(endpoint, 1e18):
            self.open(endpoint, time_us)

    def requests(self, endpoint: str, last: int) -> int:
        counts = self.counts[endpoint]
        return sum(counts.get(second, 0) for second in range(last - self.window + 1, last + 1))

    def open(self, endpoint: str, time_us: int) -> None:
        if endpoint not in self.opened:
            self.opened[endpoint] = time_us
            self.told.append((endpoint, Status.OPEN, time_us))

    def close(self, second: int) -> None:
        for endpoint in list(self.counts):
            if (second + 1) % self.window == 0:
                self.learn(endpoint, second)
        for endpoint in sorted(self.counts):
            self.judge(endpoint, second)

    def learn(self, endpoint: str, second: int) -> None:
        count = self.requests(endpoint, second)
        if count == 0 and endpoint not in self.normals:
            return
        self.idle[endpoint] = 0 if count else self.idle[endpoint] + 1
        if self.idle[endpoint] > 3600 // self.window:
            return
        normal = self.normals.setdefault(endpoint, LearnedNormal(self.window))
        normal.update(float(second + 1), float(count), teach=endpoint not in self.opened)
        expected = normal.expect(float(second + 1))
        least = self.settings.min_rate * self.window - 0.5
        limits = (self.settings.ratio * expected.expected, expected.high, poisson_limit(expected.expected), least)
        self.thresholds[endpoint] = max(limits) if expected.warm else 1e18

    def judge(self, endpoint: str, second: int) -> None:
        count, threshold = self.requests(endpoint, second), self.thresholds.get(endpoint, 1e18)
        end_us = (second + 1) * US
        if endpoint not in self.opened:
            if count > threshold:
                self.open(endpoint, end_us)
            return
        if end_us <= self.opened[endpoint]:
            return
        if count > 0.8 * threshold:
            self.low_since.pop(endpoint, None)
            return
        since = self.low_since.setdefault(endpoint, max(second * US, self.opened[endpoint]))
        if end_us - since >= 60 * US:
            del self.opened[endpoint], self.low_since[endpoint]
            self.told.append((endpoint, Status.RESOLVED, end_us))


SCALINGS: Final = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 1.0, 7.5, 40.0, 3000.0]),  # how far the clock goes
        st.sampled_from([0.0, 0.0, 0.5, 2.0, 5.0, 9000.0]),  # how far back the time of this one lies
        st.sampled_from(ENDPOINTS),
        st.sampled_from([0, 1, 4, 5, 30]),
        st.sampled_from([0, 4, 9]),
    ),
    max_size=40,
)
BUDGET: Final = HourlySpendSettings(for_=Seconds(20))


def scalings_of(rows: list[tuple[float, float, str, int, int]]) -> list[Entry]:
    now_s, log = 10_000.0, []
    for forth_s, back_s, endpoint, ready, target in rows:
        now_s += forth_s
        log.append(scaling(now_s - back_s, ready, target, endpoint))
    return numbered(log)


def rollups_of(out: list[Outgoing]) -> list[Entry]:
    """What a stage wrote for the budgets, as their log."""
    written = [record for record in out if record.topic == ROLLUPS]
    return numbered([Entry(0, START_S * 1000, record.key, record.value) for record in written])


LIMITS: Final = st.builds(
    Input,
    lateness=st.just(Seconds(2)),
    forget_after=st.sampled_from([Seconds(7200), Input().forget_after]),
    max_endpoints=st.sampled_from([1, 2, Input().max_endpoints]),
)


@settings(max_examples=40)
@given(SCALINGS, LIMITS, st.data())
def test_scaling_gives_the_same_however_it_is_cut(
    rows: list[tuple[float, float, str, int, int]], limits: Input, data: st.DataObject
) -> None:
    """Also what follows in the budgets, whose batches may come twice; and whatever is forgotten on the way."""
    config, log = structs.replace(configuration(hourly_spend=BUDGET), input=limits), scalings_of(rows)
    whole = outputs(SCALING, config, log, [])
    assert outputs(SCALING, config, log, data.draw(cuts_of(len(log)))) == whole
    money = rollups_of(whole)
    cuts = st.builds(Cut, st.integers(0, len(money)), st.booleans(), st.booleans())
    again = outputs(ROLLUPS, config, money, data.draw(st.lists(cuts, max_size=12)))
    assert again == outputs(ROLLUPS, config, money, [])


@laws
@given(request_logs(SHORT_GAPS), st.data())
def test_rollups_of_requests_move_the_budgets_alike(given_log: tuple[Config, list[Entry]], data: st.DataObject) -> None:
    """The clock of a budget moves with its requests, however they were cut."""
    config, log = given_log
    running = rollups_of(outputs(SCALING, config, [scaling(0, 30, 30, "acme/a")], []))
    money = numbered([*running, *rollups_of(outputs(REQUESTS, config, log, []))])
    cuts = st.builds(Cut, st.integers(0, len(money)), st.booleans(), st.booleans())
    again = outputs(ROLLUPS, config, money, data.draw(st.lists(cuts, max_size=12)))
    assert again == outputs(ROLLUPS, config, money, [])
