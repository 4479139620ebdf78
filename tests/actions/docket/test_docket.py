"""What an executor's process decides, step by step."""

from __future__ import annotations

import pytest
from msgspec import structs

from actions.docket import Entry, Step
from schemas.outputs import Action, Command, Held, Refusal, State
from schemas.signatures import PrivateKey
from schemas.units import US
from tests.actions.docket.commands import ENDPOINT, LIFETIME_S, START_US, command, office, renewal, restore
from tests.actions.docket.simulation import Fault, Simulation

MINUTE_US = 60 * US


@pytest.fixture
def desk() -> Simulation:
    return Simulation(office())


def refusals(desk: Simulation) -> list[Refusal | None]:
    return [result.refusal for result in desk.results]


def carried_out(desk: Simulation, *commands: Command) -> None:
    """Written, read, and done to the end."""
    for each in commands:
        desk.write(each)
        desk.settle()


def test_a_command_is_planned_applied_and_read_back(desk: Simulation) -> None:
    """Each step is told, and how things were is told before anything is touched."""
    given = command()
    carried_out(desk, given)
    assert desk.states(given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED]
    assert desk.results[0].before == {"level": 0}
    assert desk.outside.level == 1


def test_a_restore_comes_back_to_how_things_were(desk: Simulation) -> None:
    """The command is told to be restored, and the restore itself to be verified."""
    given = command()
    back = restore(given, START_US + MINUTE_US)
    carried_out(desk, given, back)
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED
    assert desk.states(back.id) == [State.VERIFIED]


def test_a_restore_of_what_was_never_applied_touches_nothing(desk: Simulation) -> None:
    """It is verified at once, and no question is asked."""
    back = restore(command(), START_US)
    carried_out(desk, back)
    assert desk.states(back.id) == [State.VERIFIED]
    assert desk.asked == []


def test_a_restore_cancels_the_command_that_waits(desk: Simulation) -> None:
    """What had not begun never begins."""
    given = command()
    desk.write(given)
    carried_out(desk, restore(given, START_US + US))
    assert desk.states(given.id) == [State.RESTORED]
    assert desk.asked == []


def test_of_the_commands_that_wait_only_the_newest_is_carried_out(desk: Simulation) -> None:
    """The one before it is told to be replaced, and never applied."""
    first = desk.write(command())
    second = command(Action.SHUTDOWN, START_US + US, restores=first.id, parameters={"level": 2})
    carried_out(desk, second)
    assert desk.states(first.id) == [State.REPLACED]
    assert desk.outside.writes == [2]


def test_a_renewal_moves_the_expiry_and_asks_nothing(desk: Simulation) -> None:
    """The brake lasts, and comes back to how things were before the first of the chain."""
    given = command()
    carried_out(desk, given)
    asked = len(desk.asked)
    desk.wait(600)
    carried_out(desk, renewed := renewal(given, desk.now_us))
    desk.wait(LIFETIME_S - 300)
    desk.settle()
    assert (len(desk.asked), desk.outside.level) == (asked, 1)
    assert desk.states(renewed.id) == [State.VERIFIED]
    carried_out(desk, restore(renewed, desk.now_us))
    assert desk.outside.level == 0


def test_a_stronger_brake_keeps_what_was_before_the_first(desk: Simulation) -> None:
    """The way back leads to before the chain, over a restart too."""
    first = command()
    second = command(Action.SHUTDOWN, START_US + MINUTE_US, restores=first.id, parameters={"level": 2})
    carried_out(desk, first, second)
    assert [r.before for r in desk.results if r.state is State.APPLYING] == [{"level": 0}] * 2
    desk.commit()
    desk.start()
    carried_out(desk, restore(second, START_US + 2 * MINUTE_US))
    assert desk.outside.writes == [1, 2, 0]


def test_what_nobody_renews_is_undone_by_itself(desk: Simulation) -> None:
    """The dead man's switch needs no command, and nothing of an earlier process but what it told."""
    given = command()
    carried_out(desk, given)
    desk.commit()
    desk.wait(LIFETIME_S + 6)
    desk.start()
    desk.settle()
    assert desk.outside.level == 0
    assert desk.states(given.id)[-2:] == [State.EXPIRED, State.RESTORED]


def test_the_restore_that_follows_an_expiry_is_verified_and_touches_nothing(desk: Simulation) -> None:
    """Whoever wrote it hears that it is so."""
    given = command()
    carried_out(desk, given)
    desk.wait(LIFETIME_S + 6)
    desk.settle()
    asked = len(desk.asked)
    back = restore(given, START_US + LIFETIME_S * US)
    carried_out(desk, back)
    assert desk.states(back.id) == [State.VERIFIED]
    assert len(desk.asked) == asked
    assert desk.states(given.id).count(State.RESTORED) == 1


def test_what_was_told_to_have_expired_is_undone_before_a_late_renewal_begins(desk: Simulation) -> None:
    """The process dies between the two, and meanwhile the renewal comes: it begins anew."""
    given = command()
    carried_out(desk, given)
    desk.wait(LIFETIME_S + 6)
    desk.turn(ENDPOINT)
    desk.start()
    carried_out(desk, renewed := renewal(given, desk.now_us))
    assert desk.outside.writes == [1, 0, 1]
    assert desk.states(given.id)[-2:] == [State.EXPIRED, State.RESTORED]
    assert desk.states(renewed.id) == [State.APPLYING, State.APPLIED, State.VERIFIED]


def test_nothing_is_applied_when_it_has_ended() -> None:
    """Attempts end with the command, and what may have been done is undone at once."""
    desk = Simulation(office(give_up_after_s=2 * LIFETIME_S))
    given = desk.write(command())
    desk.read()
    desk.step()
    desk.wait(LIFETIME_S - 1)
    desk.step(Fault.CUT)
    desk.wait(2)
    desk.settle()
    assert desk.too_late() == []
    assert desk.outside.writes == [1, 0]
    assert desk.states(given.id) == [State.APPLYING, State.EXPIRED, State.RESTORED]


def test_a_weaker_brake_after_a_restore_begins_when_the_first_is_off(desk: Simulation) -> None:
    """Both are read at once, and yet the way back is gone first: a throttle would not wake what is shut down."""
    strong = command(Action.SHUTDOWN, parameters={"level": 2})
    carried_out(desk, strong)
    desk.write(restore(strong, START_US + MINUTE_US))
    carried_out(desk, command(issued_us=START_US + MINUTE_US))
    assert desk.outside.writes == [2, 0, 1]


def test_a_command_that_cannot_be_carried_out_fails_and_is_undone_on_its_restore() -> None:
    """It is tried for as long as the configuration says; what may have been done of it is undone."""
    desk = Simulation(office(give_up_after_s=10))
    given = desk.write(command())
    desk.read()
    desk.step()
    while State.FAILED not in desk.states(given.id):
        assert desk.step(Fault.CUT) or desk.docket.endpoints()
        desk.wait(1)
    assert desk.states(given.id) == [State.APPLYING, State.FAILED]
    assert desk.outside.level == 1
    carried_out(desk, restore(given, START_US + MINUTE_US))
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED


def test_what_began_before_a_crash_is_done_once(desk: Simulation) -> None:
    """A process that dies after it applied, and before it told, applies nothing twice."""
    given = desk.write(command())
    desk.read()
    desk.step()
    desk.step(Fault.CRASH_AFTER)
    desk.settle()
    assert desk.outside.writes == [1]
    assert desk.states(given.id) == [State.APPLYING, State.APPLIED, State.VERIFIED]


def test_another_executor_takes_the_place_of_ours(desk: Simulation) -> None:
    """Ours stays beside a stronger brake of another system, and goes with its restore; a forged one is nothing."""
    given = command()
    carried_out(desk, given)
    forged = structs.replace(command(Action.SHUTDOWN, restores=given.id, executor="gateway"), reason="altered")
    carried_out(desk, forged, restore(forged, START_US + US, executor="gateway"))
    assert desk.outside.level == 1
    stronger = command(Action.SHUTDOWN, restores=given.id, executor="gateway")
    carried_out(desk, stronger)
    assert desk.outside.level == 1
    carried_out(desk, restore(stronger, START_US + 2 * US, executor="gateway"))
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED


def test_an_overflow_elsewhere_keeps_the_cap_that_is_held_here(desk: Simulation) -> None:
    """As long as it lasts, renewals and restarts included; its restore takes the cap off."""
    cap = {"max_replicas": 2}
    given = command(parameters={"level": 1, **cap})
    carried_out(desk, given)
    away = {"executor": "gateway", "parameters": {"provider": "elsewhere", **cap}}
    overflow = command(Action.OVERFLOW, START_US + MINUTE_US, restores=given.id, **away)
    renewed = command(Action.OVERFLOW, START_US + 10 * MINUTE_US, restores=overflow.id, **away)
    carried_out(desk, overflow)
    desk.now_us = START_US + 10 * MINUTE_US
    carried_out(desk, renewed)
    desk.now_us = START_US + 20 * MINUTE_US  # beyond the end of the first two
    desk.settle()
    assert desk.outside.level == 1
    desk.start()
    desk.settle()
    assert desk.outside.level == 1
    carried_out(desk, command(Action.RESTORE, desk.now_us, restores=renewed.id, executor="gateway"))
    assert desk.outside.level == 0
    assert desk.outside.writes == [1, 0]
    assert desk.states(given.id)[-1] is State.RESTORED


def test_a_cap_that_an_overflow_kept_ends_with_it(desk: Simulation) -> None:
    """Nobody renewed it: it comes off by itself."""
    given = command(parameters={"level": 1, "max_replicas": 2})
    away = {"executor": "gateway", "parameters": {"provider": "elsewhere", "max_replicas": 2}}
    carried_out(desk, given, command(Action.OVERFLOW, START_US + MINUTE_US, restores=given.id, **away))
    desk.now_us = START_US + (LIFETIME_S + 30) * US
    desk.settle()
    assert desk.outside.level == 1
    desk.now_us += MINUTE_US
    desk.settle()
    assert desk.outside.level == 0


def test_an_approved_command_is_known_by_its_proposal_too(desk: Simulation) -> None:
    """A restore may name the id that it had before it was approved."""
    given = command(proposal="a" * 32)
    carried_out(desk, given)
    carried_out(desk, command(Action.RESTORE, START_US + US, restores="a" * 32))
    assert desk.outside.level == 0


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        (structs.replace(command(), signature=None), Refusal.UNSIGNED),
        (structs.replace(command(), parameters={"level": 9}), Refusal.BAD_SIGNATURE),
        (PrivateKey.generate().sign(command()), Refusal.UNKNOWN_KEY),
        (command(executor="nobody"), Refusal.WRONG_EXECUTOR),
        (command(Action.OVERFLOW), Refusal.WRONG_EXECUTOR),
        (command(endpoint="other/bert"), Refusal.WRONG_EXECUTOR),
        (command(issued_us=START_US + 301 * US), Refusal.FROM_THE_FUTURE),
        (command(issued_us=START_US - LIFETIME_S * US), Refusal.EXPIRED),
    ],
)
def test_what_is_not_sound_is_refused_and_said_so(desk: Simulation, bad: Command, refusal: Refusal) -> None:
    """The outside is not touched, and the refusal is a result that changes no state."""
    desk.write(bad)
    desk.settle()
    assert refusals(desk) == [refusal]
    assert desk.asked == []
    desk.start()
    assert refusals(desk) == [refusal], "said again after a restart"


@pytest.mark.parametrize("left", [command(held=Held.SHADOW), command(executor="gateway"), command(executor=None)])
def test_what_is_not_for_this_executor_is_left_alone(desk: Simulation, left: Command) -> None:
    """Of what is held, and of what another one carries out, there is nothing to say."""
    carried_out(desk, left)
    assert desk.results == []


def test_the_same_record_again_is_nothing_new(desk: Simulation) -> None:
    """A worker that crashed writes again what it wrote: while it is in force, and right after it was restored."""
    given = command()
    carried_out(desk, given, given, restore(given, START_US + US), given)
    assert desk.outside.writes == [1, 0]
    assert refusals(desk) == [None] * 5


def test_a_command_that_is_over_is_refused_when_somebody_plays_it_again(desk: Simulation) -> None:
    """Its signature is good and it has not expired, but it was restored well before it was written again."""
    given = command()
    carried_out(desk, given, restore(given, START_US + US))
    desk.wait(601)
    carried_out(desk, given)
    assert refusals(desk)[-1] is Refusal.REPLAYED
    assert desk.outside.level == 0


def test_a_command_older_than_the_one_in_force_is_refused(desk: Simulation) -> None:
    """One that was kept back, and comes when a newer one is in force, changes nothing."""
    carried_out(desk, command(), command(issued_us=START_US - 301 * US))
    assert refusals(desk)[-1] is Refusal.REPLAYED


def test_what_cannot_be_undone_is_said_once_and_tried_on(desk: Simulation) -> None:
    """A restore never gives up before a day is over; until then its record is read again after each restart."""
    given = command()
    carried_out(desk, given)
    back = desk.write(restore(given, START_US + MINUTE_US))
    desk.read()
    for _ in range(400):
        desk.step(Fault.REFUSED)
        desk.wait(300)
    assert desk.states(back.id) == [State.FAILED]
    assert desk.docket.committable() == 0
    desk.start()
    desk.settle()
    assert desk.outside.level == 0
    assert desk.states(given.id)[-1] is State.RESTORED


def test_offsets_are_held_back_by_what_is_in_force(desk: Simulation) -> None:
    """A command must be read again after a crash until it is undone; what is settled need not."""
    given = command()
    carried_out(desk, given)
    assert desk.docket.committable() == 0
    carried_out(desk, renewed := renewal(given, START_US + MINUTE_US))
    assert desk.docket.committable() == 1
    carried_out(desk, restore(renewed, START_US + 2 * MINUTE_US))
    assert desk.docket.committable() == 3


def test_an_unreadable_record_is_said_and_passed_over(desk: Simulation) -> None:
    """It holds up nothing."""
    told = desk.docket.unreadable(7, "no JSON", START_US).tell
    assert [result.refusal for result in told] == [Refusal.UNREADABLE]
    assert desk.docket.committable() == 8


def test_the_answer_to_a_plan_that_is_no_longer_wanted_changes_nothing(desk: Simulation) -> None:
    """A restore was read while the executor was planning."""
    given = command()
    desk.docket.read(Entry(given, 0), START_US, START_US)
    ask = desk.turn(ENDPOINT).ask
    assert ask is not None
    assert ask.step is Step.PLAN
    desk.docket.read(Entry(newer := command(issued_us=START_US + US, restores=given.id), 1), START_US, START_US)
    assert desk.docket.answer(ask, desk.outside.do(ask), START_US) == ()
    again = desk.turn(ENDPOINT).ask
    assert again is not None
    assert again.command.id == newer.id
