"""What is normal: robust, seasonal, and exactly the same after a restart."""

from __future__ import annotations

import doctest
import math
from types import ModuleType
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors.memory
import detectors.normal
import detectors.surprise
from detectors.memory import HOUR_S
from detectors.normal import ACCEPT_S, LIMIT, WARM_STEPS, LearnedNormal, NormalState

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


@pytest.mark.parametrize("module", [detectors.normal, detectors.memory, detectors.surprise])
def test_the_documented_examples_run(module: ModuleType) -> None:
    """What a docstring shows is what happens."""
    assert doctest.testmod(module).failed == 0


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


@given(st.lists(st.floats(0, 300), max_size=30), st.floats(-1000, 1000), st.floats(1, 1000))
def test_a_value_further_out_is_no_less_surprising(values: list[float], last: float, more: float) -> None:
    """On the same side of all that was seen; and in the same state a score is the same."""
    normal = taught(100)
    for step, value in enumerate(values):
        normal.update((100 + step) * STEP_S, value)
    edge = max([*values, 102.0]) if last > 100 else min([*values, 100.0])
    near = max(last, edge) if last > 100 else min(last, edge)
    far = near + more if last > 100 else near - more
    one, other = again(normal).update(200 * STEP_S, near), again(normal).update(200 * STEP_S, far)
    assert one.score <= other.score
    assert again(normal).update(200 * STEP_S, near) == one


@given(
    st.lists(st.integers(0, 300).map(lambda number: number + 0.3), min_size=100, max_size=130),
    st.sampled_from([2.0**-4, 2.0**10]),
)
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    """Of what is measured, not counted: what is expected changes with the unit, and a score does not."""
    one, other = LearnedNormal(STEP_S), LearnedNormal(STEP_S)
    for step, value in enumerate(values):
        mine, theirs = one.update(step * STEP_S, value), other.update(step * STEP_S, value * factor)
        assert theirs.expected == pytest.approx(mine.expected * factor, rel=1e-6, abs=1e-6)
        if mine.score > 1e-3:
            assert theirs.score == pytest.approx(mine.score, rel=1e-2)


def test_a_change_is_seen_at_once_and_its_echo_is_silent() -> None:
    """One spike is one surprise: what follows it, and the way back, are not."""
    normal = taught(300)
    assert normal.update(300 * STEP_S, 200.0).score > 1
    after = [normal.update(step * STEP_S, 100.0 + step % 3).score for step in range(301, 310)]
    assert max(after) < 1


def test_one_of_what_is_counted_is_no_surprise() -> None:
    """A first request after hours without one is chance; a first second of delay is not, nor are many requests."""
    counted, measured = LearnedNormal(STEP_S), LearnedNormal(STEP_S)
    for step in range(300):
        counted.update(step * STEP_S, 0.0)
        measured.update(step * STEP_S, 0.0 if step else 0.25)
    assert counted.judge(300 * STEP_S, 1.0).score < 1 < counted.judge(300 * STEP_S, 20.0).score
    assert measured.judge(300 * STEP_S, 1.0).score > 1


def test_a_drop_is_seen_as_a_rise_is() -> None:
    """To nothing, too."""
    assert taught(300).update(300 * STEP_S, 0.0).score > 1
    assert taught(300).update(300 * STEP_S, 50.0).score > 1


def test_an_hour_that_is_restless_every_day_is_less_surprising_then() -> None:
    """What noon usually does is no surprise at noon, and is one at midnight."""
    normal, minutes = LearnedNormal(STEP_S), 10 * 1440
    for step in range(minutes):
        noon = step // 60 % 24 == 12
        normal.update(step * STEP_S, 100.5 + (step * 7919 % 41 - 20 if noon else step % 3))
    at_noon, at_midnight = again(normal), again(normal)
    assert at_noon.update((minutes + 12 * 60 + 30) * STEP_S, 118.0).score < 1
    assert at_midnight.update((minutes + 30) * STEP_S, 118.0).score > 1


def test_an_open_episode_does_not_become_less_surprising() -> None:
    """What does not teach is judged as if it were the first."""
    normal = taught(300)
    scores = {normal.update(step * STEP_S, 900.0, teach=False).score for step in range(300, 309)}
    assert len(scores) == 1


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


def test_what_has_grown_as_a_whole_has_grown_at_night_too() -> None:
    """A threefold level is three times the nights as well as the days, not nights plus what the days have gained."""
    normal, day = LearnedNormal(600.0), 6 * 24

    def usual(step: int) -> float:
        return (500.0 if 8 <= step // 6 % 24 < 20 else 100.0) + step % 5

    for step in range(7 * day):
        normal.update(step * 600.0, usual(step))
    for step in range(7 * day + 9 * 6, 7 * day + 16 * 6):
        normal.update(step * 600.0, 3 * usual(step), teach=False)
    assert normal.expect((7 * day + 15 * 6) * 600.0).expected == pytest.approx(1500.0, rel=0.1)
    for step in range(7 * day + 16 * 6, 8 * day):
        normal.update(step * 600.0, 3 * usual(step))
    assert normal.expect((8 * day - 1) * 600.0).expected == pytest.approx(300.0, rel=0.4)


def office(step: int, step_s: float, *, high: float = 60.0, low: float = 6.0) -> float:
    """Working hours of weekdays, a step each; the first day is a Thursday, as the epoch's."""
    hour = int(step * step_s // HOUR_S)
    return high if hour // 24 % 7 not in {2, 3} and 8 <= hour % 24 < 18 else low


def surging_days(step_s: float, ratio: float, *, high: float, low: float = 6.0, weeks: int = 4) -> list[int]:
    """On which days an episode opens: above `ratio` times the normal, and `high`. It begins on a Saturday."""
    normal, days, is_open = LearnedNormal(step_s), [], False
    for step in range(int(2 * 86_400 / step_s), int((2 + 7 * weeks) * 86_400 / step_s)):
        value, judgement = office(step, step_s, high=high, low=low), normal.expect(step * step_s)
        above = judgement.warm and value > max(ratio * judgement.expected, judgement.high)
        if above and not is_open:
            days.append(int(step * step_s // 86_400))
        is_open = above
        normal.update(step * step_s, value, teach=not above)
    return days


@pytest.mark.parametrize("step_s", [60.0, 600.0, 3600.0])
@pytest.mark.parametrize(("ratio", "high"), [(2.0, 18.0), (5.0, 60.0)])
def test_a_rise_of_every_weekday_is_new_only_once(step_s: float, ratio: float, high: float) -> None:
    """What the first Monday's episode withheld is known on Tuesday and on the next Monday, after a calm weekend."""
    assert surging_days(step_s, ratio, high=high) == [4]


def test_a_rise_from_nothing_is_new_no_more_than_twice() -> None:
    """Idle nights and weekends leave no ratio to go by."""
    assert surging_days(600.0, 2.0, high=4.0, low=0.0) in ([4], [4, 11])


def test_what_a_deviation_that_ended_has_withheld_is_forgotten() -> None:
    """Once calm steps have counted back to nothing; until then it is part of the state."""
    normal = taught(300)
    before = normal.expect(300 * STEP_S)
    for step in range(300, 400):
        normal.update(step * STEP_S, 900.0, teach=False)
    ((hour, mean, steps), *others) = normal.snapshot().withheld
    assert (hour, mean, steps, len(others)) == (5, 900.0, 60, 1)
    for step in range(400, 500):
        normal.update(step * STEP_S, 101.0, teach=False)
    assert normal.snapshot().withheld == ()
    assert normal.expect(300 * STEP_S) == before


def test_a_night_after_an_accepted_day_is_no_new_level() -> None:
    """The evening is followed within the hour or two, and by the next nights expected: it takes no six hours."""
    normal, step_s = LearnedNormal(600.0), 600.0
    for step in range(2 * 144, 16 * 144):
        hour = step // 6
        normal.update(step * step_s, office(step, step_s), teach=not (hour // 24 == 4 and 8 <= hour % 24 < 14))
    for hour in (20, 22, 24 + 2, 24 + 6):
        assert normal.expect((14 * 24 + hour) * HOUR_S).low <= 6.0


def test_an_hour_that_was_seen_on_weekends_alone_leaves_something_to_expect() -> None:
    """Nights that were busy on the weekend and are not on Monday: what the day takes off is more than there is."""
    normal, step_s = LearnedNormal(600.0), 600.0
    for step in range(2 * 144, 4 * 144):
        normal.update(step * step_s, 60.0 if step // 6 % 24 < 8 else 6.0)
    for step in range(4 * 144, 4 * 144 + 8 * 6):
        normal.update(step * step_s, 10.0)
    for hour in range(8, 18):
        assert 1.0 < normal.expect((4 * 24 + hour + 0.5) * HOUR_S).expected < 10.0


def test_a_snapshot_within_a_long_episode_changes_nothing() -> None:
    """What is withheld goes with it, and is taught by the one as by the other."""
    one, largest = taught(300), 0
    for step in range(300, 300 + round(ACCEPT_S / STEP_S) + 5):
        other = again(one)
        for both in (one, other):
            both.update(step * STEP_S, 900.0 + step % 7, teach=False)
        assert one.snapshot() == other.snapshot()
        largest = max(largest, len(one.snapshot().withheld))
    assert largest == round(ACCEPT_S / HOUR_S)


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


def test_it_says_why_it_expects_what_it_expects() -> None:
    """Level and season add up to what is expected, and the hours that were seen are counted."""
    normal = LearnedNormal(600.0)
    for step in range(6 * 24 * 10):
        hour = step // 6 % 24
        judgement = normal.update(step * 600.0, (500.0 if 8 <= hour < 20 else 100.0) + step % 5)
    told = normal.describe()
    assert told["level"] + told["season"] == pytest.approx(told["expected"])
    assert told["low"] <= told["expected"] <= told["high"]
    assert told["expected"] == pytest.approx(judgement.expected, rel=0.05)
    assert (told["steps"], told["hours_of_day_seen"], told["hours_of_week_seen"]) == (
        1440, pytest.approx(10.0), pytest.approx(2.0),
    )  # fmt: skip


def test_the_state_stays_small() -> None:
    """At most 4 KiB, whatever was seen, as it is written."""
    normal = LearnedNormal(3600.0)
    for step in range(24 * 30):
        normal.update(step * 3600.0, 1e14 * (step % 7) + 0.1)
    for step in range(24 * 30, 24 * 30 + 5):
        normal.update(step * 3600.0, 1e15, teach=False)
    assert len(normal.snapshot().withheld) == 5
    assert len(msgspec.msgpack.encode(normal.snapshot())) <= 4096


@given(STEPS)
def test_to_judge_is_to_update_without_learning(steps: list[tuple[int, float, bool]]) -> None:
    """The same judgement, and not one bit of the state moves."""
    normal, step = taught(100), 100
    for gap, value, teach in steps:
        step += gap
        before = normal.snapshot()
        judged = normal.judge(step * STEP_S, value)
        assert normal.snapshot() == before
        assert judged == normal.update(step * STEP_S, value, teach=teach)
