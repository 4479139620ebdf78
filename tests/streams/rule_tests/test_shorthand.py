"""The short-hand: exact in time, nothing drawn at random, and a mistake is answered with what was expected."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.units import US
from streams.rule_tests.shorthand import MOST_EVENTS, Levels, Rates, Replicas, States
from streams.values import MismatchError


def times_s(text: str) -> list[float]:
    return [tick.at_us / US for tick in Rates.written(text).ticks()]


def levels(text: str | float, *at_s: float) -> list[float]:
    return list(Levels.written(text).values([round(second * US) for second in at_s]))


def test_a_rate_is_evenly_spaced_from_the_start_on() -> None:
    """The first request comes at once, and none at the end: the next piece begins there."""
    assert times_s("4/s for 1s") == [0.0, 0.25, 0.5, 0.75]
    assert times_s("3/m for 1m") == [0.0, 20.0, 40.0]
    assert times_s("2/h for 1h") == [0.0, 1800.0]


def test_pieces_follow_one_another_and_zero_is_silence() -> None:
    """Whether they are joined by a comma, by `then` or by both."""
    expected = [0.0, 0.5, 61.0, 61.25, 61.5, 61.75]
    assert times_s("2/s for 1s, then 0 for 1m, then 4/s for 1s") == expected
    assert times_s("2/s for 1s, 0 for 1m then 4/s for 1s") == expected


def test_what_is_due_is_carried_from_piece_to_piece() -> None:
    """Half a request and half a request are one, not two."""
    assert times_s("(1/s for 500ms) x 4") == [0.0, 1.0]
    assert len(times_s("(1/s for 100ms, then 0 for 1s) x 100")) == 10


def test_repeats_may_be_nested() -> None:
    """And the number of times may stand close to its x."""
    assert times_s("((1/s for 1s) x 2, then 0 for 8s) x3") == [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]


def test_a_ramp_brings_as_many_as_its_mean_rate() -> None:
    """Closer and closer on the way up, and further and further on the way down."""
    up, down = times_s("0/s to 10/s for 10s"), times_s("10/s to 0/s for 10s")
    assert len(up) == len(down) == 50
    gaps = [after - before for before, after in pairwise(up)]
    assert gaps == sorted(gaps, reverse=True)
    assert up[8] == pytest.approx(4.0)  # t^2 / 2 are due at t seconds
    gaps = [after - before for before, after in pairwise(down)]
    assert gaps == sorted(gaps)
    assert down[-1] < 10


def test_above_a_thousand_a_second_events_count_several_requests() -> None:
    """One event a millisecond at most, and not a request less."""
    ticks = list(Rates.written("2500/s for 2s").ticks())
    assert len(ticks) == 2000
    assert sum(tick.requests for tick in ticks) == 5000
    assert {tick.requests for tick in ticks} == {2, 3}
    assert {tick.requests for tick in Rates.written("1000/s for 1s").ticks()} == {1}


@given(
    rates=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), min_size=1, max_size=6),
    unit=st.sampled_from("sm"),
)
def test_the_number_of_requests_is_what_the_rates_add_up_to(rates: list[tuple[int, int]], unit: str) -> None:
    """Rounded up, as the first of them comes at once; in order of time, and none after the end."""
    times = times_s(", then ".join(f"{rate}/{unit} for {seconds}s" for rate, seconds in rates))
    due = sum(Fraction(rate * seconds, 1 if unit == "s" else 60) for rate, seconds in rates)
    assert len(times) == -(-due // 1)
    assert times == sorted(set(times))
    assert all(time < sum(seconds for _, seconds in rates) for time in times)


def test_a_level_holds_for_its_piece_and_the_last_one_for_ever() -> None:
    """A number alone is a level without an end."""
    assert levels(3, 0, 1e6) == [3, 3]
    assert levels("3 for 5m, then 15 for 40s", 0, 299, 300, 340, 1000) == [3, 3, 15, 15, 15]
    assert levels("1% for 10s, then 50%", 9, 10) == [0.01, 0.5]
    assert levels("0 to 10 for 10s", 0, 2.5, 10, 20) == [0, 2.5, 10, 10]


def test_a_range_comes_evenly_and_in_no_order() -> None:
    """A thousand of them have the quantiles of the range, whichever hundred are looked at."""
    found = levels("0.2..1.2", *range(1000))
    assert sorted(found)[950] == pytest.approx(0.2 + 0.95, abs=0.002)
    assert sorted(found[300:400])[50] == pytest.approx(0.7, abs=0.02)
    assert found != sorted(found)
    assert found == levels("0.2..1.2", *range(1000))


def test_replicas_are_ready_or_ready_and_wanted() -> None:
    """A ramp climbs in whole replicas."""
    series = Replicas.written("2 for 10m, then 2->40 for 5m, then 4 to 8 for 4m")
    assert [series.at(minute * 60 * US) for minute in (0, 10, 15, 17, 19)] == [
        (2, 2),
        (2, 40),
        (4, 4),
        (6, 6),
        (8, 8),
    ]


def test_states_have_hugging_faces_names() -> None:
    """And follow one another as numbers do."""
    states = States.written("running for 5m, then initializing for 3m")
    assert [states.at(minute * 60 * US) for minute in (0, 5, 9)] == ["running", "initializing", "initializing"]


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Rates, "10/s", "'for' and a duration after each value, got '10/s'"),
        (Rates, "10/s for", "a duration such as 1m30s after 'for', got the end after '10/s for'"),
        (Rates, "10/s for 5", "a duration such as 1m30s after 'for', got '5'"),
        (Rates, "10/s for 0s", "got '0s'"),
        (Rates, "10 for 5m", "a rate such as 50/s, 3/m or 5/h, got '10'"),
        (Rates, "10/s for 5m 3/s for 2m", "', then' and a value, or the end, got '3/s'"),
        (Rates, "10/s for 5m, then", "a value, got the end"),
        (Rates, "(10/s for 5m", "')', got the end"),
        (Rates, "(10/s for 5m)", "'x' and a number of times after ')'"),
        (Rates, "(10/s for 5m) x many", "'x' and a number of times after ')'"),
        (Rates, "(10/s for 5m) x 0", "'x' and a number of times after ')'"),
        (Rates, "((1/s for 1s) x 99999) x 99999", "at most 100000 pieces"),
        (Rates, "1000/s for 9d", f"at most {MOST_EVENTS} requests, got 777600000"),
        (Levels, "3, then 4", "'for' and a duration after each value"),
        (Levels, "many", "a number such as 3, 0.5 or 2%"),
        (Levels, "0.2..", "got ''"),
        (Replicas, "2->x for 5m", "ready->target such as 2->40, got '2->x'"),
        (Replicas, "2.5 for 5m", "got '2.5'"),
        (States, "runing for 5m", "did you mean 'running'?"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(kind: Any, text: str, words: str) -> None:
    """And with the word at which it was expected."""
    with pytest.raises(MismatchError) as caught:
        kind.written(text)
    assert words in str(caught.value)
