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
    """Errors are server errors, times `count`."""
    good = Request("a", 1.0, count=3, status=499)
    failed = Request("a", 1.9, count=2, status=500)
    several = to_columns([good, failed], np.zeros(2, dtype=np.int64), np.array([US, 1_900_000]))
    assert several.numbers.tolist() == [[3, 2], [0, 2]]
    assert several.second.tolist() == [1, 1]
    single = to_columns([Request("a", 1.0), Request("a", 1.0, status=503)], np.zeros(2, dtype=np.int64), np.full(2, US))
    assert single.numbers.tolist() == [[1, 1], [0, 1]]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30), st.integers(0, 9)), max_size=40))
def test_the_ring_holds_the_sums_of_its_seconds(rows: list[tuple[int, int, int]]) -> None:
    """As a dictionary would, for the seconds that it reaches; zero for all others."""
    ring, sums = Ring(5), dict[tuple[int, int], int]()
    ring.add_endpoints(201)
    for endpoint, second, count in rows:
        ring.advance(second)
        if second > ring.newest - ring.seconds:
            ring.count(columns((endpoint, second, count)))
            sums[second, endpoint] = sums.get((second, endpoint), 0) + count
    for second in range(-2, 35):
        expected = [sums.get((second, endpoint), 0) * is_kept(ring, second) for endpoint in range(201)]
        assert ring.row(second)[0].tolist() == expected
        summed = [
            sum(sums.get((at, e), 0) for at in range(second - 2, second + 1) if is_kept(ring, at)) for e in (0, 200)
        ]
        assert ring.window(second, 3)[[0, 200]].tolist() == summed


def is_kept(ring: Ring, second: int) -> bool:
    return ring.newest - ring.seconds < second <= ring.newest


def test_it_grows_and_shrinks_with_the_endpoints() -> None:
    """What it held stays with the endpoint that it belongs to."""
    ring, many = Ring(3), 10 * FIRST_CAPACITY
    ring.add_endpoints(FIRST_CAPACITY)
    ring.advance(7)
    ring.count(columns((FIRST_CAPACITY - 1, 7, 4)))
    ring.add_endpoints(many - FIRST_CAPACITY)
    ring.count(columns((many - 1, 6, 5)))
    assert ring.of(np.array([0, FIRST_CAPACITY - 1, many - 1])) == [[], [[7, 4, 0]], [[6, 5, 0]]]
    ring.keep(np.array([many - 1]))
    ring.add_endpoints(1)
    assert ring.of(np.arange(2)) == [[[6, 5, 0]], []]


def test_what_is_put_back_is_what_was_there() -> None:
    """Rows that are over meanwhile are left out."""
    ring, other = Ring(3), Ring(3)
    ring.add_endpoints(2)
    ring.advance(7)
    ring.count(columns((0, 5, 1), (0, 7, 2), (1, 6, 3)))
    other.add_endpoints(2)
    other.advance(8)
    first, second = ring.of(np.arange(2))
    other.put(np.array([0, 0, 1]), [*first, *second])
    assert other.of(np.arange(2)) == [[[7, 2, 0]], [[6, 3, 0]]]
