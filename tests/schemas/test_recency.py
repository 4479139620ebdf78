"""Whom to forget: a prefix of the order of the log, whatever a log still holds of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.recency import Heard, Recency

NAMES = "abcdef"
CALLS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 30), st.integers(1, 6)), max_size=40)


def forget_some(recency: Recency[str], before_us: int, most: int) -> list[str]:
    """As the folds do."""
    gone: list[str] = []
    for name in recency.silent(before_us):
        recency.forget(name)
        gone.append(name)
    for name in recency.longest_silent(most):
        recency.forget(name)
        gone.append(name)
    return gone


@given(CALLS)
def test_the_longest_silent_are_forgotten_first(calls: list[tuple[str, int, int]]) -> None:
    """As a slow reader of the same log sees it, who keeps the last hearing of each name in a list."""
    recency: Recency[str] = Recency()
    last: list[tuple[str, int]] = []
    now_us = 0
    for name, forth_us, most in calls:
        now_us += forth_us
        recency.hear(name, now_us)
        last = [*((other, us) for other, us in last if other != name), (name, now_us)]
        kept = [(other, us) for other, us in last if us >= now_us - 40][-most:]
        assert forget_some(recency, now_us - 40, most) == [other for other, us in last if (other, us) not in kept]
        last = kept
        assert {other for other in NAMES if other in recency} == {other for other, _ in kept}


@given(CALLS, st.data())
def test_older_facts_of_the_dead_stay_dead(calls: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """Restored from the newest fact of the living and any fact of the dead, it goes on as if nothing had happened."""
    recency: Recency[str] = Recency()
    written: dict[str, list[Heard]] = {name: [] for name in NAMES}
    now_us = 0
    for name, forth_us, most in calls:
        now_us += forth_us
        recency.hear(name, now_us)
        written[name].append(recency[name])
        forget_some(recency, now_us - 40, most)
    facts = {name: recency[name] for name in NAMES if name in recency}
    stale = {name: data.draw(st.sampled_from(written[name])) for name in NAMES if written[name] and name not in facts}
    again: Recency[str] = Recency()
    assert set(again.restore(recency.marks, {**stale, **facts})) == stale.keys()
    order = forget_some(recency, now_us, 0)
    assert forget_some(again, now_us, 0) == order
    assert again.marks == recency.marks
