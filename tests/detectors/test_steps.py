"""The ring of steps: the sums of long windows, in small integers that never overflow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.rollup import FIRST_CAPACITY
from detectors.steps import StepRing

STEP_S = 5
STEPS = 4
ROWS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 12), st.integers(1, 9)), max_size=40)


def filled(rows: list[tuple[int, int, int]], endpoints: int = 100) -> StepRing:
    """(endpoint, seconds after the row before, number) of each."""
    ring, second = StepRing(STEP_S, STEPS, 2), 0
    ring.add_endpoints(endpoints)
    for endpoint, forth_s, number in rows:
        second += forth_s
        places = ring.places(np.array([endpoint]), np.array([second]))
        ring.add(0, places, np.array([number]))
        ring.raise_to(1, places, np.array([number]))
    return ring


@given(ROWS)
def test_it_holds_the_sums_and_the_largest_of_the_last_steps(rows: list[tuple[int, int, int]]) -> None:
    """As a dictionary would."""
    ring, second, kept = filled(rows), 0, dict[tuple[int, int], list[int]]()
    for endpoint, forth_s, number in rows:
        second += forth_s
        kept.setdefault((second // STEP_S, endpoint), []).append(number)
    last = second // STEP_S
    assert ring.newest == (last if rows else -1)
    for steps in range(1, STEPS + 1):
        inside = {key: numbers for key, numbers in kept.items() if last - steps < key[0] <= last}
        for endpoint in {endpoint for endpoint, _, _ in rows}:
            mine = [numbers for (_, of), numbers in inside.items() if of == endpoint]
            expected = [sum(map(sum, mine)), sum(map(max, mine))]
            assert ring.sums(last, steps)[:, endpoint].tolist() == expected
            assert ring.sums_of(endpoint, last, steps) == expected
            assert ring.history(0, last, steps, np.array([endpoint])).sum() == expected[0]
        assert ring.has_any(0, last, steps) == bool(inside)


@given(ROWS, st.lists(st.integers(0, 99), unique=True))
def test_what_is_kept_and_put_back_is_what_was_there(rows: list[tuple[int, int, int]], some: list[int]) -> None:
    """A ring made of the others' states has the same steps, and the same newest one."""
    ring, other, numbers = filled(rows), filled([]), np.array(sorted(some), dtype=np.int64)
    states = ring.of(numbers)
    ring.keep(numbers)
    assert ring.of(np.arange(len(numbers))) == states
    other.put(np.arange(len(numbers)), states)
    last = ring.newest
    assert other.newest == last
    assert np.array_equal(other.sums(last, STEPS)[:, : len(numbers)], ring.sums(last, STEPS))


def test_it_grows_with_the_endpoints() -> None:
    """What it held stays with the endpoint that it belongs to."""
    ring = filled([(FIRST_CAPACITY - 1, 7, 4)], FIRST_CAPACITY)
    ring.add_endpoints(10 * FIRST_CAPACITY)
    ring.add(0, ring.places(np.array([5 * FIRST_CAPACITY]), np.array([8])), np.array([3]))
    assert np.flatnonzero(ring.sums(1, 1)[0]).tolist() == [FIRST_CAPACITY - 1, 5 * FIRST_CAPACITY]


def test_steps_that_were_overwritten_are_gone() -> None:
    """A state may still hold one that the ring no longer has room for."""
    ring, other = filled([(1, 0, 5), (2, STEPS * STEP_S, 7)]), filled([])
    assert ring.of(np.array([1, 2])) == [[], [STEPS, 7, 7]]
    other.put(np.array([1, 2]), [[0, 5, 5], [STEPS, 7, 7]])
    assert other.of(np.array([1, 2])) == [[], [STEPS, 7, 7]]


def test_more_requests_than_32_bits_can_count() -> None:
    """Rows may stand for a thousand million requests each."""
    million = [(3, 1, 1_000_000_000)] * 4
    ring, other = filled(million), filled([])
    assert ring.sums_of(3, 0, 1) == [4_000_000_000, 1_000_000_000]
    other.put(np.array([3]), ring.of(np.array([3])))
    assert other.sums_of(3, 0, 1) == [4_000_000_000, 1_000_000_000]
