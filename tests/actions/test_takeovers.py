"""Brakes when the configuration changes under them, or what was to take their place comes to nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from actions import ActionFold, passed_on
from schemas.config import ApprovalRule, Budget, Config, Policy, Seconds
from schemas.executors import DryRun
from schemas.orders import Verb
from schemas.outputs import Action, Alert, Command, Finding, Held, Mode, Refusal, Result, Severity, State
from schemas.units import rfc3339
from tests.actions.findings import at, commands, finding, later, resolved, runaway, settings, spend, surge
from tests.actions.orders import failed, obey, operators, order


def test_what_nobody_has_approved_does_not_slip_in_behind_a_brake_that_needed_no_approval() -> None:
    """A claim that waits for two persons stays one that waits, though a brake of another rule covered it."""
    asks = ApprovalRule(rules=("runaway_replicas",), approve=Policy(persons=2))
    free = ApprovalRule(approve="auto")
    config = settings(
        approvals=(asks, free), operators=operators("alice", "bob"), actions={"request_surge": "shutdown"}
    )  # fmt: skip
    fold, first = ActionFold(config), surge("acme/a", 0)
    [shutdown] = commands(fold.apply(first, at(0)))
    assert (shutdown.action, shutdown.held) == (Action.SHUTDOWN, None)
    [covered] = commands(fold.apply(runaway("acme/a", 10), at(10)))
    assert covered.held is Held.ALREADY_IN_FORCE
    restore, weaker = commands(fold.apply(resolved(first, 60), at(60)))
    assert (restore.action, restore.restores) == (Action.RESTORE, shutdown.id)
    assert (weaker.action, weaker.held) == (Action.THROTTLE, Held.AWAITING_APPROVAL)
    assert weaker.approval is not None
    assert weaker.approval.persons == 2


def test_in_shadow_nothing_that_waited_is_issued_any_more() -> None:
    """Who turns the mode down to shadow means also what is pending, whatever its policy says of silence."""
    policy = Policy(persons=1, within=Seconds(600), otherwise="issue")
    config = settings(approvals=(ApprovalRule(approve=policy),), operators=operators("alice"))
    for answered in (False, True):
        fold = ActionFold(config)
        [proposal] = commands(fold.apply(surge("acme/a", 0), at(0)))
        fold.reconfigure(structs.replace(config, mode=Mode.SHADOW))
        if answered:
            outputs = obey(fold, order(Verb.APPROVE, "alice", 9, command_id=proposal.id), 9, config)
        else:
            tick = fold.overdue(at(601))
            assert tick is not None
            outputs = fold.apply(tick, None)
        assert [command for command in commands(outputs) if command.held is None] == []
        told = [(one.command_id, one.state, one.reason) for one in outputs if isinstance(one, Result)]
        assert told == [(proposal.id, State.HELD, "shadow")]


def test_in_shadow_no_weaker_brake_follows_a_real_one() -> None:
    """The restore is real, for the brake was; what others still ask for is only supposed by now."""
    config = settings(actions={"request_surge": "shutdown"})
    fold, first = ActionFold(config), surge("acme/a", 0)
    fold.apply(first, at(0))
    fold.apply(runaway("acme/a", 10), at(10))
    fold.reconfigure(structs.replace(config, mode=Mode.SHADOW))
    restore, weaker = commands(fold.apply(resolved(first, 60), at(60)))
    assert (restore.action, restore.held) == (Action.RESTORE, None)
    assert (weaker.action, weaker.held) == (Action.THROTTLE, Held.SHADOW)


def test_a_stronger_brake_that_failed_leaves_the_weaker_one_of_others() -> None:
    """What it was to replace comes back at once, for its episode still asks for it."""
    config = settings(actions={"request_surge": "shutdown"})
    fold = ActionFold(config)
    [throttle] = commands(fold.apply(runaway("acme/a", 0), at(0)))
    [shutdown] = commands(fold.apply(surge("acme/a", 20, opened_s=20), at(20)))
    assert (shutdown.action, shutdown.restores) == (Action.SHUTDOWN, throttle.id)
    restore, again = commands(fold.apply(failed(shutdown, 60), at(60)))
    assert (restore.action, restore.restores) == (Action.RESTORE, shutdown.id)
    assert (again.action, again.parameters, again.held) == (Action.THROTTLE, throttle.parameters, None)


def test_a_stronger_brake_that_failed_is_not_tried_again_within_the_cooldown() -> None:
    """Though an escalation does not wait: each attempt takes the weaker brake off for a while."""
    config = settings(actions={"request_surge": "shutdown"})
    fold, found = ActionFold(config), surge("acme/a", 20, opened_s=20)
    fold.apply(runaway("acme/a", 0), at(0))
    [shutdown] = commands(fold.apply(found, at(20)))
    fold.apply(failed(shutdown, 60), at(60))
    [held] = commands(fold.apply(later(found, 90), at(90)))
    assert (held.action, held.held) == (Action.SHUTDOWN, Held.COOLDOWN)
    [tried] = commands(fold.apply(later(found, 400), at(400)))
    assert (tried.action, tried.held) == (Action.SHUTDOWN, None)


def reported(command: Command, at_s: float, **changes: Any) -> Finding:
    """As `failed`, and otherwise where `changes` say so."""
    result = structs.replace(msgspec.convert(failed(command, at_s).evidence["result"], Result), **changes)
    heard = passed_on.report(result, at(at_s), 1_000_000 + round(at_s), settings())
    assert heard is not None
    return heard


def test_people_hear_that_an_executor_refuses_what_is_taken_for_in_force() -> None:
    """A key that it does not know, say: else all would believe that the endpoint is braked."""
    fold = ActionFold(settings())
    [command] = commands(fold.apply(surge("acme/a", 0), at(0)))
    refusal = reported(command, 5, state=None, refusal=Refusal.UNKNOWN_KEY, reason="")
    [alert] = fold.apply(refusal, at(5))
    assert isinstance(alert, Alert)
    assert (alert.dedup_key, alert.command_id) == (command.episode, command.id)
    assert "NOT done, hf refuses it (unknown_key)" in alert.summary
    copy = reported(command, 6, state=None, refusal=Refusal.MISPLACED)
    assert fold.apply(copy, at(6)) == []


def test_only_its_own_executor_can_say_that_a_command_failed() -> None:
    """Whatever another one says, the brake stays."""
    config = settings(executors={"mine": DryRun()})
    fold = ActionFold(config)
    [command] = commands(fold.apply(surge("acme/a", 0), at(0)))
    assert command.executor == "mine"
    assert fold.apply(reported(command, 5, executor="other"), at(5)) == []
    assert len(commands(fold.apply(reported(command, 6, executor="mine"), at(6)))) == 1


def test_a_clock_that_is_ahead_ends_nothing_early() -> None:
    """One collector's clock must not end the kill switch, an approval's patience, or the brakes of a whole fleet."""
    config = settings(operators=operators("alice"))
    fold, ahead = ActionFold(config), surge("acme/b", 910)
    fold.apply(surge("acme/a", 0), at(0))
    obey(fold, order(Verb.PAUSE, "alice", 100, until=rfc3339(at(905))), 100, config)
    assert [command.held for command in commands(fold.apply(ahead, at(620)))] == [Held.KILL_SWITCH]
    [restore, *_] = commands(fold.apply(later(ahead, 920), at(921)))
    assert (restore.action, restore.endpoint) == (Action.RESTORE, "acme/a")


def by_silence(**changes: Any) -> Config:
    """What nobody answers within ten minutes is issued."""
    policy = Policy(persons=1, within=Seconds(600), otherwise="issue")
    return settings(approvals=(ApprovalRule(approve=policy),), operators=operators("alice"), **changes)


def test_what_was_rolled_back_does_not_come_back_by_silence() -> None:
    """A tighter cap that waited when the brake was rolled back: the episode was told no, and nobody has said yes."""
    config = by_silence()
    fold, found = ActionFold(config), spend(0, [("acme/a", 40, 2.0)])
    [first] = commands(fold.apply(found, at(0)))
    [brake] = commands(obey(fold, order(Verb.APPROVE, "alice", 9, command_id=first.id), 9, config))
    [tighter] = commands(fold.apply(later(found, 400, threshold=25.0), at(400)))
    assert tighter.held is Held.AWAITING_APPROVAL
    obey(fold, order(Verb.ROLLBACK, "alice", 410, command_id=brake.id), 410, config)
    tick = fold.overdue(at(1001))
    assert tick is not None
    outputs = fold.apply(tick, None)
    assert commands(outputs) == []
    assert [(one.command_id, one.reason) for one in outputs if isinstance(one, Result)] == [(tighter.id, "refused")]


def test_silence_shuts_nothing_down_in_the_dark() -> None:
    """A source fell silent while nobody answered: an approval may overrule that, its absence does not."""
    budgets = {"all": Budget(daily_usd=1200.0, endpoints=("acme/*",))}
    config = by_silence(actions={"request_surge": "shutdown"}, budgets=budgets)
    fold = ActionFold(config)
    [proposal] = commands(fold.apply(surge("acme/a", 0), at(0)))
    fold.apply(finding("telemetry_gap", "all", None, 300, opened_s=300, severity=Severity.ERROR), at(300))
    tick = fold.overdue(at(601))
    assert tick is not None
    told = [one for one in fold.apply(tick, None) if isinstance(one, Result)]
    assert [(one.command_id, one.state, one.reason) for one in told] == [(proposal.id, State.HELD, "telemetry_gap")]
