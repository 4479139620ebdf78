"""The present of a command is a function of what was said of it, and only what the table allows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import lifecycle
from actions.lifecycle import NEXT, REACHABLE, UNFINISHED, Life, Lives
from schemas.outputs import Action, Command, Held, Mode, Refusal, Result, State
from tests.actions.lives import command, issued, proposal, refusal, renewal, restore, result

Record = Command | Result
ARROWS: Final = [(before, after) for before, following in NEXT.items() for after in sorted(following)]
BY_RESULT: Final = frozenset(State) - {State.PROPOSED, State.ISSUED, State.REPLACED, State.AWAITING_APPROVAL}


def first_of(state: State) -> Command:
    """The command that begins in a state."""
    if state is State.AWAITING_APPROVAL:
        return proposal()
    return command() if state is State.ISSUED else command(held=Held.COOLDOWN, mode=Mode.SHADOW)


def records(path: list[State]) -> list[Record]:
    """What is written when a command walks along the table from `proposed`."""
    own = first_of(path[1])
    told: list[Record] = [own]
    for at_s, state in enumerate(path[2:], start=2):
        told.append(step(own, state, at_s))
    return told


def step(own: Command, state: State, at_s: int) -> Record:
    if state in BY_RESULT:
        return result(own, state, at_s)
    return issued(own, at_s, "alice") if state is State.ISSUED else renewal(own, at_s)


def path_to(state: State) -> list[State]:
    """The shortest one."""
    paths = [[State.PROPOSED]]
    while (found := paths.pop(0))[-1] is not state:
        paths += [[*found, after] for after in sorted(NEXT[found[-1]])]
    return found


def told(every: list[Record]) -> Lives:
    lives = Lives()
    for record in every:
        lives.add_command(record) if isinstance(record, Command) else lives.add_result(record)
    return lives


def life_of(own: Command, every: list[Record]) -> Life:
    """As it is now; one of which nothing was said is a new one."""
    return told(every).get(own.id) or Life(own.id)


def states_after_each(own: Command, every: Sequence[Record]) -> list[State]:
    return [life_of(own, [*every[:end]]).state for end in range(1, len(every) + 1)]


def moves_on(states: list[State]) -> bool:
    """Whether each state is the one before, or can come after it."""
    return all(after is before or after in REACHABLE[before] for before, after in pairwise(states))


@st.composite
def walks(draw: st.DrawFn) -> list[State]:
    """Any way along the table that has begun."""
    path = [State.PROPOSED]
    while following := sorted(NEXT[path[-1]]):
        if len(path) > 1 and draw(st.booleans()) and draw(st.booleans()):
            break
        path.append(draw(st.sampled_from(following)))
    return path


def shuffled(every: list[Record]) -> st.SearchStrategy[list[Record]]:
    """In any order, and some of them more than once."""
    return st.lists(st.sampled_from(every)).flatmap(lambda again: st.permutations([*every, *again]))


def test_the_docstring_has_the_same_table() -> None:
    """What is read is what is done."""
    rows = re.findall(r"^    (\w+) +-> ?(.*)$", lifecycle.__doc__ or "", re.MULTILINE)
    assert [row[0] for row in rows] == list(NEXT)
    assert {State(before): frozenset(map(State, re.findall(r"\w+", after))) for before, after in rows} == NEXT


def test_no_arrow_points_upwards() -> None:
    """So the rows of the table are an order in which every life runs."""
    rows = list(NEXT)
    assert set(rows) == set(State)
    assert all(rows.index(after) > rows.index(before) for before, after in ARROWS)


@pytest.mark.parametrize(("before", "after"), ARROWS)
def test_every_arrow_is_drawn_by_a_record(before: State, after: State) -> None:
    """The records of the way to `before` lead there, and one more leads on."""
    if before is State.PROPOSED:
        begun = first_of(after)
        assert life_of(begun, [begun]).state is after
        return
    every = records([*path_to(before), after])
    own = every[0]
    assert isinstance(own, Command)
    assert life_of(own, every[:-1]).state is before
    assert life_of(own, every).state is after


@given(st.data())
def test_order_and_repetition_change_nothing(data: st.DataObject) -> None:
    """Whatever order the records of a life come in, the present is where the walk ended."""
    path = data.draw(walks())
    every = records(path)
    own = every[0]
    assert isinstance(own, Command)
    life = life_of(own, data.draw(shuffled(every)))
    assert life.state is path[-1]
    assert [each.id for each in life.results] == [each.id for each in life_of(own, every).results]


@given(st.data())
def test_each_record_moves_a_life_along_the_table_or_not_at_all(data: st.DataObject) -> None:
    """In whatever order they come: what is older than the present is no step back."""
    every = records(data.draw(walks()))
    own = every[0]
    assert isinstance(own, Command)
    assert moves_on(states_after_each(own, data.draw(shuffled(every))))


@given(st.data())
def test_contradictions_are_settled_alike_in_every_order(data: st.DataObject) -> None:
    """Even of records that no life explains: the same present, and one that the command's own word allows."""
    own = first_of(data.draw(st.sampled_from(sorted(NEXT[State.PROPOSED]))))
    states = data.draw(st.lists(st.sampled_from(sorted(set(State) - {State.PROPOSED})), max_size=6))
    every: list[Record] = [own, *(step(own, state, at_s) for at_s, state in enumerate(states, start=2))]
    life, again = life_of(own, every), life_of(own, data.draw(shuffled(every)))
    assert again.state is life.state
    assert life.state in REACHABLE[lifecycle.first_state(own)] | {lifecycle.first_state(own)}


def test_a_refusal_changes_no_state() -> None:
    """It is kept for those who ask."""
    own = command()
    life = life_of(own, [own, result(own, State.APPLIED), refusal(own, Refusal.REPLAYED, 2)])
    assert life.state is State.APPLIED
    assert [each.refusal for each in life.results] == [None, Refusal.REPLAYED]


@pytest.mark.parametrize("done", [State.APPLIED, State.VERIFIED])
def test_a_restore_undoes_once_its_executor_says_so(done: State) -> None:
    """Until then what it undoes is as it was."""
    own = command()
    off = restore(own, 100)
    before: list[Record] = [own, result(own, State.VERIFIED), off]
    assert life_of(own, before).state is State.VERIFIED
    assert (life_of(own, before).restore or Life("")).command == off
    for every in permutations([*before, result(off, done, 101)]):
        states = states_after_each(own, every)
        assert states[-1] is State.RESTORED
        assert moves_on(states)


def test_where_nobody_reports_the_restore_is_the_last_word() -> None:
    """Somebody else may read the topic and obey, and does not say so."""
    own = command(executor=None)
    assert life_of(own, [own, restore(own, 100)]).state is State.RESTORED


def test_what_is_in_name_only_undoes_and_replaces_nothing_real() -> None:
    """A held command waits in its own world; what is held there is undone by what is held."""
    own = command()
    held = command(at_s=5, held=Held.SHADOW, mode=Mode.SHADOW)
    off = restore(own, 100, held=Held.SHADOW)
    asked = proposal(at_s=50, restores=own.id)
    assert life_of(own, [own, off, asked]).state is State.ISSUED
    assert life_of(held, [held, restore(held, 100)]).state is State.RESTORED


def test_a_restore_that_is_held_waits_for_nobody() -> None:
    """One of a proposal bears the proposal's `held`, and yet nobody is to approve it."""
    asked = proposal()
    off = restore(asked, 100)
    assert off.held is Held.AWAITING_APPROVAL
    assert not life_of(off, [asked, off]).is_awaiting
    assert life_of(asked, [asked, off]).state is State.RESTORED


def test_an_approved_proposal_is_issued_and_lives_on_as_another() -> None:
    """Only the other one is in force."""
    asked = proposal()
    given = [result(asked, State.AWAITING_APPROVAL, 5, by=("alice",), executor=None)]
    own = issued(asked, 10, "alice", "bob")
    every: list[Record] = [asked, *given, own, result(own, State.VERIFIED, 12)]
    life = life_of(asked, every)
    assert (life.state, life.approvers, life.is_real) == (State.ISSUED, ("alice",), False)
    assert (life.issued_as or Life("")).state is State.VERIFIED


def test_a_brake_that_failed_is_unfinished() -> None:
    """A part of it may be in force outside, until it is restored."""
    own = command()
    assert life_of(own, [own, result(own, State.FAILED)]).state in UNFINISHED
    off = restore(own, 10)
    assert off.action is Action.RESTORE
    every: list[Record] = [own, result(own, State.FAILED), off, result(off, State.VERIFIED, 11)]
    assert life_of(own, every).state not in UNFINISHED
