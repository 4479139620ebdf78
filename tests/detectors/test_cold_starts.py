"""Cold starts: what is one, what one costs, and how many are too many."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from detectors.rules.cold_starts import MOST, Settings
from schemas.config import Seconds
from schemas.outputs import Finding, Severity, Status
from schemas.units import US, rfc3339
from tests.detectors.logs import START_S, Entry, of_endpoint, of_scaling, scaling, settings

ONE = Settings(threshold=1)
LLAMA = of_endpoint(settings(cold_starts=ONE), model_gb=26.0)


def counted(*events: tuple[int, bool]) -> int:
    """How many cold starts reports of (ready, cold_start) hold, one a minute, after two that are certain."""
    certain = [*(scaling(second, second % 2, 1) for second in range(4)), scaling(9, 1, 1)]
    log = [scaling(60 * (1 + i), ready, 1, cold_start=cold) for i, (ready, cold) in enumerate(events)]
    end = 60 * (1 + len(events))
    told = of_scaling("cold_starts", [*certain, *log, scaling(end + 60, 1, 1), scaling(end + 90, 1, 1)], LLAMA)
    return int(told[-1].value) - 2


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ([(1, False), (1, False)], 0),
        ([(0, False), (1, False)], 1),
        ([(0, False), (3, False), (1, False), (2, False)], 1),
        ([(0, False), (1, True)], 1),  # both in one report
        ([(0, True), (0, True), (1, False)], 1),  # told while nothing is ready yet, and again by the replicas
        ([(0, True), (0, False), (1, True), (1, False)], 1),
        ([(0, False), (1, False), (1, True)], 1),  # the flag comes a report later
        ([(0, False), (1, False), (1, True), (1, True)], 2),  # that one is of another replica
        ([(1, True), (1, False), (1, True)], 2),
        ([(1, True), (2, True), (3, True)], 3),
        ([(0, True), (1, False), (1, True)], 2),
        ([(0, True), (0, False), (0, True), (1, False)], 2),  # the first attempt came to nothing
        ([(0, False), (0, False), (1, False), (0, False), (1, False)], 2),
    ],
)
def test_a_wake_up_is_one_cold_start_however_it_is_told(events: list[tuple[int, bool]], count: int) -> None:
    """By the flag, by replicas that appear, or by both."""
    assert counted(*events) == count


def test_the_first_report_of_all_is_no_start() -> None:
    """Nobody knows how long its replicas have been there; only its flag tells."""
    for flag in (False, True):
        log = [*(scaling(second, 1, 1, cold_start=flag and second == 0) for second in range(3)), scaling(9, 0, 1)]
        log += [scaling(10, 1, 1), scaling(20, 1, 1)]
        assert [finding.value for finding in of_scaling("cold_starts", log, LLAMA)] == [2.0] * flag


def wakes(count: int, every_s: float, **told: Any) -> list[Entry]:
    """Asleep, and awake half a period later, over and over; then awake, so that the last second closes."""
    pairs = [(i * every_s + half * every_s / 2, half) for i in range(count) for half in (0, 1)]
    end_s = count * every_s
    log = [scaling(time_s, half, half, **told) for time_s, half in pairs]
    return [*log, scaling(end_s, 1, 1), scaling(end_s + 5, 1, 1)]


def opened(log: list[Entry], **known: Any) -> list[Finding]:
    found = of_scaling("cold_starts", log, of_endpoint(settings(), **known))
    return [finding for finding in found if finding.status is Status.OPEN]


def test_ten_in_an_hour_are_not_too_many_and_eleven_are() -> None:
    """The contract: more than ten."""
    assert opened(wakes(10, 300)) == []
    (found,) = opened(wakes(11, 300))
    assert (found.value, found.threshold, found.severity) == (11.0, 10.0, Severity.WARNING)
    assert found.at == rfc3339((START_S + 10 * 300 + 151) * US)


def test_eleven_in_more_than_an_hour_are_not_too_many() -> None:
    """Eleven lie ten periods apart."""
    assert opened(wakes(40, 360)) == []
    assert len(opened(wakes(40, 359))) == 1


def test_a_cold_start_of_26_gb_costs_2_34() -> None:
    """The project's own example: 26 GB at $0.09 a GB."""
    (found,) = opened(wakes(11, 300), model_gb=26.0)
    assert found.evidence["usd_each"] == 2.34
    assert found.evidence["usd_in_window"] == 25.74
    assert found.evidence["usd_per_day"] == 617.76


def test_minutes_initializing_are_added() -> None:
    """Eleven times two and a half minutes at 6 $/h, which are 0.25 $ each."""
    (found,) = opened(wakes(11, 300, state="initializing"), model_gb=26.0, price_usd_per_hour=6.0)
    told = found.evidence
    assert told["initializing_minutes"] == pytest.approx(52.5)  # 2.5 asleep and, but for the last, 2.5 awake
    assert told["usd_initializing"] == pytest.approx(5.25)
    assert told["usd_in_window"] == pytest.approx(25.74 + 5.25)


@pytest.mark.parametrize(
    ("known", "usd"),
    [
        ({"model_gb": None, "price_usd_per_hour": None}, (None, None, None)),
        ({"model_gb": 10.0, "price_usd_per_hour": None}, (0.9, None, 9.9)),
        ({"model_gb": None, "price_usd_per_hour": 6.0}, (None, 5.25, 5.25)),
    ],
)
def test_what_is_not_known_is_not_made_up(known: dict[str, Any], usd: tuple[float | None, ...]) -> None:
    """Null, not zero; and the sum is of what is known."""
    (found,) = opened(wakes(11, 300, state="initializing"), **known)
    told = [found.evidence[name] for name in ("usd_each", "usd_initializing", "usd_in_window")]
    assert told == [None if amount is None else pytest.approx(amount) for amount in usd]


def test_without_states_nobody_knows_how_long_it_was_initializing() -> None:
    """And nothing is said of it."""
    (found,) = opened(wakes(11, 300), model_gb=26.0, price_usd_per_hour=6.0)
    assert (found.evidence["initializing_minutes"], found.evidence["usd_initializing"]) == (None, None)


def test_twice_as_many_are_an_error() -> None:
    """More than twenty in an hour."""
    found = of_scaling("cold_starts", wakes(30, 120))
    assert found[-1].severity is Severity.ERROR
    assert {finding.severity for finding in found} == {Severity.WARNING, Severity.ERROR}


def test_settings_have_an_effect() -> None:
    """The window, the threshold and the price of a GB."""
    log = wakes(4, 60)
    base = Settings(threshold=3, usd_per_gb=0.5)
    short, lax = structs.replace(base, window=Seconds(120)), structs.replace(base, threshold=4)
    for own, count in [(base, 1), (lax, 0), (short, 0)]:
        config = of_endpoint(settings(cold_starts=own), model_gb=3.0)
        found = [one for one in of_scaling("cold_starts", log, config) if one.status is Status.OPEN]
        assert len(found) == count
        assert {one.evidence["usd_each"] for one in found} <= {1.5}


def test_no_more_are_remembered_than_any_threshold_needs() -> None:
    """A loop of hundreds an hour does not grow what is kept."""
    assert of_scaling("cold_starts", wakes(2 * MOST, 10))[-1].value == MOST
    assert MOST > 2 * 50  # an error needs more than twice the largest threshold
