"""Event time: decided at each event's own place in the log."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.watermark import Watermark, cuts
from schemas.units import US

TIMES = st.lists(st.integers(0, 100 * US), min_size=1, max_size=30)


@given(TIMES, st.integers(1, 60))
def test_a_batch_is_followed_as_its_events_are(times: list[int], lateness_s: int) -> None:
    """All at once or one by one: the newest and the first open second are the same at each place."""
    newest, open_from = Watermark(lateness_s).follow(np.array(times))
    single = Watermark(lateness_s)
    for place, time_us in enumerate(times):
        single.open_from = single.observe(time_us)
        assert single.open_from == open_from[place] == max(0, max(times[: place + 1]) // US - lateness_s)
        assert single.newest_us // US == newest[place]


def test_a_second_stays_open_for_the_lateness() -> None:
    """Second 10 closes when second 20 begins, at a lateness of ten."""
    watermark = Watermark(10)
    assert watermark.observe(20 * US - 1) == 9
    assert watermark.observe(20 * US) == 10
    assert watermark.observe(21 * US) == 11
    assert watermark.observe(5 * US) == 11


def test_what_is_closed_stays_closed() -> None:
    """Also when the lateness grew in a new configuration."""
    assert Watermark(60, 100 * US, 90).observe(101 * US) == 90


@given(st.lists(st.integers(0, 3), max_size=20))
def test_cuts_cover_the_batch(steps: list[int]) -> None:
    """Each stretch is of one second, and together they are everything."""
    seconds = np.cumsum(np.array(steps, dtype=np.int64))
    pieces = [seconds[start:end].tolist() for start, end in cuts(seconds)]
    assert [second for piece in pieces for second in piece] == seconds.tolist()
    assert all(len(set(piece)) == 1 for piece in pieces)
    assert len(pieces) == len(set(seconds.tolist()))
