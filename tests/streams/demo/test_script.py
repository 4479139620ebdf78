"""What the demo plays: its figures, its cues and its board."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.outputs import Mode, Status
from schemas.units import HOUR_US, US
from streams.demo import script
from streams.demo.board import Board, State
from streams.simulator import BACKFILL, Fleet
from tests.streams.demo.outputs import START_US, command, finding, proposal, restore


def test_the_history_uses_nearly_the_whole_allowance_of_an_hour() -> None:
    """Before anything goes wrong the lab has spent 98 to 99.5 % of what it may."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    spent = fleet.meter.spend_usd(script.LAB, START_US, START_US + HOUR_US)
    assert 0.98 < spent / script.allowance_usd() < 0.995


def test_the_bill_brings_the_spend_below_the_level_at_which_episodes_resolve() -> None:
    """Even with some dollars of overshoot the hour is under 80 % of the allowance once the bill is there."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    (bill,) = [cue for cue in script.cues() if "35% lower" in cue.text]
    lines = bill.play(fleet)
    assert len(lines) == len(script.LAB)
    spent = fleet.meter.spend_usd(script.LAB, START_US, START_US + HOUR_US)
    assert spent + 5 < 0.8 * script.allowance_usd()


def test_the_cues_change_what_they_say_and_put_it_right_again() -> None:
    """At the end of the script the fleet is as it was at its beginning."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    before = {actor.name: fleet.reading(actor.name).target for actor in script.ACTORS}
    highest = dict(before)
    for cue in script.cues():
        cue.play(fleet)
        list(fleet.advance(fleet.now_us + 5 * US))
        for name in before:
            highest[name] = max(highest[name], fleet.reading(name).ready)
    assert highest[script.RUNAWAY] == script.RUNAWAY_REPLICAS
    assert highest[script.LAB[1]] == script.LAB_REPLICAS
    assert {name: fleet.reading(name).ready for name in before} == before


def test_the_studios_bill_climbs_the_ladder_and_is_taken_back() -> None:
    """Whatever the hour is: by the studio's clock it is about noon, and the whole bill is of this day."""
    shares = [sum(script.STUDIO_LINES[: page + 1]) for page in range(len(script.STUDIO_LINES))]
    assert [share > step for share, step in zip(shares, (1.2, 1.5, 2.0), strict=False)] == [True] * 3
    assert shares[0] < 1.5 < shares[1] < 2.0
    assert shares[-1] < 0.8 * 1.2
    for hour in range(24):
        now_us = START_US + hour * HOUR_US
        zone = ZoneInfo(script.zone_at_noon(now_us))
        local = [datetime.fromtimestamp(now_us / US - s, zone) for s in (0, script.STUDIO_BILLED_FROM_S)]
        assert local[0].hour == script.NOON
        assert local[0].date() == local[1].date()


def test_the_board_follows_an_incident_through_its_states() -> None:
    """ok, then what is wrong, also while it is asked what to do, then the brake, then restored."""
    board = Board(Fleet(script.cast(1), 1, START_US))
    opened = finding(script.RUNAWAY)
    states = [board.state(script.RUNAWAY)]
    board.note_finding(opened)
    states.append(board.state(script.RUNAWAY))
    board.note_command(proposal(opened))
    states.append(board.state(script.RUNAWAY))
    board.note_command(command(opened, mode=Mode.APPROVE))
    states.append(board.state(script.RUNAWAY))
    board.note_finding(finding(script.RUNAWAY, Status.RESOLVED))
    board.note_command(restore(command(opened)))
    states.append(board.state(script.RUNAWAY))
    assert states == [State.OK, State.RUNAWAY, State.RUNAWAY, State.THROTTLED, State.RESTORED]
