"""What is normal: robust, seasonal, and exactly the same after a restart."""

from __future__ import annotations

import doctest
import math
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors.normal
from detectors.normal import ACCEPT_S, LIMIT, WARM_STEPS, Judgement, LearnedNormal, NormalState

STEP_S: Final = 60.0
VALUES: Final = st.one_of(st.floats(), st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e300, -1e300, 5.0]))
STEPS: Final = st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 60, 5000]), VALUES, st.booleans()), max_size=120)


def taught(steps: int, level: float = 100.0) -> LearnedNormal:
    """A normal that has seen a level with a little jitter."""
    normal = LearnedNormal(STEP_S)
    for step in range(steps):
        normal.update(step * STEP_S, level + step % 3)
    return normal


def again(normal: LearnedNormal) -> LearnedNormal:
    """As it comes back from a snapshot on the wire."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(normal.snapshot()), type=NormalState)
    return LearnedNormal.restore(state)


def test_the_documented_example_runs() -> None:
    """What the docstring shows is what happens."""
    assert doctest.testmod(detectors.normal).failed == 0


@given(STEPS)
def test_no_number_is_ever_nan(steps: list[tuple[int, float, bool]]) -> None:
    """Whatever comes: NaN, infinities, zeros, gaps, values beyond reason."""
    normal, step = LearnedNormal(STEP_S), 0
    for gap, value, teach in steps:
        step += gap
        judgement = normal.update(step * STEP_S, value, teach=teach)
        assert all(map(math.isfinite, judgement))
        assert judgement.low <= judgement.expected <= judgement.high


@given(STEPS, st.integers(0, 120))
def test_a_snapshot_at_any_point_changes_nothing(steps: list[tuple[int, float, bool]], place: int) -> None:
    """Not one bit of any judgement after it."""
    one = other = taught(50)
    other, step = again(one), 1000
    for number, (gap, value, teach) in enumerate(steps):
        step += gap
        if number == place:
            other = again(other)
        mine = one.update(step * STEP_S, value, teach=teach)
        assert mine == other.update(step * STEP_S, value, teach=teach)
    assert one.snapshot() == other.snapshot()


def test_it_judges_only_once_warm() -> None:
    """Before it has seen enough steps every score is 0."""
    normal = LearnedNormal(STEP_S)
    for step in range(WARM_STEPS):
        assert normal.update(step * STEP_S, 9.0 if step % 2 else 900.0)[::4] == (0.0, False)
    assert normal.expect(0.0).warm


@given(st.lists(st.floats(0, 300), max_size=30), st.floats(-1000, 1000))
def test_the_score_says_whether_it_lies_outside(values: list[float], last: float) -> None:
    """More than 1 exactly outside of low..high."""
    normal = taught(100)
    for step, value in enumerate(values):
        normal.update((100 + step) * STEP_S, value)
    seen = normal.update(200 * STEP_S, last)
    if not any(math.isclose(last, edge, abs_tol=1e-6) for edge in (seen.low, seen.high)):
        outside = not seen.low <= last <= seen.high
        assert (seen.score > 1) == (outside and not _touches_zero(seen, last))


def _touches_zero(seen: Judgement, last: float) -> bool:
    """Nothing expected, nothing below: there is no scale to measure by."""
    return last < seen.expected and seen.expected == seen.low


def test_a_spike_does_not_teach() -> None:
    """One value of any size moves the normal by less than a hundredth."""
    normal = taught(300)
    before = normal.expect(300 * STEP_S)
    assert normal.update(300 * STEP_S, 1e12).score > 1
    after = normal.expect(301 * STEP_S)
    assert after.expected == pytest.approx(before.expected, rel=0.01)
    assert after.high == pytest.approx(before.high, rel=0.2)


def test_an_episode_does_not_teach() -> None:
    """With `teach=False` nothing moves for as long as it is not accepted."""
    normal = taught(300)
    before = normal.expect(300 * STEP_S)
    for step in range(300, 500):
        normal.update(step * STEP_S, 900.0, teach=False)
    assert normal.expect(300 * STEP_S) == before


@pytest.mark.parametrize("teach", [True, False])
def test_a_lasting_level_becomes_normal_after_the_stated_time(*, teach: bool) -> None:
    """Not a step before, and at once then."""
    normal, steps = taught(300), round(ACCEPT_S / STEP_S)
    for step in range(300, 300 + steps - 1):
        normal.update(step * STEP_S, 900.0, teach=teach)
    if not teach:
        assert normal.expect(0.0).expected < 150
        normal.update((300 + steps - 1) * STEP_S, 900.0, teach=teach)
    error = 0.15 if teach else 0.01  # what it was taught on the way still shows
    assert normal.expect((300 + steps) * STEP_S).expected == pytest.approx(900.0, rel=error)


def test_a_lasting_level_becomes_normal_in_hours_that_are_known_too() -> None:
    """With days of history, what an hour usually was does not hold the new level back."""
    normal, day = LearnedNormal(600.0), 6 * 24
    for step in range(3 * day):
        normal.update(step * 600.0, 100.0 + step % 5)
    lasting = round(ACCEPT_S / 600.0)
    for step in range(3 * day, 3 * day + lasting):
        normal.update(step * 600.0, 900.0, teach=False)
    assert normal.expect((3 * day + lasting - 1) * 600.0).expected == pytest.approx(900.0, rel=0.01)


def test_a_daily_season_is_learned() -> None:
    """After some days noon is expected at noon, and a noon at midnight is not."""
    normal = LearnedNormal(600.0)
    for step in range(6 * 24 * 10):
        hour = step // 6 % 24
        normal.update(step * 600.0, (500.0 if 8 <= hour < 20 else 100.0) + step % 5)
    day_s = 11 * 86_400.0
    assert normal.expect(day_s + 12 * 3600).expected > 350
    assert normal.expect(day_s + 3600).expected < 200


def test_a_series_may_be_zero_or_negative() -> None:
    """Zeros expect zeros; a balance may fall below zero, a count is never expected to."""
    assert taught(100, level=0.0).expect(0.0).low == 0.0
    debts = taught(100, level=-100.0).expect(0.0)
    assert debts.low < debts.expected < debts.high
    assert debts.expected == pytest.approx(-99.0, rel=0.02)


def test_values_beyond_the_limit_are_taken_as_the_limit() -> None:
    """So that their squares stay finite."""
    one, other = taught(100), taught(100)
    assert one.update(6000.0, 1e300) == other.update(6000.0, LIMIT)
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_ignored(value: float) -> None:
    """It is judged as nothing, and teaches nothing."""
    normal = taught(100)
    before = normal.snapshot()
    assert normal.update(6000.0, value).score == 0.0
    assert normal.snapshot() == before
