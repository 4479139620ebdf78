from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.faults import PERFORM
from tests.chaos.schedule import GOALS, OF_THE_BROKER, Fault, draw, goals, tracks


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same faults at the same times, another one others."""
    wanted = goals(4.0)
    assert draw(1, 240, wanted) == draw(1, 240, wanted)
    assert draw(1, 240, wanted) != draw(2, 240, wanted)


def test_a_full_campaign_has_what_was_promised() -> None:
    """100 kills, 20 joins and leaves, 10 restarts of the broker; and every fault can be done."""
    kills = [fault for fault in GOALS if fault.startswith("kill")]
    assert sum(GOALS[fault] for fault in kills) == 100
    assert GOALS[Fault.JOIN] == GOALS[Fault.LEAVE] == 20
    assert GOALS[Fault.BROKER_RESTART] + GOALS[Fault.BROKER_KILL] == 10
    assert PERFORM.keys() == set(Fault)


@pytest.mark.parametrize("minutes", [1.0, 4.0, 20.0, 120.0])
def test_a_campaign_of_any_length_has_every_fault_it_has_time_for(minutes: float) -> None:
    """In proportion, at least once, and what is done once stays once."""
    wanted = goals(minutes)
    assert min(wanted.values()) >= 1
    assert (Fault.BROKER_FROZEN in wanted) == (minutes >= 8)
    assert wanted[Fault.PARTITION_ADDED] == 1
    assert wanted[Fault.KILL] >= GOALS[Fault.KILL] * minutes / 20


def test_all_that_is_planned_is_on_one_of_two_tracks_in_order_of_time() -> None:
    """And who leaves has joined before."""
    planned = draw(3, 1200, goals(20.0))
    assert Counter(fault for _, fault in planned) == goals(20.0)
    of_workers, of_broker = tracks(planned)
    assert sorted(of_workers + of_broker) == sorted(planned)
    for track in (of_workers, of_broker):
        assert [at_s for at_s, _ in track] == sorted(at_s for at_s, _ in track)
    assert {fault for _, fault in of_broker} == OF_THE_BROKER
    turns = [fault for _, fault in of_workers if fault in {Fault.JOIN, Fault.LEAVE}]
    assert turns == [Fault.JOIN, Fault.LEAVE] * (len(turns) // 2)
