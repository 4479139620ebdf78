"""The bank of normals is the normal, series by series and bit by bit."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from detectors.memory import HOUR_S
from detectors.normal import ACCEPT_S, LearnedNormal, NormalState
from detectors.normal_bank import NormalBank

STEP_S: Final = 60.0
SERIES: Final = 3
ALL: Final = np.ones(SERIES, dtype=np.bool_)
VALUES: Final = st.one_of(
    st.integers(0, 30).map(float), st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e300, -1e300, 5.0])
)
STEP: Final = st.tuples(
    st.sampled_from([1, 1, 1, 2, 60, 5000]),  # how many steps later
    st.lists(VALUES, min_size=SERIES, max_size=SERIES),
    st.lists(st.booleans(), min_size=SERIES, max_size=SERIES),  # whether it teaches
    st.sets(st.integers(0, SERIES - 1), min_size=1),  # which of the series take part
)


class Both:
    """Series by the one and by the other."""

    def __init__(self) -> None:
        self.bank = NormalBank(STEP_S)  # without scores, as rules have it
        self.scored = NormalBank(STEP_S, scored=True)
        self.bank.add(SERIES)
        self.scored.add(SERIES)
        self.ones = [LearnedNormal(STEP_S) for _ in range(SERIES)]

    def update(
        self, time_s: float, values: list[float], teach: list[bool], numbers: list[int], *, compare: bool = True
    ) -> None:
        at = np.array(numbers)
        chosen = np.array(values)[at], np.array(teach)[at]
        self.bank.update(at, time_s, *chosen)
        judged = self.scored.judge(at, time_s, *chosen)
        for place, number in enumerate(numbers):
            mine = self.ones[number].update(time_s, values[number], teach=teach[number])
            assert mine == tuple(column[place] for column in judged)
        if compare:
            self.compare(time_s, numbers)

    def compare(self, time_s: float, numbers: list[int]) -> None:
        expected = self.bank.expect(np.array(numbers))
        for place, number in enumerate(numbers):
            judgement = self.ones[number].expect(time_s)
            assert (judgement.expected, judgement.high) == (expected.expected[place], expected.high[place])
            assert (judgement.warm, judgement.low) == (expected.warm[place], expected.low[place])
        self.look_ahead(time_s + HOUR_S, numbers)
        states = [self.ones[number].snapshot() for number in numbers]
        assert states == self.scored.snapshots(np.array(numbers))
        assert [structs.replace(state, surprise=None) for state in states] == self.bank.snapshots(np.array(numbers))
        assert [self.ones[number].describe() for number in numbers] == list(map(self.bank.describe, numbers))

    def look_ahead(self, time_s: float, numbers: list[int]) -> None:
        """What is expected at another hour; asking changes nothing."""
        ahead = self.bank.expect(np.array(numbers), time_s)
        for place, number in enumerate(numbers):
            judgement = self.ones[number].expect(time_s)
            assert (judgement.expected, judgement.high) == (ahead.expected[place], ahead.high[place])


def taught(steps: int) -> Both:
    """Both after a steady level with some jitter."""
    both = Both()
    for step in range(steps):
        values = [float((7 * step + 3 * series) % (4 + 9 * series)) for series in range(SERIES)]
        both.update(step * STEP_S, values, [True] * SERIES, list(range(SERIES)), compare=step % 100 == 0)
    return both


@given(st.lists(STEP, max_size=40), st.sampled_from([0, 29, 100]))
def test_each_series_is_a_learned_normal(
    steps: list[tuple[int, list[float], list[bool], set[int]]], before: int
) -> None:
    """Whatever comes: the state is the same after every step, with gaps, open episodes and values beyond reason."""
    both, step = taught(before), before
    for gap, values, teach, numbers in steps:
        step += gap
        both.update(step * STEP_S, values, teach, sorted(numbers))


def test_a_new_level_moves_both_alike() -> None:
    """Level, season, the hour's usual value and the hours of the week."""
    both, steps = taught(3 * 1440), int(ACCEPT_S / STEP_S)
    for step in range(3 * 1440, 3 * 1440 + steps + 60):
        both.update(step * STEP_S, [900.0, 5.0, 9.0 + step % 5], [False, True, True], [0, 1, 2])
    expected = both.bank.expect(np.arange(SERIES)).expected
    assert expected[0] > 800  # it has moved, untaught
    assert expected[2] < 20


def test_what_is_withheld_stays_with_its_series() -> None:
    """When others go, when it comes back from a snapshot, and until a new level is taught it."""
    both, first, last = taught(300), 300, 300 + int(ACCEPT_S / STEP_S)
    for step in range(first, last):
        both.update(step * STEP_S, [1.0, 900.0, 700.0], [True, False, False], [0, 1, 2], compare=step % 50 == 0)
        if step == first + 100:
            assert [len(state.withheld) for state in both.bank.snapshots(np.arange(SERIES))] == [0, 2, 2]
            other, (state,) = NormalBank(STEP_S), both.bank.snapshots(np.array([1]))
            other.add(1)
            other.restore(np.array([0]), [state])
            kept = NormalBank(STEP_S)
            kept.add(SERIES)
            kept.restore(np.arange(SERIES), both.bank.snapshots(np.arange(SERIES)))
            kept.keep(np.array([1]))
            kept.add(2)
        if step > first + 100:
            for bank in (other, kept):
                bank.update(np.array([0]), step * STEP_S, np.array([900.0]), np.array([False]))
    (state,) = both.bank.snapshots(np.array([1]))
    assert state.withheld == ()
    assert other.snapshots(np.array([0])) == kept.snapshots(np.array([0])) == [state]
    assert kept.snapshots(np.array([1, 2])) == [structs.replace(LearnedNormal(STEP_S).snapshot(), surprise=None)] * 2


def test_a_snapshot_restores_either() -> None:
    """What one has written the other reads; series that are not kept are gone, and new ones are new."""
    both = taught(2000)
    states = both.scored.snapshots(np.arange(SERIES))
    wire = [msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=NormalState) for state in states]
    other = Both()
    other.ones = [LearnedNormal.restore(state) for state in wire]
    other.bank.restore(np.arange(SERIES)[::-1], wire[::-1])
    other.scored.restore(np.arange(SERIES)[::-1], wire[::-1])
    other.update(2000 * STEP_S, [1.0, 20.0, 3.0], [True] * SERIES, [0, 1, 2])
    for bank in (other.bank, other.scored):
        bank.keep(np.array([2]))
        bank.add(1)
    left = [other.ones[2].snapshot(), LearnedNormal(STEP_S).snapshot()]
    assert other.scored.snapshots(np.arange(2)) == left
    assert other.bank.snapshots(np.arange(2)) == [structs.replace(state, surprise=None) for state in left]


def test_a_state_without_surprise_begins_it_anew() -> None:
    """As a bank without scores writes it: the normal goes on, and nothing is scored before it is warm."""
    (state,) = taught(200).bank.snapshots(np.array([1]))
    normal, bank = LearnedNormal.restore(state), NormalBank(STEP_S, scored=True)
    bank.add(1)
    bank.restore(np.array([0]), [state])
    mine = normal.update(200 * STEP_S, 1e6)
    assert mine.warm
    assert mine.score == 0.0
    assert mine == tuple(column[0] for column in bank.judge(np.array([0]), 200 * STEP_S, np.array([1e6]), ALL[:1]))
