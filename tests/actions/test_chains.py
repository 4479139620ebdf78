"""A brake is one command and its renewals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions.chains import chain_of, unfinished
from actions.lifecycle import Lives
from schemas.outputs import Held, Mode, Refusal, State
from schemas.units import rfc3339
from tests.actions.findings import at
from tests.actions.lives import command, issued, proposal, refusal, renewal, restore, result
from tests.actions.test_lifecycle import Record, told

FIRST = command()
SECOND = renewal(FIRST, 450)
THIRD = renewal(SECOND, 900)
RENEWED: list[Record] = [
    FIRST, result(FIRST, State.APPLIED, 3), result(FIRST, State.VERIFIED, 4), SECOND, THIRD
]  # fmt: skip


@pytest.mark.parametrize("every", [RENEWED, RENEWED[::-1]])
def test_renewals_are_one_brake(every: list[Record]) -> None:
    """It began with the first, ends with the last, and what was verified of the first still is."""
    (chain,) = unfinished(told(every))
    assert [link.command for link in chain.links] == [FIRST, SECOND, THIRD]
    assert (chain.state, chain.began_at) == (State.VERIFIED, rfc3339(at(3)))
    assert chain.last.expires_at == rfc3339(at(1800))


def test_any_link_names_the_chain() -> None:
    """Whichever id a person has copied."""
    lives = told(RENEWED)
    for own in (FIRST, SECOND, THIRD):
        life = lives.get(own.id)
        assert life is not None
        assert chain_of(lives, life).first == FIRST


def test_a_stronger_brake_is_another_one() -> None:
    """The one before is replaced, and only the newer is in force."""
    stronger = command(at_s=60, parameters={"max_replicas": 2}, restores=FIRST.id)
    (chain,) = unfinished(told([FIRST, stronger]))
    assert [link.command for link in chain.links] == [stronger]


def test_what_was_approved_begins_with_what_was_issued() -> None:
    """The proposal is no link: nothing of it was ever in force."""
    asked = proposal()
    own = issued(asked, 100, "alice")
    (chain,) = unfinished(told([asked, own, renewal(own, 500)]))
    assert chain.first == own


def test_what_was_approved_anew_is_a_brake_of_its_own() -> None:
    """Though it asks for the same as the one whose place it takes: others answer for it."""
    again = issued(proposal(at_s=50, restores=FIRST.id), 100, "alice")
    (chain,) = unfinished(told([FIRST, again]))
    assert [link.command for link in chain.links] == [again]


def test_what_it_saved_is_counted_from_when_it_was_carried_out_to_when_it_was_undone() -> None:
    """At 36 dollars an hour: a cent a second; nothing while nobody has applied it, or where its price is not known."""
    lives = told([FIRST])
    (chain,) = unfinished(lives)
    assert chain.saved_usd(at(100)) is None
    (chain,) = unfinished(told(RENEWED))
    assert chain.saved_usd(at(103)) == pytest.approx(1.0)
    off = restore(THIRD, 1000)
    ended = told([*RENEWED, off, result(off, State.VERIFIED, 1003), result(THIRD, State.RESTORED, 1003)])
    life = ended.get(THIRD.id)
    assert life is not None
    assert chain_of(ended, life).saved_usd(at(9999)) == pytest.approx(10.0)
    assert unfinished(ended) == []


ASKED = proposal("acme/a")
ISSUED = issued(ASKED, 60, "alice", "bob")
GOES_ON = renewal(ISSUED, 500)
STRONGER = command("acme/a", 700, parameters={"max_replicas": 2}, restores=GOES_ON.id)
OFF = restore(STRONGER, 900)
IN_SHADOW = command("acme/b", 10, held=Held.SHADOW, mode=Mode.SHADOW)
UNDONE = restore(IN_SHADOW, 100)
STORY: list[Record] = [
    ASKED, result(ASKED, State.AWAITING_APPROVAL, 30, by=("alice",)), ISSUED, result(ISSUED, State.APPLYING, 61),
    result(ISSUED, State.APPLIED, 62), refusal(ISSUED, Refusal.REPLAYED, 63), result(ISSUED, State.VERIFIED, 64),
    GOES_ON, result(GOES_ON, State.VERIFIED, 501), IN_SHADOW, UNDONE, STRONGER, result(STRONGER, State.FAILED, 720),
    OFF, result(OFF, State.VERIFIED, 905), result(STRONGER, State.RESTORED, 905),
]  # fmt: skip


@given(st.data())
def test_the_present_of_a_fleet_does_not_depend_on_the_order_of_its_records(data: st.DataObject) -> None:
    """Of any part of what was said, in any order, some of it again: the same states, brakes, approvals and money."""
    some = data.draw(st.lists(st.sampled_from(STORY), min_size=1, unique_by=id))
    again = data.draw(st.lists(st.sampled_from(some)))
    assert present(told(data.draw(st.permutations([*some, *again])))) == present(told(some))


def test_the_story_of_a_fleet_ends_with_nothing_in_force() -> None:
    """Each of its commands has come to its own end."""
    states, chains = present(told(STORY))
    ends = {ASKED.id: State.ISSUED, ISSUED.id: State.REPLACED, GOES_ON.id: State.REPLACED, OFF.id: State.VERIFIED}
    ends |= {STRONGER.id: State.RESTORED, IN_SHADOW.id: State.RESTORED, UNDONE.id: State.HELD}
    assert {name: state for name, (state, _) in states.items()} == ends
    assert chains == []


def present(lives: Lives) -> tuple[dict[str, tuple[State, tuple[str, ...]]], list[object]]:
    """All that operators are told of."""
    chains = unfinished(lives)
    brakes: list[object] = [
        (one.first.id, one.last.id, one.state, one.began_at, one.saved_usd(at(999))) for one in chains
    ]
    return {life.id: (life.state, life.approvers) for life in lives}, brakes
