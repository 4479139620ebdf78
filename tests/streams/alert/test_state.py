from __future__ import annotations

import msgspec
import pytest

from streams.alert.state import CLAIM, FORMAT, Kept, Position, select
from streams.stage import StateFormatError


def place(alerts: int, number: int = FORMAT) -> bytes:
    return msgspec.msgpack.encode((number, Position(alerts, 0)))


def test_nothing_was_kept_at_the_very_beginning() -> None:
    """Everything is read from its start."""
    assert select({CLAIM: b""}) == Kept(Position(), {}, frozenset())


def test_what_a_stopped_process_writes_when_it_wakes_up_does_not_count() -> None:
    """Its epoch is older, however far its position is."""
    rows = {b"7/position": place(5), b"7/story/e/pager": b"told", b"3/position": place(9), b"3/story/f/pager": b"x"}
    kept = select(rows)
    assert (kept.position.alerts, kept.facts, kept.keys) == (5, {"story/e/pager": b"told"}, frozenset(rows))


def test_an_epoch_that_was_not_begun_to_its_end_does_not_count() -> None:
    """It has no position: the process died before it had written all that there was."""
    kept = select({b"3/position": place(5), b"3/episode/e": b"x", b"7/episode/f": b"y"})
    assert (kept.position.alerts, kept.facts) == (5, {"episode/e": b"x"})


@pytest.mark.parametrize("value", [place(1, FORMAT + 1), b"nonsense"])
def test_another_format_is_not_guessed_at(value: bytes) -> None:
    """The topic is named, and what was expected."""
    with pytest.raises(StateFormatError, match=r"alerts\.v1\.state"):
        select({b"1/position": value})
