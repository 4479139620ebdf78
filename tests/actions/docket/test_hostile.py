"""What must not take a brake off, leave one on, or keep one from going on."""

from __future__ import annotations

import pytest
from msgspec import structs

from actions.docket import Entry, Office, Past
from actions.failure import Failure
from schemas.outputs import Action, Refusal, State
from schemas.signatures import PrivateKey
from schemas.units import US
from tests.actions.docket.commands import KEY, LIFETIME_S, NAME, START_US, command, office, renewal, restore
from tests.actions.docket.simulation import Simulation
from tests.actions.docket.test_docket import carried_out

MINUTE_US = 60 * US


@pytest.fixture
def desk() -> Simulation:
    return Simulation(office())


@pytest.mark.parametrize("taken_by", ["gateway", None])
def test_ours_stays_on_while_another_executor_has_the_endpoint(desk: Simulation, taken_by: str | None) -> None:
    """Nobody knows here whether that one works, or is there at all; so ours goes with the chain, not before."""
    given = command()
    carried_out(desk, given)
    stronger = command(Action.SHUTDOWN, START_US + MINUTE_US, restores=given.id, executor=taken_by)
    carried_out(desk, stronger)
    desk.wait(600)
    longer = renewal(stronger, desk.now_us)
    carried_out(desk, KEY.sign(structs.replace(longer, executor=taken_by)))
    desk.wait(600)
    desk.start()
    desk.settle()
    assert desk.outside.level == 1
    carried_out(desk, restore(longer, desk.now_us, executor=taken_by))
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED


def test_ours_ends_when_nobody_renews_what_another_executor_took(desk: Simulation) -> None:
    """The dead man's switch is that of the whole chain."""
    given = command()
    carried_out(desk, given, command(Action.SHUTDOWN, START_US + MINUTE_US, restores=given.id, executor="gateway"))
    desk.wait(LIFETIME_S + 30)
    desk.settle()
    assert desk.outside.level == 1
    desk.wait(60)
    desk.settle()
    assert desk.outside.level == 0


@pytest.mark.parametrize(
    "changed",
    [
        office()._replace(trusted=(PrivateKey.generate().public,)),
        office()._replace(settings=structs.replace(office().settings, endpoints=("other/*",))),
    ],
)
def test_what_is_held_is_undone_though_it_would_be_refused_by_now(desk: Simulation, changed: Office) -> None:
    """A key that is no longer trusted, an endpoint that is no longer ours: what we began we have to end."""
    given = command()
    carried_out(desk, given)
    desk.commit()
    desk.office = changed
    desk.start()
    desk.settle()
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED


def test_a_forged_copy_does_not_keep_the_true_command_from_being_carried_out(desk: Simulation) -> None:
    """An id alone is nobody's: what is refused for its signature says nothing about the command of that id."""
    given = command()
    forged = structs.replace(given, endpoint="acme/bert", parameters={"level": 9})
    carried_out(desk, forged, forged)
    assert [result.refusal for result in desk.results] == [Refusal.BAD_SIGNATURE]
    desk.commit()
    desk.start()
    carried_out(desk, given)
    assert desk.outside.writes == [1]


def test_a_restore_that_comes_after_vain_attempts_is_told_to_have_failed_too(desk: Simulation) -> None:
    """The worker waits for its own restore: what was said of the brake before it does not tell anybody."""
    given = command()
    carried_out(desk, given)
    desk.wait(LIFETIME_S + 10)
    gone = Failure("401 Unauthorized", retryable=False)
    for late in range(2):
        turn = desk.turn(given.endpoint)
        assert turn.ask is not None
        desk.tell(desk.docket.answer(turn.ask, gone, desk.now_us))
        if not late:
            back = desk.write(restore(given, desk.now_us))
            desk.read()
            desk.wait(400)
    assert desk.states(back.id) == [State.FAILED]


def test_a_result_with_a_time_that_is_none_stops_nobody(desk: Simulation) -> None:
    """Results are kept for ever: one that cannot be read would stop every start from then on."""
    given = command()
    carried_out(desk, given)
    past = Past(NAME)
    for result in desk.results:
        past.add(result)
    past.add(structs.replace(desk.results[0], state=State.RESTORED, at="yesterday"))
    assert past.held[given.endpoint].command_id == given.id


def test_a_copy_in_another_partition_is_neither_carried_out_nor_takes_the_true_one_down() -> None:
    """Whoever reads that partition knows nothing of what came of it; and what is said of the copy is not said of it."""
    desk, given = Simulation(office()), command()
    copy = desk.docket.read(Entry(given, 0, is_misplaced=True), START_US, START_US)
    assert [result.refusal for result in copy.tell] == [Refusal.MISPLACED]
    carried_out(desk, given)
    desk.results += copy.tell
    desk.start()
    desk.settle()
    assert desk.outside.level == 1
    carried_out(desk, restore(given, desk.now_us))
    assert desk.outside.level == 0
