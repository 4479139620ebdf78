"""Mean utilization: of what, over which time, and what it would save to do something."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from detectors.rules.low_utilization import Settings
from schemas.config import Config, Seconds
from schemas.outputs import Finding, Severity, Status
from schemas.topics import SCALING
from schemas.units import US, from_rfc3339
from tests.detectors.logs import (
    START_S,
    Entry,
    findings,
    numbered,
    of_endpoint,
    of_scaling,
    scaling,
    settings,
    stage_of,
)

HOUR_S = 3600


def idle(start_s: int, end_s: int, utilization: float | None, ready: int = 2, every_s: int = 60) -> list[Entry]:
    told: dict[str, Any] = {} if utilization is None else {"utilization": utilization}
    return [scaling(second, ready, ready, **told) for second in range(start_s, end_s, every_s)]


def opened(log: list[Entry], config: Config | None = None) -> list[Finding]:
    return [one for one in of_scaling("low_utilization", log, config) if one.status is Status.OPEN]


def test_an_hour_below_ten_percent_fires_when_it_is_over() -> None:
    """Not before, and at the report that ends it."""
    assert opened(idle(0, HOUR_S, 0.07)) == []
    (found,) = opened(idle(0, HOUR_S + 180, 0.07))
    assert from_rfc3339(found.at) == (START_S + HOUR_S + 1) * US
    assert [found.value, found.score] == pytest.approx([0.07, 0.1 / 0.07])
    assert (found.threshold, found.evidence["coverage"]) == (0.1, 1.0)


@pytest.mark.parametrize(("utilization", "count"), [(0.099, 1), (0.1, 0), (0.101, 0), (0.5, 0)])
def test_the_near_miss(utilization: float, count: int) -> None:
    """Below the threshold, not at it."""
    assert len(opened(idle(0, 3 * HOUR_S, utilization))) == count


def test_the_mean_is_weighted_by_time() -> None:
    """Forty minutes at 2 % and twenty at 26 % are 10 %, however often each was reported."""
    for busy, count in [(0.26, 0), (0.255, 1)]:
        log = [*idle(0, 1200, busy, every_s=10), *idle(1200, HOUR_S + 180, 0.02, every_s=120)]
        assert len(opened(log)) == count


def test_the_mean_is_weighted_by_replicas() -> None:
    """Half of the time one replica at 50 %, half of it nine at 4 %: 8.6 %, and not 27 %."""
    log = [*idle(0, 1800, 0.5, ready=1), *idle(1800, HOUR_S + 180, 0.04, ready=9)]
    (found,) = opened(log)
    assert found.value == pytest.approx((0.5 * 1 + 0.04 * 9) / 10)


def test_a_gap_is_not_low() -> None:
    """A report stands for ten minutes; what is known must be four fifths of the hour."""
    for gap_s, count in [(1200, 1), (1500, 0)]:
        log = [*idle(0, 601, 0.01), *idle(600 + gap_s, HOUR_S + 180, 0.01)]
        found = opened(log)
        assert len(found) == count
        assert [one.evidence["coverage"] for one in found] == [pytest.approx(1 - 600 / HOUR_S, abs=0.001)] * count


def test_reports_without_a_utilization_say_nothing() -> None:
    """Nobody measured."""
    assert opened(idle(0, 3 * HOUR_S, None)) == []
    mixed = [*idle(0, 1200, None), *idle(1200, HOUR_S + 180, 0.01)]
    assert opened(mixed) == []


def test_what_sleeps_half_of_the_time_is_not_low() -> None:
    """Without replicas nothing is wasted."""
    log = [one for half in range(12) for one in idle(1800 * half, 1800 * (half + 1), 0.01, ready=half % 2)]
    assert opened(log) == []


def test_it_does_not_open_while_nothing_is_ready() -> None:
    """The hour is judged when it is over, and by then the replicas were gone."""
    log = [*idle(0, HOUR_S - 60, 0.01), *idle(HOUR_S - 60, 2 * HOUR_S, 0.01, ready=0)]
    assert opened(log) == []


def ends(log: list[Entry]) -> tuple[float, Finding]:
    """Minutes after the start at which the episode is over."""
    last = of_scaling("low_utilization", log)[-1]
    assert last.status is Status.RESOLVED
    return (from_rfc3339(last.at) / US - START_S) / 60, last


def test_it_ends_when_the_mean_is_well_above() -> None:
    """At 12.5 % or more (threshold / resolve_below) for a minute: ten minutes at 70 % do it."""
    minute, last = ends([*idle(0, 7200, 0.03), *idle(7200, 4 * HOUR_S, 0.7)])
    assert minute == 120 + 10 + 1
    assert last.value == pytest.approx((50 * 0.03 + 10 * 0.7) / 60)
    assert last.score < 1


def test_it_can_end_whatever_the_threshold_is() -> None:
    """More than all there is to do nobody can do: 0.9 / 0.8 would never be reached."""
    log = [*idle(0, 7200, 0.5), *idle(7200, 4 * HOUR_S, 1.0)]
    found = of_scaling("low_utilization", log, settings(low_utilization=Settings(threshold=0.9)))
    assert [one.status for one in found if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
    assert found[-1].value == pytest.approx(1.0)


def test_it_does_not_end_just_above_the_threshold() -> None:
    """11 % neither fires nor calms."""
    found = of_scaling("low_utilization", [*idle(0, 7200, 0.09), *idle(7200, 5 * HOUR_S, 0.11)])
    assert {one.status for one in found} == {Status.OPEN, Status.UPDATE}
    assert found[-1].value > 0.1
    assert found[-1].score < 1


def test_an_endpoint_that_was_scaled_to_zero_ends_it_within_the_hour() -> None:
    """Nobody knows sooner whether it will stay there; a brake that did it is not taken off at once."""
    minute, last = ends([*idle(0, 7200, 0.03), *idle(7200, 4 * HOUR_S, 0.0, ready=0)])
    assert 175 <= minute <= 182
    assert (last.score, last.evidence["mean_utilization"], last.evidence["advice"]) == (0.0, None, None)


def test_silence_ends_it_too() -> None:
    """Of an endpoint that nobody reports on nothing is known any more."""
    others = [scaling(second, 1, 1, "acme/other") for second in range(7200, 5 * HOUR_S, 60)]
    found = of_scaling("low_utilization", [*idle(0, 7200, 0.03), *others])
    assert found[-1].status is Status.RESOLVED


def evidence(utilization: float, ready: int, **known: Any) -> dict[str, Any]:
    config = of_endpoint(settings(), **{"price_usd_per_hour": 2.0, **known})
    (found,) = opened(idle(0, HOUR_S + 180, utilization, ready), config)
    return found.evidence


@pytest.mark.parametrize(
    ("utilization", "ready", "critical", "advice"),
    [
        (0.0, 3, False, ("scale to zero", 0, 3 * 48.0)),
        (0.0, 3, True, ("fewer replicas", 1, 2 * 48.0)),
        (0.08, 20, False, ("fewer replicas", 2, 18 * 48.0)),
        (0.04, 1, False, ("smaller instance", 1, 0.95 * 48.0)),
        (0.0, 1, True, ("smaller instance", 1, 48.0)),
    ],
)
def test_the_advice_has_its_dollars(
    utilization: float, ready: int, advice: tuple[str, int, float], *, critical: bool
) -> None:
    """At 48 $ a day each. Nothing to do: zero. Enough replicas to take some away: fewer. Else a smaller instance."""
    told = evidence(utilization, ready, critical=critical)
    assert (told["advice"], told["replicas_needed"]) == advice[:2]
    assert told["saves_usd_per_day"] == pytest.approx(advice[2])


def test_what_is_wasted_is_measured_against_80_percent() -> None:
    """Four replicas at 2 $/h and 4 %: a twentieth of 80 %, so 95 % of 8 $/h."""
    told = evidence(0.04, 4)
    assert (told["rate_usd_per_hour"], told["wasted_usd_per_hour"]) == (8.0, pytest.approx(7.6))


def test_without_a_price_nothing_is_said_of_money() -> None:
    """The advice stays."""
    told = evidence(0.04, 4, price_usd_per_hour=None)
    usd = [told[name] for name in ("rate_usd_per_hour", "wasted_usd_per_hour", "saves_usd_per_day")]
    assert (usd, told["advice"]) == ([None] * 3, "fewer replicas")


def test_below_half_of_the_threshold_it_is_a_warning() -> None:
    """Else information; and a score has an end."""
    found = [opened(idle(0, HOUR_S + 180, share))[0] for share in (0.06, 0.04, 0.0)]
    assert [one.severity for one in found] == [Severity.INFO, Severity.WARNING, Severity.WARNING]
    assert found[2].score == 100.0


def test_more_than_full_is_full() -> None:
    """A sensor that says 1e300 makes no sum infinite."""
    log = [*idle(0, 300, 1e300), *idle(300, HOUR_S + 180, 0.0)]
    (found,) = opened(log)
    assert found.value == pytest.approx(300 / HOUR_S)


def test_another_window_begins_anew() -> None:
    """Its twelfths have another length: those of the old one would be taken for other times."""
    short, long = (settings(low_utilization=Settings(window=Seconds(window_s))) for window_s in (1200, HOUR_S))
    log = numbered(idle(0, 3 * HOUR_S, 0.01))
    stage = stage_of(SCALING, long)
    assert findings(stage, log[:50]) == []
    stage.reconfigure(short)
    assert findings(stage, log[50:68]) == []
    found = findings(stage, log[68:70])[0]
    assert (found.rule, found.evidence["window_s"], found.evidence["coverage"]) == ("low_utilization", 1200, 0.933)


def test_settings_have_an_effect() -> None:
    """Another threshold, another window."""
    log = idle(0, 1800, 0.15)
    short = Settings(window=Seconds(1200))
    for own, count in [(Settings(), 0), (short, 0), (structs.replace(short, threshold=0.2), 1)]:
        assert len(opened(log, settings(low_utilization=own))) == count
