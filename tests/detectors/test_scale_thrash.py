"""Direction changes of replicas: their pace, their price, and the spiral of waking and sleeping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from detectors.report import Report
from detectors.rules.scale_thrash import DAY_US, MOST, ScaleThrash, Settings, Turn, Turns
from schemas.config import Config, Seconds
from schemas.outputs import Finding, Severity, Status
from schemas.units import HOUR_US, US, from_rfc3339
from tests.detectors.logs import START_S, Entry, of_endpoint, of_scaling, scaling, settings

DAY_S = 86_400


def swinging(every_s: float, until_s: float, low: int = 2, high: int = 4, **told: Any) -> list[Entry]:
    """From one to the other and back, with a report at each move and every two minutes."""
    moves = [i * every_s for i in range(int(until_s / every_s) + 1)]
    polls = [float(second) for second in range(0, int(until_s), 120)]
    at = sorted({*moves, *polls})
    levels = [high if int(time_s / every_s + 1e-9) % 2 else low for time_s in at]
    return [scaling(time_s, level, level, **told) for time_s, level in zip(at, levels, strict=True)]


def opened(log: list[Entry], config: Config | None = None) -> list[Finding]:
    return [one for one in of_scaling("scale_thrash", log, config) if one.status is Status.OPEN]


def test_a_pace_of_50_a_day_is_not_beyond_it() -> None:
    """Every 28 minutes and 48 seconds, for a day; nor are 40 a day, every 36 minutes."""
    assert opened(swinging(1728, DAY_S)) == []
    assert opened(swinging(2160, DAY_S)) == []


def test_a_pace_just_beyond_it_is_noticed_within_the_hour() -> None:
    """Of its first change of direction, not after a day; what is told is the pace, not three in an hour."""
    (found,) = opened(swinging(1727, 4 * 3600))
    first_change_us = (START_S + 2 * 1727) * US
    assert from_rfc3339(found.at) - first_change_us <= HOUR_US
    assert found.value == pytest.approx(DAY_S / 1727)
    assert (found.threshold, found.severity) == (50.0, Severity.INFO)


def test_a_fast_thrash_is_noticed_at_its_third_change() -> None:
    """Every ten minutes: half an hour after the first move."""
    (found,) = opened(swinging(600, 3 * 3600))
    assert from_rfc3339(found.at) == (START_S + 4 * 600 + 1) * US
    assert (found.value, found.evidence["changes"]) == (72.0, 3)


def moves(levels: Iterable[tuple[float, int]]) -> list[Entry]:
    """Reports of (hour, replicas), each repeated every ten minutes until the next."""
    steps = [*levels]
    ends = [hour for hour, _ in steps[1:]] + [steps[-1][0] + 2]
    log = []
    for (hour, level), end in zip(steps, ends, strict=True):
        log += [scaling(second, level, level) for second in range(round(hour * 3600), round(end * 3600), 600)]
    return log


def test_an_ordinary_day_is_no_thrash() -> None:
    """Up in the morning step by step, a dip at noon, down in the evening: day after day."""
    day = [(0, 2), (7, 3), (7.5, 5), (8, 8), (12, 6), (13, 9), (18, 6), (19, 4), (20, 2)]
    log = moves((24 * d + hour, level) for d in range(4) for hour, level in day)
    assert of_scaling("scale_thrash", log) == []


def test_one_burst_up_and_down_is_one_change() -> None:
    """Two bursts an hour are three changes, and a third of them is what it takes."""
    assert opened(moves([(0, 2), (3, 6), (3.25, 2), (3.5, 6), (3.75, 6)])) == []
    assert len(opened(moves([(0, 2), (3, 6), (3.25, 2), (3.5, 6), (3.75, 2)]))) == 1


def test_climbing_is_no_change_of_direction() -> None:
    """However many steps it takes."""
    assert of_scaling("scale_thrash", [scaling(60 * i, i, i) for i in range(100)]) == []


def test_replicas_that_were_never_taken_away_do_not_count() -> None:
    """The target wavers while four are ready: nothing was stopped and nothing was started."""
    log = [scaling(60 * i, 4, 4 - i % 2) for i in range(100)]
    assert of_scaling("scale_thrash", log) == []


def test_a_crash_loop_is_not_the_autoscalers_doing() -> None:
    """Ready falls and comes back, the target stays: `cold_starts` sees that."""
    log = [scaling(60 * i, i % 2, 1) for i in range(100)]
    assert of_scaling("scale_thrash", log) == []
    assert of_scaling("cold_starts", log) != []


def test_few_changes_are_information_and_many_a_warning() -> None:
    """Above twice the pace chance is out of the question: five in an hour are 120 a day."""
    found = of_scaling("scale_thrash", swinging(600, 2 * 3600))
    first = next(one for one in found if one.severity is Severity.WARNING)
    assert (first.value, first.evidence["changes"]) == (120.0, 5)
    assert found[0].severity is Severity.INFO


def test_what_lasts_for_six_hours_is_a_warning() -> None:
    """Every twenty minutes is 72 a day, and never above twice the pace: 13 changes in six hours tell."""
    found = of_scaling("scale_thrash", swinging(1200, 8 * 3600))
    first = next(one for one in found if one.severity is Severity.WARNING)
    assert max(one.value for one in found) == 72.0
    assert from_rfc3339(first.at) == (START_S + 14 * 1200 + 1) * US


def test_it_ends_within_the_hour_in_which_it_stops() -> None:
    """Of the last hour one change is left: 24 a day; the episode did not end while it went on."""
    log = swinging(1700, 6 * 3600)
    log += [scaling(6 * 3600 + second, 2, 2) for second in range(0, 7200, 120)]
    (first, *_, last) = of_scaling("scale_thrash", log)
    assert (first.status, last.status, first.episode) == (Status.OPEN, Status.RESOLVED, last.episode)
    assert from_rfc3339(last.at) < (START_S + 7.1 * 3600) * US


def test_fifty_a_day_cost_100_to_250_dollars() -> None:
    """The project's own example: 50 scale events a day at $2 to $5."""
    rule = ScaleThrash(settings())
    turns = [Turn(round(i * DAY_US / 50), 2 + i % 2) for i in range(3)]
    told = rule.read("acme/bert", Turns(turns=turns), Report(turns[-1].time_us, 2, 2), turns[-1].time_us + 1)
    assert (told.value, told.anomaly) == (50.0, 1.0)
    evidence = told.evidence()
    assert evidence["priced_by"] == "usd_per_scale_event"
    assert (evidence["usd_per_day_low"], evidence["usd_per_day_high"]) == (100.0, 250.0)


def test_fifty_in_a_day_cost_100_to_250_dollars() -> None:
    """Counted over a day, and at any hours of it."""
    config = settings(scale_thrash=Settings(window=Seconds(DAY_S)))
    for count, is_open in [(50, False), (51, True)]:
        log = [scaling(60 * i, 2 + i % 2, 2) for i in range(count + 2)]
        found = opened([*log, scaling(60 * count + 90, 3, 3)], config)
        assert bool(found) is is_open
    told = found[0].evidence
    assert (told["changes"], told["usd_in_window_low"], told["usd_in_window_high"]) == (51, 102.0, 255.0)


def test_minutes_initializing_are_a_better_price() -> None:
    """Where the state tells: a minute of each two, at 6 $/h."""
    log = []
    for i in range(200):
        state = "initializing" if i % 4 == 2 else "running"
        log.append(scaling(30 * i, 2 + i // 2 % 2, 2 + i // 2 % 2, state=state))
    found = of_scaling("scale_thrash", log, of_endpoint(settings(), price_usd_per_hour=6.0))[-1]
    told = found.evidence
    assert (told["priced_by"], told["initializing_minutes"]) == ("initializing", pytest.approx(15.0, abs=0.5))
    assert told["usd_in_window_low"] == told["usd_in_window_high"] == pytest.approx(1.5, abs=0.05)
    assert told["usd_per_day_low"] == pytest.approx(24 * told["usd_in_window_low"])


def test_without_a_price_minutes_are_worth_nothing_that_is_known() -> None:
    """Then each change has its price."""
    log = swinging(300, 3600, 0, 1, state="initializing", min_replicas=0)
    told = of_scaling("scale_thrash", log, of_endpoint(settings(), price_usd_per_hour=None))[0].evidence
    assert (told["priced_by"], told["warm_usd_per_day"]) == ("usd_per_scale_event", None)


def test_a_death_spiral_says_what_one_warm_replica_costs() -> None:
    """Waking and sleeping with min_replicas 0; a swing that never sleeps is none, nor one whose minimum is one."""
    config = of_endpoint(settings(), price_usd_per_hour=1.5)
    cases = [(0, {"min_replicas": 0}, True), (0, {}, True), (0, {"min_replicas": 1}, False), (1, {}, False)]
    for low, told, is_spiral in cases:
        evidence = opened(swinging(600, 3 * 3600, low, 3, **told), config)[0].evidence
        assert evidence["death_spiral"] is is_spiral
        assert evidence["warm_usd_per_day"] == (36.0 if is_spiral else None)
        assert (evidence["replicas_low"], evidence["replicas_high"]) == (low, 3)


@pytest.mark.parametrize(
    ("own", "count"),
    [
        ({"per_day": 71.0}, 1),
        ({"per_day": 72.0}, 0),
        ({"min_changes": 4}, 0),
        ({"per_day": 20.0}, 1),
        ({"per_day": 20.0, "min_changes": 4}, 0),
    ],
)
def test_settings_have_an_effect(own: dict[str, Any], count: int) -> None:
    """At three changes an hour."""
    log = swinging(1200, 3 * 3600)
    assert len(opened(log, settings(scale_thrash=Settings(**own)))) == count


def test_a_low_pace_still_needs_some_changes() -> None:
    """Two an hour are 48 a day, far above five; but two are an ordinary up and down."""
    log = moves([(0, 2), (3, 6), (3.25, 2), (3.5, 6)])
    assert opened(log, settings(scale_thrash=Settings(per_day=5.0))) == []
    assert len(opened(log, settings(scale_thrash=Settings(per_day=5.0, min_changes=2)))) == 1


@pytest.mark.parametrize("wrong", [(2.0,), (5.0, 2.0), (1.0, 2.0, 3.0), ()])
def test_a_price_is_a_range(wrong: tuple[float, ...]) -> None:
    """From the lower to the higher."""
    with pytest.raises(ValueError, match=r"\[from, to\]"):
        Settings(usd_per_scale_event=wrong)


def test_what_is_kept_is_bounded() -> None:
    """However fast it thrashes, and six hours of the fastest pace that can be set fit in."""
    log = [scaling(10 * i, i % 2, i % 2) for i in range(3 * MOST)]
    assert of_scaling("scale_thrash", log)[-1].evidence["changes"] == MOST
    assert MOST > 200
