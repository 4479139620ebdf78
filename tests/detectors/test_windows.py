"""The rules over windows: what they find is what a slow reader finds, for every log and however it is cut."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import RequestFold
from detectors.episodes import Episodes, Reading
from detectors.rules.error_rate import ErrorRate, lower_limit
from detectors.rules.error_rate import Settings as ErrorSettings
from detectors.rules.latency import Settings as LatencySettings
from detectors.rules.queue_depth import Settings as QueueSettings
from schemas.config import Config, Input, Seconds
from schemas.events import Request
from schemas.outputs import Finding, Severity, Status
from schemas.topics import REQUESTS
from schemas.units import US, rfc3339
from tests.detectors.logs import START_S, Cut, Entry, findings, numbered, outputs, ran, request, stage_of
from tests.detectors.logs import settings as configuration

ENDPOINTS: Final = ("acme/a", "acme/b", "acme/c")
RULES: Final = ("error_rate", "latency", "queue_depth")
laws = settings(max_examples=40)


class Level(NamedTuple):
    """How an endpoint does for a while: typical duration, share that fails, depth of its queue; rows a second."""

    duration_s: float = 0.1
    failing: float = 0.0
    depth: int = 2
    rows: float = 2.0


LEVELS: Final = (
    Level(),
    Level(duration_s=0.42),
    Level(duration_s=0.6, depth=9),
    Level(duration_s=3.0, failing=0.3, depth=12),
    Level(failing=0.02, depth=40),
    Level(failing=1.0, rows=0.2),
    Level(rows=0.0),
)
LASTING: Final = st.tuples(
    st.sampled_from([0, 0, 3, 40, 400]),  # seconds of silence before
    st.integers(1, 70),  # seconds that it lasts
    st.tuples(*[st.sampled_from(LEVELS)] * len(ENDPOINTS)),
)
Phases = list[tuple[int, int, tuple[Level, ...]]]


def entries(phases: Phases, seed: int, lateness_s: int) -> list[Entry]:
    """Rows of requests, some of which come late, some too late, and some of which leave out what they might say."""
    random = np.random.default_rng(seed)
    log: list[tuple[float, Entry]] = []
    now_s = 0
    for gap_s, length_s, levels in phases:
        now_s += gap_s
        for second in range(now_s, now_s + length_s):
            for endpoint, level in zip(ENDPOINTS, levels, strict=True):
                for _ in range(random.poisson(level.rows)):
                    time_s = second + int(random.integers(0, 1000)) / 1000
                    delay_s = random.uniform(0, 2.5 * lateness_s) if random.random() < 0.2 else 0.0
                    log.append(
                        (
                            time_s + delay_s,
                            request(time_s, int(random.integers(0, 5)), endpoint, **_fields(random, level)),
                        )
                    )
        now_s += length_s
    log.sort(key=lambda row: row[0])
    return numbered([record for _, record in log])


def _fields(random: np.random.Generator, level: Level) -> dict[str, Any]:
    fields: dict[str, Any] = {"status": 500 if random.random() < level.failing else 429}
    if random.random() < 0.9:
        fields["duration_s"] = round(level.duration_s * float(random.uniform(0.7, 1.4)), 3)
    if random.random() < 0.5:
        fields["queue_depth"] = max(0, level.depth + int(random.integers(-2, 3)))
    return fields


@st.composite
def logs(draw: st.DrawFn) -> tuple[Config, list[Entry]]:
    lateness_s = draw(st.sampled_from([1, 2, 7]))
    config = configuration(
        lateness_s,
        latency=LatencySettings(
            window=Seconds(draw(st.sampled_from([5, 20]))), min_requests=4, resolve_after=Seconds(7)
        ),
        error_rate=ErrorSettings(window=Seconds(draw(st.sampled_from([10, 60]))), min_requests=4),
        queue_depth=QueueSettings(for_=Seconds(draw(st.sampled_from([1, 6]))), resolve_after=Seconds(9)),
    )
    return config, entries(draw(st.lists(LASTING, min_size=1, max_size=5)), draw(st.integers(0, 2**32)), lateness_s)


class Row(NamedTuple):
    """A request that was in time."""

    second: int
    requests: int
    failed: bool
    duration_s: float | None
    depth: int | None


class Reference:
    """The rules as their pages tell them: every second of every endpoint, from the requests themselves."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.episodes = {rule: Episodes(rule, "") for rule in RULES}
        self.readings: dict[tuple[str, str], Reading] = {}
        self.open_from = -1
        self.told: dict[str, list[Finding]] = {rule: [] for rule in RULES}

    def read(self, log: list[Entry]) -> None:
        newest, lateness_s = -1, int(self.config.input.lateness)
        for entry in log:
            row = msgspec.json.decode(entry.value or b"")
            second = round(row["time"] * US) // US
            newest = max(newest, second)
            if self.open_from < 0:
                self.open_from = newest - lateness_s
            while self.open_from < newest - lateness_s:
                self.close(self.open_from)
                self.open_from += 1
            if second >= self.open_from:
                kept = (row["count"], row["status"] >= 500, row.get("duration_s"), row.get("queue_depth"))
                self.rows[row["endpoint"]].append(Row(second, *kept))

    def close(self, second: int) -> None:
        for rule, step_s in (("error_rate", 10), ("latency", 5), ("queue_depth", 1)):
            for endpoint in sorted(self.rows):
                if (second + 1) % step_s == 0:
                    self.readings[rule, endpoint] = READINGS[rule](self.rows[endpoint], second, self.config.rules[rule])
                if (rule, endpoint) not in self.readings:
                    continue  # it came within a step that has not closed yet
                reading, span = self.readings[rule, endpoint], (second * US, (second + 1) * US)
                if rule == "queue_depth" and endpoint not in self.episodes[rule].open and not reading.evidence():
                    continue  # it begins with a report
                found = self.episodes[rule].follow(endpoint, span, reading, self.config.rules[rule])
                if found is not None:
                    self.told[rule].append(found)


def _reading(value: float, limits: tuple[float, float, float], *, judged: bool = True) -> Reading:
    low, threshold, severe = limits
    severity = Severity.CRITICAL if value > severe else Severity.ERROR
    return Reading(value, threshold, severity, low=value <= low or not judged, score=None if judged else 0.0)


def _latency(rows: list[Row], second: int, settings: LatencySettings) -> Reading:
    first = second - int(settings.window) + 1
    durations = sorted(
        row.duration_s
        for row in rows
        if first <= row.second <= second and row.duration_s is not None
        for _ in range(row.requests)
    )
    place = math.ceil(settings.quantile * len(durations))
    value = durations[place - 1] if durations else 0.0
    return _reading(value, (0.4, 0.5, 1.0), judged=len(durations) >= settings.min_requests)


def _error_rate(rows: list[Row], second: int, settings: ErrorSettings) -> Reading:
    inside = [row for row in rows if second - int(settings.window) < row.second <= second]
    requests, errors = sum(row.requests for row in inside), sum(row.requests for row in inside if row.failed)
    if requests < settings.min_requests:
        return Reading(0.0, settings.threshold, Severity.ERROR, low=True)
    root = 1 - 1 / (9 * errors) - 3.0902 / (3 * math.sqrt(errors)) if errors else 0.0
    lower = errors * max(0.0, root) ** 3 / requests
    severity = Severity.CRITICAL if lower > 0.02 else Severity.ERROR
    return Reading(errors / requests, 0.01, severity, low=errors <= 0.008 * requests, score=lower / 0.01)


def _queue_depth(rows: list[Row], second: int, settings: QueueSettings) -> Reading:
    for_s = int(settings.for_)
    deepest: dict[int, int] = {}
    for row in rows:
        if row.depth is not None:
            deepest[row.second] = max(row.depth, deepest.get(row.second, 0))

    def depth(at: int) -> int:
        return next((deepest[before] for before in range(at, at - for_s, -1) if before in deepest), 0)

    least = min(depth(at) for at in range(second - for_s + 1, second + 1))
    severity = Severity.CRITICAL if least > 20 else Severity.ERROR
    evidence = {"reported": True} if second in deepest else {}
    return Reading(least, 10.0, severity, low=depth(second) <= 8, evidence=lambda: evidence)


READINGS: Final[dict[str, Callable[[list[Row], int, Any], Reading]]] = {
    "latency": _latency,
    "error_rate": _error_rate,
    "queue_depth": _queue_depth,
}


@laws
@given(logs())
def test_a_slow_reader_finds_the_same(given_log: tuple[Config, list[Entry]]) -> None:
    """At the same seconds, of the same severity; the latency within 2 %, everything else exactly."""
    config, log = given_log
    reference = Reference(config)
    reference.read(log)
    found = findings(stage_of(REQUESTS, config), log)
    for rule in RULES:
        mine, theirs = [one for one in found if one.rule == rule], reference.told[rule]
        assert [_told(one) for one in mine] == [_told(one) for one in theirs]
        for one, exact in zip(mine, theirs, strict=True):
            if rule == "error_rate" and not one.score:
                continue  # too few to judge: the reference says nothing of them
            if rule != "latency":
                assert (one.value, one.score) == pytest.approx((exact.value, exact.score))
            elif one.evidence["is_at_most"]:
                assert exact.value <= one.value == 0.4
            else:
                assert one.value == pytest.approx(exact.value, rel=0.02)


def _told(one: Finding) -> tuple[str, Status, Severity, str]:
    return one.subject, one.status, one.severity, one.at


@laws
@given(logs(), st.data())
def test_windows_are_the_same_however_the_log_is_cut(
    given_log: tuple[Config, list[Entry]], data: st.DataObject
) -> None:
    """Batches and restarts: the same bytes."""
    config, log = given_log
    cuts = st.lists(st.builds(Cut, st.integers(0, len(log)), st.booleans(), st.just(value=False)), max_size=12)
    assert outputs(REQUESTS, config, log, data.draw(cuts)) == outputs(REQUESTS, config, log, [])


@laws
@given(logs(), st.sampled_from([1, 2]), st.data())
def test_windows_are_the_same_when_endpoints_are_forgotten(
    given_log: tuple[Config, list[Entry]], at_most: int, data: st.DataObject
) -> None:
    """Those that stay keep their own windows, whatever number they get."""
    config, log = given_log
    limits = Input(lateness=config.input.lateness, max_endpoints=at_most)
    config = structs.replace(config, input=limits)
    cuts = st.lists(st.builds(Cut, st.integers(0, len(log)), st.booleans(), st.just(value=False)), max_size=12)
    whole, pieces = ran(REQUESTS, config, log, []), ran(REQUESTS, config, log, data.draw(cuts))
    assert pieces.out == whole.out
    assert pieces.stage.position() == whole.stage.position()


def found(rule: str, log: list[Entry], config: Config | None = None) -> list[Finding]:
    """The findings of one rule."""
    stage = stage_of(REQUESTS, configuration() if config is None else config)
    return [one for one in findings(stage, numbered(log)) if one.rule == rule]


# -- latency -----------------------------------------------------------------------------------------------------------


def timed(long: int, short: int, long_s: float = 0.9) -> list[Entry]:
    """So many long and short requests in one second, and one much later, so that it closes."""
    rows = [request(0, long, duration_s=long_s), request(0, short, duration_s=0.1)]
    return [*(row for row, number in zip(rows, (long, short), strict=True) if number), request(20, 1)]


@pytest.mark.parametrize(
    ("long", "short", "fires"),
    [(6, 94, True), (5, 95, False), (2, 18, True), (1, 19, False), (19, 0, False), (20, 0, True)],
)
def test_more_than_a_twentieth_must_be_slow(long: int, short: int, *, fires: bool) -> None:
    """And there must be at least 20 requests."""
    assert bool(found("latency", timed(long, short))) is fires


def test_a_duration_at_the_threshold_is_in_time() -> None:
    """Above it is too long."""
    assert found("latency", timed(100, 0, 0.5)) == []
    (opened,) = found("latency", timed(100, 0, math.nextafter(0.5, 1)))
    assert (opened.severity, opened.at) == (Severity.ERROR, rfc3339((START_S + 5) * US))
    assert opened.score > 1


def test_requests_that_say_no_duration_are_not_counted() -> None:
    """Neither as short nor as long."""
    log = timed(20, 0)
    (opened,) = found("latency", [request(0, 1000), request(1, 1000, duration_s=None), *log])
    assert opened.evidence["requests"] == 20


def test_above_twice_the_threshold_is_critical() -> None:
    """An open episode rises to it at the next step, and does not fall."""
    rows = [(second, 2.5 if 10 <= second < 20 else 0.7) for second in range(40)]
    log = [request(second, 5, duration_s=duration) for second, duration in rows]
    assert [(one.status, one.severity) for one in found("latency", [*log, request(50, 1)])] == [
        (Status.OPEN, Severity.ERROR),
        (Status.UPDATE, Severity.CRITICAL),
    ]


def test_the_value_is_on_the_side_of_the_threshold_on_which_it_was_counted() -> None:
    """Although the middle of its bucket is on the other: 0.508 is that of all from 0.5 to 0.516."""
    config = configuration(latency=LatencySettings(threshold=Seconds(0.51)))
    (opened,) = found("latency", timed(100, 0, 0.511), config)
    assert (opened.score > 1, opened.value) == (True, 0.51)
    config = configuration(latency=LatencySettings(threshold=Seconds(0.506)))
    log = [request(second, 5, duration_s=0.9 if second < 5 else 0.505) for second in range(70)]
    opened, update = found("latency", log, config)
    assert (opened.score > 1, update.score <= 1, update.value) == (True, True, 0.506)


def test_a_new_configuration_is_judged_at_once() -> None:
    """What it makes low for a moment, until the next step, does not count when the endpoint is low much later."""
    before, after = (LatencySettings(window=Seconds(5), min_requests=number) for number in (3, 6))
    rows = [(second, 1 if second < 5 else 2, 0.9 if second < 50 else 0.1) for second in range(130)]
    log = numbered([request(second, count, duration_s=duration_s) for second, count, duration_s in rows])
    stage = stage_of(REQUESTS, configuration(latency=before))
    told = findings(stage, log[:8])
    stage.reconfigure(configuration(latency=after))
    told += findings(stage, log[8:])
    ends = [(one.status, one.at) for one in told if one.status is not Status.UPDATE]
    assert ends == [
        (Status.OPEN, rfc3339((START_S + 5) * US)),
        (Status.RESOLVED, rfc3339((START_S + 54 + 60) * US)),
    ]


def test_an_endpoint_may_have_a_threshold_of_its_own() -> None:
    """Another quantile, too."""
    config = configuration()
    own = structs.replace(config.defaults, rules={"latency": LatencySettings(threshold=Seconds(2), quantile=0.5)})
    config = structs.replace(config, endpoints={"acme/bert": own})
    assert found("latency", timed(40, 60, 3.0), config) == []
    (opened,) = found("latency", timed(60, 40, 3.0), config)
    assert (opened.threshold, opened.evidence["quantile"]) == (2.0, 0.5)


def test_an_endpoint_without_requests_is_not_slow_any_more() -> None:
    """Its episode ends once the window has been empty for `resolve_after`, by the requests of others."""
    others = [request(second, 1, "acme/other") for second in range(20, 200)]
    opened, *updates, resolved = found("latency", [*timed(50, 0), *others])
    assert (opened.status, resolved.status) == (Status.OPEN, Status.RESOLVED)
    assert resolved.at == rfc3339((START_S + 64 + 60) * US)
    assert (resolved.evidence["requests"], resolved.evidence["slow_share"], resolved.score) == (0, None, 0.0)
    assert len(updates) == 1


# -- error_rate --------------------------------------------------------------------------------------------------------


def failing(errors: int, requests: int, status: int = 500) -> list[Entry]:
    """So many of so many requests fail, in one second."""
    return [request(0, errors, status=status), request(0, requests - errors), request(30, 1)]


@pytest.mark.parametrize(
    ("errors", "requests", "fires"),
    [
        (1, 20, False),
        (3, 20, False),
        (4, 20, True),
        (19, 19, False),
        (5, 100, False),
        (6, 100, True),
        (130, 10_000, False),
    ],
)
def test_chance_must_not_explain_the_errors(errors: int, requests: int, *, fires: bool) -> None:
    """The lower confidence limit of the rate is above 1 %."""
    assert bool(found("error_rate", failing(errors, requests))) is fires


def test_the_limit_is_below_the_exact_one() -> None:
    """So many errors or more come once in a thousand windows at most, if the mean is the limit: for every number."""
    for errors in (*range(1, 200), 500):
        mean = lower_limit(np.array([errors])).item()
        term = below = math.exp(-mean)
        for number in range(1, errors):
            term *= mean / number
            below += term
        assert 0 <= 1 - below < 0.001 + 1e-12
    assert lower_limit(np.array([10_000])).item() > 10_000 - 3.2 * 100  # and not by much


def test_a_caller_that_is_told_to_wait_is_no_error() -> None:
    """A throttle of ours must not make the endpoint look broken."""
    assert found("error_rate", failing(500, 1000, status=429)) == []


def test_errors_say_how_many_and_of_how_many() -> None:
    """And how much of it is certain; critical where even that is twice the threshold."""
    (opened,) = found("error_rate", failing(50, 1000))
    assert opened.evidence == {"errors": 50, "requests": 1000, "lower_bound": 0.030934874, "window_s": 300}
    assert (opened.value, opened.threshold, opened.severity) == (0.05, 0.01, Severity.CRITICAL)
    assert opened.score == pytest.approx(opened.evidence["lower_bound"] / 0.01)


def test_errors_are_judged_while_nothing_comes() -> None:
    """What was healthy leaves the window first; the next request, of any endpoint, finds it so."""
    rows = [(0, 10_000, 200), (290, 25, 500), (20_000, 1, 200)]
    requests = [Request("acme/a", START_S + second, count=count, status=status) for second, count, status in rows]
    fold = RequestFold(configuration(), 0, [ErrorRate])
    told = fold.apply(requests, np.array([(START_S + second) * US for second, _, _ in rows]))
    assert [(one.status, one.at) for one in told if isinstance(one, Finding)][:1] == [
        (Status.OPEN, rfc3339((START_S + 310) * US))
    ]


# -- queue_depth -------------------------------------------------------------------------------------------------------


def queued(depths: dict[int, int], until_s: int = 200) -> list[Entry]:
    """Reports of these seconds, and others' requests, so that every second closes."""
    reports = [request(second, 1, queue_depth=depth) for second, depth in depths.items()]
    others = [request(second, 1, "acme/other") for second in range(until_s)]
    return sorted([*reports, *others], key=lambda entry: entry.timestamp)


def test_a_queue_must_be_deep_all_the_time() -> None:
    """From the first deep second on, for 30 s; a depth at the threshold is not above it."""
    assert found("queue_depth", queued(dict.fromkeys(range(29), 11))) == []
    assert found("queue_depth", queued({**dict.fromkeys(range(100), 11), **dict.fromkeys(range(0, 100, 20), 10)})) == []
    opened, *_ = found("queue_depth", queued(dict.fromkeys(range(30), 11)))
    assert (opened.at, opened.value, opened.severity) == (rfc3339((START_S + 30) * US), 11, Severity.ERROR)


def test_the_deepest_report_of_a_second_counts() -> None:
    """Whatever other gateways saw in the same second."""
    log = [request(second + i / 10, 1, queue_depth=depth) for second in range(40) for i, depth in enumerate((0, 30, 4))]
    (opened,) = found("queue_depth", log)
    assert opened.evidence == {"least": 30, "deepest": 30, "last": 30, "for_s": 30}


def test_a_report_holds_until_the_next_but_not_for_long() -> None:
    """Reports every 30 s are enough, a single one or one every 31 s are not."""
    assert found("queue_depth", queued({5: 50})) == []
    assert found("queue_depth", queued({0: 50, 31: 50, 62: 50})) == []
    opened, *_ = found("queue_depth", queued({0: 50, 30: 50}))
    assert opened.at == rfc3339((START_S + 31) * US)


def test_a_queue_of_which_nothing_more_is_said_is_empty() -> None:
    """The last report of an open episode holds as long as any other."""
    opened, *_, resolved = found("queue_depth", queued(dict.fromkeys(range(40), 11)))
    assert (opened.status, resolved.status) == (Status.OPEN, Status.RESOLVED)
    assert resolved.at == rfc3339((START_S + 39 + 30 + 60) * US)


def test_depths_are_those_of_the_last_seconds() -> None:
    """The value is the least of them, the evidence has the deepest and the last."""
    depths = {second: 12 + second for second in range(30)}
    (opened,) = [one for one in found("queue_depth", queued(depths)) if one.status is Status.OPEN]
    assert (opened.value, opened.evidence) == (12, {"least": 12, "deepest": 41, "last": 41, "for_s": 30})
