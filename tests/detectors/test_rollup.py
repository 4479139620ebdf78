"""The ring: per endpoint and second, and nothing of what is over."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.rollup import FIRST_CAPACITY, RequestColumns, Ring, to_columns
from schemas.events import Request
from schemas.units import US


def columns(*rows: tuple[int, int, int]) -> RequestColumns:
    """(endpoint, second, count) of each request."""
    events = [Request("a", float(second), count=count) for _, second, count in rows]
    endpoint = np.array([endpoint for endpoint, _, _ in rows], dtype=np.int64)
    return to_columns(events, endpoint, np.array([second * US for _, second, _ in rows], dtype=np.int64))


def test_a_row_counts_its_requests() -> None:
    """Errors are server errors, times `count`; tokens are those of the whole row."""
    good = Request("a", 1.0, count=3, status=499, input_tokens=7, output_tokens=9)
    failed = Request("a", 1.9, count=2, status=500)
    numbers = to_columns([good, failed], np.zeros(2, dtype=np.int64), np.array([US, 1_900_000]))
    assert numbers.numbers.tolist() == [[3, 2], [0, 2], [7, 0], [9, 0]]
    assert numbers.second.tolist() == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30), st.integers(0, 9)), max_size=40))
def test_the_ring_holds_the_sums_of_its_seconds(rows: list[tuple[int, int, int]]) -> None:
    """As a dictionary would, for the seconds that it reaches; zero for all others."""
    ring, sums = Ring(5), dict[tuple[int, int], int]()
    ring.fit(201)
    for endpoint, second, count in rows:
        ring.advance(second)
        if second > ring.newest - ring.seconds:
            ring.add(columns((endpoint, second, count)))
            sums[second, endpoint] = sums.get((second, endpoint), 0) + count
    for second in range(-2, 35):
        kept = ring.newest - ring.seconds < second <= ring.newest
        expected = [sums.get((second, endpoint), 0) * kept for endpoint in range(201)]
        assert ring.row(second, 201)[0].tolist() == expected


def test_it_grows_with_the_endpoints() -> None:
    """What it held stays where it was."""
    ring = Ring(3)
    ring.advance(7)
    ring.add(columns((FIRST_CAPACITY - 1, 7, 4)))
    ring.fit(10 * FIRST_CAPACITY)
    ring.add(columns((10 * FIRST_CAPACITY - 1, 6, 5)))
    assert ring.of(FIRST_CAPACITY - 1, 0) == [(7, [4, 0, 0, 0])]
    assert ring.of(10 * FIRST_CAPACITY - 1, 0) == [(6, [5, 0, 0, 0])]


def test_what_is_put_back_is_what_was_there() -> None:
    """Rows that are over meanwhile are left out."""
    ring, other = Ring(3), Ring(3)
    ring.advance(7)
    ring.add(columns((0, 5, 1), (0, 7, 2)))
    other.advance(8)
    other.put(0, ring.of(0, 0))
    assert other.of(0, 0) == [(7, [2, 0, 0, 0])]
