"""Quantiles from buckets: within 2 % of the exact ones, whatever the distribution."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import quantiles
from detectors.quantiles import LARGEST, Tails, bucket_of, middle

ERROR: Final = 0.02
VALUES: Final = st.floats(1e-6, LARGEST)
ROWS: Final = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), VALUES, st.integers(1, 5)), max_size=60)
Rows = list[tuple[int, int, float, int]]  # step, endpoint, value, count


def filled(rows: Rows, batch: int = 7) -> Tails:
    tails = Tails()
    for start in range(0, len(rows), batch):
        step, endpoint, value, count = zip(*rows[start : start + batch], strict=True)
        tails.add(np.array(step), np.array(endpoint), np.array(value), np.array(count))
    return tails


def largest(rows: Rows, endpoint: int, steps: range) -> list[float]:
    """All numbers of an endpoint, largest first."""
    mine = [(value, count) for step, of, value, count in rows if of == endpoint and step in steps]
    return sorted((value for value, count in mine for _ in range(count)), reverse=True)


@given(VALUES)
def test_the_middle_of_a_bucket_is_near_whatever_is_in_it(value: float) -> None:
    """Within 1.6 %, and a number that is 4 % larger is in a higher one."""
    (bucket,) = bucket_of(np.array([value])).tolist()
    assert middle(bucket) == pytest.approx(value, rel=1 / 64 + 1e-12)
    assert bucket < bucket_of(np.array([value * 1.04])).item() or value > LARGEST / 1.04


@given(ROWS, st.integers(0, 3), st.integers(0, 2), st.integers(1, 12))
def test_every_quantile_is_within_two_percent(rows: Rows, endpoint: int, first: int, place: int) -> None:
    """Over any steps; None where there are not so many numbers."""
    steps = range(first, 3)
    exact, told = largest(rows, endpoint, steps), filled(rows).largest(endpoint, steps, place)
    if len(exact) < place:
        assert told is None
    else:
        assert told == pytest.approx(exact[place - 1], rel=ERROR)


@given(ROWS, st.lists(st.integers(0, 3), unique=True), st.booleans())
def test_what_is_kept_and_put_back_tells_the_same(rows: Rows, some: list[int], is_asked_before: bool) -> None:  # noqa: FBT001
    """With the numbers that the endpoints have then."""
    tails, again, numbers, steps = filled(rows), Tails(), np.array(sorted(some), dtype=np.int64), range(3)
    if is_asked_before:
        tails.largest(0, steps, 1)
    told = [[tails.largest(number, steps, place) for place in (1, 2, 5)] for number in sorted(some)]
    again.put(np.arange(len(numbers)), tails.of(numbers))
    tails.keep(numbers)
    for kept in (tails, again):
        assert [[kept.largest(number, steps, place) for place in (1, 2, 5)] for number in range(len(some))] == told
    assert again.of(np.arange(len(numbers))) == tails.of(np.arange(len(numbers)))


def test_old_steps_are_forgotten() -> None:
    """And nothing else."""
    tails = filled([(0, 0, 5.0, 1), (1, 0, 3.0, 1)])
    tails.forget(1)
    assert tails.largest(0, range(2), 1) == pytest.approx(3.0, rel=ERROR)
    assert tails.largest(0, range(2), 2) is None


def test_a_step_with_very_many_rows_is_kept_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are put together long before it ends."""
    monkeypatch.setattr(quantiles, "UNSORTED", 10)
    tails = filled([(0, 0, 1.0 + i % 3, 2) for i in range(1000)])
    assert tails._loose[0] + len(tails._pieces[0][0][0]) <= 10 + 3
    assert tails.largest(0, range(1), 2000) == pytest.approx(1.0, rel=ERROR)
    assert tails.largest(0, range(1), 2001) is None
