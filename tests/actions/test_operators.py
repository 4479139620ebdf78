"""What operators may say, and what comes of it."""

from __future__ import annotations

import pytest
from msgspec import structs

from actions import ActionFold
from schemas.config import ApprovalRule, Config, Policy, Seconds
from schemas.executors import DryRun
from schemas.orders import Verb
from schemas.outputs import Action, Alert, Command, Held, Mode, Refusal, Result, State
from schemas.units import rfc3339
from tests.actions.findings import alerts, at, commands, finding, later, resolved, runaway, settings, surge
from tests.actions.orders import failed, obey, operators, order, passed

TWO = Policy(persons=2, within=Seconds(600))


def asking(policy: Policy = TWO, **changes: object) -> Config:
    """Throttles wait for persons; alice and bob may approve, carol may not."""
    rule = ApprovalRule(actions=("throttle",), approve=policy)
    known = operators("alice", "bob", carol=False)
    return settings(approvals=(rule,), operators=known, **changes)


def results(outputs: object) -> list[Result]:
    assert isinstance(outputs, list)
    return [output for output in outputs if isinstance(output, Result)]


def asked(fold: ActionFold, at_s: float = 0) -> Command:
    [command] = commands(fold.apply(surge("acme/a", at_s), at(at_s)))
    assert (command.mode, command.held) == (Mode.APPROVE, Held.AWAITING_APPROVAL)
    return command


def test_two_different_persons_let_a_command_go() -> None:
    """One is not enough; the second one's word issues it, and says who has approved."""
    config = asking()
    fold = ActionFold(config)
    proposal = asked(fold)
    first = results(obey(fold, order(Verb.APPROVE, "alice", 5, command_id=proposal.id), 5, config))
    assert [(one.state, one.by) for one in first] == [(State.AWAITING_APPROVAL, ("alice",))]
    [command] = commands(obey(fold, order(Verb.APPROVE, "bob", 9, command_id=proposal.id), 9, config))
    assert (command.mode, command.held, command.proposal) == (Mode.APPROVE, None, proposal.id)
    assert (command.approved_by, command.issued_at) == (("alice", "bob"), rfc3339(at(9)))
    assert (command.action, command.parameters, command.approval) == (proposal.action, proposal.parameters, None)


def test_the_same_person_is_one_person() -> None:
    """However often they say so."""
    config = asking()
    fold = ActionFold(config)
    proposal = asked(fold)
    obey(fold, order(Verb.APPROVE, "alice", 5, command_id=proposal.id), 5, config)
    again = obey(fold, order(Verb.APPROVE, "alice", 6, command_id=proposal.id), 6, config)
    assert commands(again) == []
    assert [one.refusal for one in results(again)] == [Refusal.NOT_ALLOWED]


def test_an_approved_brake_comes_off_with_its_episode() -> None:
    """As any other: the restore names it, and is carried out."""
    config = asking(Policy())
    fold, found = ActionFold(config), surge("acme/a", 0)
    [proposal] = commands(fold.apply(found, at(0)))
    [command] = commands(obey(fold, order(Verb.APPROVE, "bob", 9, command_id=proposal.id), 9, config))
    [restore] = commands(fold.apply(resolved(found, 60), at(60)))
    assert (restore.action, restore.restores, restore.held) == (Action.RESTORE, command.id, None)


def test_an_approved_brake_is_renewed_without_asking_again() -> None:
    """The approval is for the episode."""
    config = asking(Policy())
    fold, found = ActionFold(config), surge("acme/a", 0)
    [proposal] = commands(fold.apply(found, at(0)))
    [command] = commands(obey(fold, order(Verb.APPROVE, "bob", 9, command_id=proposal.id), 9, config))
    [renewal] = commands(fold.apply(later(found, 600), at(600)))
    assert (renewal.restores, renewal.held, renewal.approved_by) == (command.id, None, ("bob",))


@pytest.mark.parametrize(("otherwise", "expected"), [("reject", None), ("issue", Action.THROTTLE)])
def test_if_nobody_answers_the_policy_says_what_happens(otherwise: str, expected: Action | None) -> None:
    """At the end of its patience, which the clock notices, too."""
    config = asking(Policy(persons=2, within=Seconds(600), otherwise=otherwise))  # type: ignore[arg-type]
    fold = ActionFold(config)
    proposal = asked(fold)
    assert fold.overdue(at(599)) is None
    tick = fold.overdue(at(601))
    assert tick is not None
    outputs = fold.apply(tick, None)
    assert [(c.action, c.issued_at, c.approved_by) for c in commands(outputs)] == (
        [] if expected is None else [(expected, rfc3339(at(600)), ())]
    )
    told = [(one.command_id, one.state, one.by) for one in results(outputs)]
    assert told == ([(proposal.id, State.REJECTED, ())] if expected is None else [])


def test_what_was_rejected_is_not_asked_for_again_in_the_episode() -> None:
    """The next episode asks anew."""
    config = asking()
    fold, found = ActionFold(config), surge("acme/a", 0)
    [proposal] = commands(fold.apply(found, at(0)))
    [rejected] = results(obey(fold, order(Verb.REJECT, "carol", 5, command_id=proposal.id), 5, config))
    assert (rejected.state, rejected.by) == (State.REJECTED, ("carol",))
    [refused] = commands(fold.apply(later(found, 400), at(400)))
    assert refused.held is Held.REFUSED
    assert commands(fold.apply(later(found, 800), at(800))) == []
    fold.apply(resolved(found, 900), at(900))
    [next_one] = commands(fold.apply(surge("acme/a", 2000, opened_s=2000), at(2000)))
    assert next_one.held is Held.AWAITING_APPROVAL


def test_a_rollback_takes_the_brake_off_and_keeps_it_off() -> None:
    """For the rest of the episode, whatever the rule says."""
    config = settings(operators=operators("alice"))
    fold, found = ActionFold(config), surge("acme/a", 0)
    [command] = commands(fold.apply(found, at(0)))
    outputs = obey(fold, order(Verb.ROLLBACK, "alice", 20, command_id=command.id), 20, config)
    [restore] = commands(outputs)
    assert (restore.action, restore.restores) == (Action.RESTORE, command.id)
    assert "alice" in restore.reason
    [alert] = alerts(outputs)
    assert (alert.dedup_key, alert.status) == (found.episode, "firing")
    assert [c.held for c in commands(fold.apply(later(found, 500), at(500)))] == [Held.REFUSED]


def test_a_renewed_brake_can_be_rolled_back_by_the_id_it_began_with() -> None:
    """That is the one that a person has seen."""
    config = settings(operators=operators("alice"))
    fold, found = ActionFold(config), surge("acme/a", 0)
    [command] = commands(fold.apply(found, at(0)))
    [renewal] = commands(fold.apply(later(found, 600), at(600)))
    [restore] = commands(obey(fold, order(Verb.ROLLBACK, "alice", 620, command_id=command.id), 620, config))
    assert restore.restores == renewal.id


def test_the_kill_switch_holds_the_next_command_until_it_is_off() -> None:
    """It is an alert of its own, and what is in force stays."""
    config = settings(operators=operators("alice"))
    fold, found = ActionFold(config), surge("acme/a", 10)
    [firing] = alerts(obey(fold, order(Verb.PAUSE, "alice", 0), 0, config))
    assert (firing.rule, firing.status) == ("kill_switch", "firing")
    assert [c.held for c in commands(fold.apply(found, at(10)))] == [Held.KILL_SWITCH]
    [resolves] = alerts(obey(fold, order(Verb.RESUME, "alice", 20), 20, config))
    assert (resolves.dedup_key, resolves.status) == (firing.dedup_key, "resolved")
    assert [c.held for c in commands(fold.apply(later(found, 30), at(30)))] == [None]


def test_a_pause_ends_by_itself() -> None:
    """The clock says so in silence."""
    config = settings(operators=operators("alice"))
    fold = ActionFold(config)
    obey(fold, order(Verb.PAUSE, "alice", 0, until=rfc3339(at(3600))), 0, config)
    tick = fold.overdue(at(3601))
    assert tick is not None
    [alert] = alerts(fold.apply(tick, None))
    assert alert.status == "resolved"
    assert [c.held for c in commands(fold.apply(surge("acme/a", 3700), at(3700)))] == [None]


def test_an_old_word_about_the_kill_switch_cannot_be_played_again() -> None:
    """Whoever can write to the topic could else take the brake off with a true signature."""
    config = settings(operators=operators("alice"))
    fold = ActionFold(config)
    resume = order(Verb.RESUME, "alice", 1)
    obey(fold, order(Verb.PAUSE, "alice", 2), 2, config)
    assert [one.refusal for one in results(obey(fold, resume, 3, config))] == [Refusal.REPLAYED]
    assert [c.held for c in commands(fold.apply(surge("acme/a", 10), at(10)))] == [Held.KILL_SWITCH]


def test_an_approval_does_not_overrule_the_kill_switch() -> None:
    """What nobody wants carried out now is not."""
    config = asking(Policy())
    fold = ActionFold(config)
    proposal = asked(fold)
    obey(fold, order(Verb.PAUSE, "alice", 1), 1, config)
    outputs = obey(fold, order(Verb.APPROVE, "bob", 9, command_id=proposal.id), 9, config)
    assert commands(outputs) == []
    assert [(one.state, one.reason) for one in results(outputs)] == [(State.HELD, "kill_switch")]


def test_a_command_that_failed_is_restored_and_may_be_asked_for_again() -> None:
    """After the cooldown; people hear of it."""
    config = settings()
    fold, found = ActionFold(config), surge("acme/a", 0)
    [command] = commands(fold.apply(found, at(0)))
    outputs = fold.apply(failed(command, 5), at(5))
    [restore] = commands(outputs)
    assert (restore.action, restore.restores) == (Action.RESTORE, command.id)
    assert "403 Forbidden" in alerts(outputs)[0].summary
    assert [c.held for c in commands(fold.apply(later(found, 400), at(400)))] == [None]


def test_a_restore_that_failed_is_told_until_it_is_done() -> None:
    """Nobody else would notice that a brake is still on."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    fold.apply(found, at(0))
    [restore] = commands(fold.apply(resolved(found, 60), at(60)))
    [stuck] = alerts(fold.apply(failed(restore, 90), at(90)))
    assert (stuck.status, stuck.endpoint) == ("firing", "acme/a")
    assert fold.apply(failed(restore, 95), at(95)) == []
    [free] = alerts(fold.apply(failed(restore, 99, State.VERIFIED), at(99)))
    assert (free.status, free.dedup_key) == ("resolved", stuck.dedup_key)


def test_what_is_passed_on_twice_is_heard_once() -> None:
    """After a crash of whoever passes it on."""
    config = settings(operators=operators("alice"))
    fold = ActionFold(config)
    heard = passed(order(Verb.PAUSE, "alice", 0), 0, config)
    assert heard is not None
    assert not isinstance(heard, Result)
    assert len(fold.apply(heard, at(0))) == 1
    assert fold.apply(heard, at(0)) == []


@pytest.mark.parametrize(
    ("who", "changes", "refusal"),
    [
        ("worker", {}, Refusal.NOT_ALLOWED),  # nobody that the configuration names
        ("carol", {}, Refusal.NOT_ALLOWED),  # may not approve
        ("alice", {"signature": None}, Refusal.UNSIGNED),
        ("alice", {"why": "another reason"}, Refusal.BAD_SIGNATURE),
        ("alice", {"who": "bob"}, Refusal.BAD_SIGNATURE),
    ],
)
def test_who_may_not_approve_is_not_heard(who: str, changes: dict[str, str], refusal: Refusal) -> None:
    """And is told so."""
    given = structs.replace(order(Verb.APPROVE, who, 0, command_id="a" * 32), **changes)
    heard = passed(given, 0, asking())
    assert isinstance(heard, Result)
    assert heard.refusal is refusal


@pytest.mark.parametrize(("at_s", "refusal"), [(301, Refusal.TOO_LATE), (-301, Refusal.FROM_THE_FUTURE)])
def test_an_order_is_fresh_or_not_heard(at_s: float, refusal: Refusal) -> None:
    """Five minutes for the way, and for clocks that differ."""
    heard = passed(order(Verb.PAUSE, "alice", 0), at_s, asking())
    assert isinstance(heard, Result)
    assert heard.refusal is refusal


def test_without_operators_nobody_can_approve_but_everybody_can_stop() -> None:
    """Then the rights on the topic are all there is."""
    free = structs.replace(order(Verb.PAUSE, "alice", 0), signature=None)
    assert not isinstance(passed(free, 0, settings()), Result)
    approve = structs.replace(order(Verb.APPROVE, "alice", 0, command_id="a" * 32), signature=None)
    heard = passed(approve, 0, settings())
    assert isinstance(heard, Result)
    assert heard.refusal is Refusal.NOT_ALLOWED


def test_a_stronger_brake_waits_beside_the_one_in_force() -> None:
    """What is in force stays on until somebody approves more; then it is replaced, and named."""
    rule = ApprovalRule(rules=("runaway_replicas",), approve=Policy())
    config = settings(approvals=(rule,), operators=operators("alice"))
    fold = ActionFold(config)
    [light] = commands(fold.apply(surge("acme/a", 0), at(0)))
    [asked_for] = commands(fold.apply(runaway("acme/a", 400), at(400)))
    assert (light.held, asked_for.held, asked_for.restores) == (None, Held.AWAITING_APPROVAL, None)
    [both] = commands(obey(fold, order(Verb.APPROVE, "alice", 410, command_id=asked_for.id), 410, config))
    assert (both.restores, both.proposal) == (light.id, asked_for.id)
    assert both.parameters == {"max_replicas": 8, "max_requests_per_second": 12.5}


def test_a_demand_that_tightens_waits_no_longer_than_the_first() -> None:
    """Else what is asked for more and more would never be decided; another action has a time of its own."""
    rule = ApprovalRule(approve=Policy(within=Seconds(600), otherwise="issue"))
    config = settings(approvals=(rule,), operators=operators("alice"), actions={"latency": "shutdown"})
    fold = ActionFold(config)
    [first] = commands(fold.apply(surge("acme/a", 0), at(0)))
    [tighter] = commands(fold.apply(runaway("acme/a", 400), at(400)))
    worse = finding("latency", "acme/a", "acme/a", 500, evidence={"before": {"ready_replicas": 2}})
    [higher] = commands(fold.apply(worse, at(500)))
    assert first.approval is not None
    assert tighter.approval == first.approval
    assert (higher.action, higher.approval and higher.approval.until) == (Action.SHUTDOWN, rfc3339(at(1100)))


def test_people_hear_of_a_command_that_no_executor_begins() -> None:
    """After two minutes, once; the clock notices it in silence."""
    config = settings(executors={"hf": DryRun()})
    fold = ActionFold(config)
    [command] = commands(fold.apply(surge("acme/a", 0), at(0)))
    assert fold.overdue(at(119)) is None
    tick = fold.overdue(at(121))
    assert tick is not None
    [alert] = alerts(fold.apply(tick, None))
    assert (alert.command_id, alert.at) == (command.id, rfc3339(at(120)))
    assert "--executor hf" in alert.summary
    assert fold.overdue(at(300)) is None


def test_what_an_executor_has_begun_is_no_matter_for_people() -> None:
    """However long it takes: whether it comes to an end is the executor's to say."""
    fold = ActionFold(settings(executors={"hf": DryRun()}))
    [command] = commands(fold.apply(surge("acme/a", 0), at(0)))
    assert fold.apply(failed(command, 5, State.APPLYING), at(5)) == []
    assert fold.overdue(at(800)) is None


def test_alerts_about_tidegate_name_no_finding() -> None:
    """There is none."""
    config = settings(operators=operators("alice"))
    alert = obey(ActionFold(config), order(Verb.PAUSE, "alice", 0), 0, config)[0]
    assert isinstance(alert, Alert)
    assert alert.finding_id is None
