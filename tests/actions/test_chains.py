"""A brake is one command and its renewals."""

from __future__ import annotations

import pytest

from actions.chains import chain_of, unfinished
from schemas.outputs import State
from schemas.units import rfc3339
from tests.actions.findings import at
from tests.actions.lives import command, issued, proposal, renewal, restore, result
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
