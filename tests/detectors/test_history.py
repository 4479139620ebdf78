"""Rules over an endpoint's past: in order of event time, whatever the log's, and void after an hour of silence."""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from detectors import ScalingFold, history_rules
from detectors.episodes import Reading
from detectors.report import Report
from detectors.rule import HistoryRule
from detectors.rules.cold_starts import Settings as ColdStarts
from detectors.rules.low_utilization import Settings as LowUtilization
from detectors.rules.scale_thrash import Settings as ScaleThrash
from schemas.config import Config, Endpoint, Input, RuleSettings, Seconds
from schemas.events import Scaling
from schemas.outputs import Finding, Severity
from schemas.topics import SCALING
from schemas.units import US, from_rfc3339
from tests.detectors.logs import START_S, Cut, Entry, findings, numbered, outputs, scaling, settings, stage_of

NAMES: Final = ("acme/a", "acme/b")
HISTORY: Final = [rule.rule for rule in history_rules()]
LATENESS_S: Final = 10


def sensitive(**limits: Any) -> Config:
    """Rules that fire and calm down within minutes, so that short logs hold many episodes."""
    config = settings(
        LATENESS_S,
        cold_starts=ColdStarts(threshold=1, window=Seconds(300), resolve_after=Seconds(5)),
        scale_thrash=ScaleThrash(per_day=200, min_changes=2, window=Seconds(600), resolve_after=Seconds(5)),
        low_utilization=LowUtilization(threshold=0.4, window=Seconds(600), resolve_after=Seconds(5)),
    )
    known = Endpoint(critical=False, expected_max=4, price_usd_per_hour=1.0, model_gb=26.0)
    return structs.replace(config, defaults=known, input=structs.replace(config.input, **limits))


ROWS: Final = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 7.5, 30.0, 60.0, 100.0, 400.0, 2900.0]),  # how far the clock goes
        st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.0, 9.0]),  # how late the record comes
        st.sampled_from(NAMES),
        st.sampled_from([0, 1, 1, 3]),
        st.booleans(),
        st.sampled_from([None, 0.0, 0.3, 0.9]),
        st.sampled_from([None, "initializing", "running"]),
    ),
    max_size=80,
)
Rows = list[tuple[float, float, str, int, bool, float | None, str | None]]


def events_of(rows: Rows) -> list[tuple[float, Entry]]:
    """When each report comes, and the report, in the order in which things happened; no two at one moment."""
    now_s, log = 10_000.0, []
    for i, (forth_s, delay_s, name, ready, cold, utilization, state) in enumerate(rows):
        now_s += forth_s
        told = {"utilization": utilization, "state": state, "cold_start": cold, "min_replicas": 0}
        known = {key: value for key, value in told.items() if value is not None}
        log.append((now_s + delay_s, scaling(now_s + i / 1e4, ready, ready, name, **known)))
    return log


def in_order_of_arrival(rows: Rows) -> list[Entry]:
    return numbered([record for _, record in sorted(events_of(rows), key=lambda event: event[0])])


def of_history(config: Config, log: list[Entry]) -> list[Finding]:
    """What the rules over the past say; once all seconds are closed."""
    end = scaling(60_000_000, 1, 1, "acme/end")
    return [
        one for one in findings(stage_of(SCALING, config), [*log, end._replace(offset=len(log))]) if one.rule in HISTORY
    ]


def test_the_logs_of_these_laws_hold_episodes() -> None:
    """Of all three rules: a law about nothing would be none."""
    draw = random.Random(1)  # noqa: S311 -- no secret
    rows: Rows = []
    for _ in range(300):
        moment = draw.choice([0.0, 7.5, 30.0, 60.0]), draw.choice([0.0, 3.0]), draw.choice(NAMES)
        told = draw.choice([0.0, 0.3]), draw.choice(["initializing", "running"])
        rows.append((*moment, draw.choice([0, 1, 3]), draw.random() < 0.5, *told))
    found = of_history(sensitive(), in_order_of_arrival(rows))
    assert {(one.rule, one.status.value) for one in found} >= {
        (rule, s) for rule in HISTORY for s in ("open", "resolved")
    }


@hypothesis_settings(max_examples=40)
@given(ROWS, st.sampled_from([7200, 10_000_000]), st.sampled_from([1, 100]), st.data())
def test_the_past_is_the_same_however_the_log_is_cut(rows: Rows, after: int, most: int, data: st.DataObject) -> None:
    """Batches, restarts, and whatever is forgotten on the way."""
    config, log = sensitive(forget_after=Seconds(after), max_endpoints=most), in_order_of_arrival(rows)
    cuts = st.lists(st.builds(Cut, st.integers(0, len(log)), st.booleans(), st.just(value=False)), max_size=12)
    assert outputs(SCALING, config, log, data.draw(cuts)) == outputs(SCALING, config, log, [])


@hypothesis_settings(max_examples=40)
@given(ROWS)
def test_late_reports_change_nothing(rows: Rows) -> None:
    """As long as they come before their second closes."""
    in_time = numbered([record for _, record in events_of(rows)])
    found = of_history(sensitive(), in_time)
    assert sorted(map(str, of_history(sensitive(), in_order_of_arrival(rows)))) == sorted(map(str, found))


@hypothesis_settings(max_examples=40)
@given(ROWS)
def test_an_endpoint_does_not_change_what_is_found_of_another(rows: Rows) -> None:
    """Only the watermark is common."""
    both = of_history(sensitive(), numbered([record for _, record in events_of(rows)]))
    alone = []
    for name in NAMES:
        own = [record for row, (_, record) in zip(rows, events_of(rows), strict=True) if row[2] == name]
        alone += of_history(sensitive(), numbered(own))
    openings = [sorted((one.rule, one.subject, one.opened_at) for one in found) for found in (both, alone)]
    assert openings[0] == openings[1]


@hypothesis_settings(max_examples=40)
@given(ROWS, st.sampled_from([1, 60]))
def test_forgetting_the_silent_changes_nothing_here(rows: Rows, pace: int) -> None:
    """The past is void after an hour of silence, whether it was forgotten or not."""
    stretched = [(forth_s * pace, *rest) for forth_s, *rest in rows]
    log = in_order_of_arrival(stretched)  # type: ignore[arg-type]
    forgets, keeps = sensitive(forget_after=Seconds(7200)), sensitive(forget_after=Seconds(10_000_000))
    assert of_history(forgets, log) == of_history(keeps, log)


# -- what a rule is given ----------------------------------------------------------------------------------------------


class Heard(Struct, array_like=True):
    """Every report, and the time of the one before it."""

    pairs: list[tuple[int, int | None]] = msgspec.field(default_factory=list)


class Listening(HistoryRule[RuleSettings, Heard]):
    """Remembers all; fires as long as the last report has a ready replica."""

    rule: ClassVar = "runaway_replicas"  # whose settings exist
    unit: ClassVar = "replicas"
    Settings: ClassVar = RuleSettings
    Memory: ClassVar = Heard

    def take(self, endpoint: str, memory: Heard, report: Report, before: Report | None) -> None:  # noqa: ARG002
        memory.pairs.append((report.time_us, None if before is None else before.time_us))

    def read(self, endpoint: str, memory: Heard, report: Report, at_us: int) -> Reading:  # noqa: ARG002
        evidence = {"pairs": list(memory.pairs), "at_us": at_us, "last_us": report.time_us}
        ready = float(report.ready_replicas)
        return Reading(ready, 0.5, Severity.INFO, low=ready == 0, evidence=lambda: evidence)


def listened(*events: tuple[float, int], **limits: Any) -> list[Finding]:
    """What comes of reports at these seconds, with so many ready, in this order."""
    config = structs.replace(settings(), input=Input(lateness=Seconds(LATENESS_S), **limits))
    fold = ScalingFold(config, 0, [Listening])
    found: list[Any] = []
    for i, (time_s, ready) in enumerate(events):
        name = "acme/a" if ready >= 0 else "acme/clock"
        event = Scaling(name, START_S + time_s, max(ready, 0), 0)
        found += fold.apply([event], np.array([round((START_S + time_s) * US)]), [i])
    return [one for one in found if isinstance(one, Finding) and one.subject == "acme/a"]


def pairs(finding: Finding) -> list[tuple[float, float | None]]:
    """What the memory held, in seconds."""
    return [
        (at_us / US - START_S, None if before_us is None else before_us / US - START_S)
        for at_us, before_us in finding.evidence["pairs"]
    ]


CLOCK: Final = -1


def test_reports_come_in_order_of_time_when_their_second_is_over() -> None:
    """The second at 3 closes at the first event that is more than the lateness past its end."""
    events = [(1.0, 0), (3.5, 1), (2.0, 0), (3.25, 0)]
    assert listened(*events, (13.9, CLOCK)) == []
    (found,) = listened(*events, (14.0, CLOCK))
    assert pairs(found) == [(1.0, None), (2.0, 1.0), (3.25, 2.0), (3.5, 3.25)]
    assert from_rfc3339(found.opened_at) == (START_S + 4) * US


def test_what_comes_too_late_is_not_given() -> None:
    """Its second is over, and was told of."""
    (found,) = listened((1.0, 0), (12.5, 1), (0.5, 0), (30.0, CLOCK))
    assert pairs(found) == [(1.0, None), (12.5, 1.0)]


def test_a_report_that_was_sent_twice_is_given_once() -> None:
    """The same to the last field: a cold start is not two for it."""
    (found,) = listened((1.0, 0), (1.0, 0), (2.0, 1), (2.0, 1), (30.0, CLOCK))
    assert pairs(found) == [(1.0, None), (2.0, 1.0)]


def test_after_an_hour_of_silence_the_past_is_void() -> None:
    """An hour to the second is no silence yet."""
    for silence_s, kept in [(3600, [(1.0, None), (3601.0, 1.0)]), (3601, [(3602.0, None)])]:
        (found,) = listened((1.0, 0), (1.0 + silence_s, 1), (9000.0, CLOCK))[:1]
        assert pairs(found) == kept


def test_an_open_episode_is_read_once_a_minute_without_reports() -> None:
    """At full minutes of event time, so that nothing depends on when others report."""
    found = listened((1.0, 1), (130.0, CLOCK), (400.0, CLOCK))
    assert [from_rfc3339(one.at) // US - START_S for one in found] == [2, 120, 180, 240, 300, 360]


def test_what_was_forgotten_is_not_given_when_it_comes_back() -> None:
    """Room for one endpoint only: the other's report is still waiting when it goes."""
    found = listened((1.0, 0), (2.0, CLOCK), (3.0, 1), (4.0, 1), (40.0, CLOCK), max_endpoints=1)
    assert [pairs(one) for one in found[:1]] == [[(3.0, None)]]


def test_a_past_that_changes_when_others_report_is_written() -> None:
    """A second closes at an event of another endpoint, between two checkpoints."""
    wakes = [scaling(second, second % 2, 1) for second in range(4)]
    log = numbered(
        [*wakes, scaling(60, 1, 1, "acme/clock"), scaling(120, 0, 1), scaling(121, 1, 1), scaling(200, 1, 1)]
    )
    config = settings(cold_starts=ColdStarts(threshold=2))
    whole = outputs(SCALING, config, log, [])
    assert [one.rule for one in findings(stage_of(SCALING, config), log)] == ["cold_starts"]
    assert outputs(SCALING, config, log, [Cut(4, restart=True), Cut(5, restart=True)]) == whole


def test_nothing_is_kept_of_what_was_forgotten() -> None:
    """Jobs with ever new names, each with a start to remember."""
    config = structs.replace(settings(), input=Input(lateness=Seconds(1), max_endpoints=5))
    fold = ScalingFold(config, 0, history_rules())
    for i in range(200):
        fold.apply([Scaling(f"acme/job-{i}", START_S + i, 1, 1, cold_start=True)], np.array([(START_S + i) * US]), [i])
    assert len(fold._histories._memories) <= 5
    assert len(fold._histories._waiting) <= 3


@pytest.mark.parametrize("rule", HISTORY)
def test_what_is_kept_at_rest_is_small(rule: str) -> None:
    """A day of reports every ten seconds in which everything changes each time: three KiB a rule."""
    kind = next(kind for kind in history_rules() if kind.rule == rule)
    one = kind(settings())
    memory, before = kind.Memory(), None
    for i in range(8640):
        state = "initializing" if i % 2 else "running"
        now = Report((START_S + 10 * i) * US, i % 2, i % 2, state=state, utilization=i % 7 / 9, cold_start=i % 3 == 0)
        one.take("acme/a", memory, now, before)
        before = now
    assert len(msgspec.msgpack.encode(memory)) <= 4096


def test_nothing_is_kept_of_an_endpoint_that_does_nothing() -> None:
    """Its facts are no larger than they were."""
    fold = ScalingFold(settings(), 0, history_rules())
    for i in range(100):
        fold.apply([Scaling("acme/a", START_S + 10 * i, 2, 2)], np.array([(START_S + 10 * i) * US]), [i])
    state = fold.changed()["acme/a"]
    assert state is not None
    assert state.rules == {}
