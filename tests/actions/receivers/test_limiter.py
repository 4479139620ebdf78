"""The limiter, by a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actions.receivers.limiter import Limiter

MOST, WINDOW_S = 3, 60.0


class Clock:
    """Stands until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.integers(0, 40), max_size=60))
def test_no_window_holds_more_than_its_calls(pauses: list[int]) -> None:
    """However calls are spread; and no call waits that would not have been one too many."""
    clock, taken = Clock(), list[float]()
    limiter = Limiter(MOST, WINDOW_S, clock)
    for pause in pauses:
        clock.now_s += pause
        recent = [at_s for at_s in taken if at_s > clock.now_s - WINDOW_S]
        wait_s = limiter.take()
        assert (wait_s is None) == (len(recent) < MOST)
        taken += [clock.now_s] if wait_s is None else []


def test_who_waits_as_long_as_told_may_call() -> None:
    """And not a moment earlier."""
    clock = Clock()
    limiter = Limiter(1, WINDOW_S, clock)
    assert limiter.take() is None
    clock.now_s = 20.0
    assert limiter.take() == 40.0
    clock.now_s = 59.9
    assert limiter.take() is not None
    clock.now_s = 60.0
    assert limiter.take() is None
