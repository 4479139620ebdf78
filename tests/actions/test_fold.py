"""The fold as a whole: de-duplication, alerts, brakes on and off."""

from __future__ import annotations

import actions
from actions import ActionFold
from schemas.config import Budget, Endpoint, Safety, Seconds
from schemas.outputs import Action, Finding, Held, Mode, Severity, Status
from tests.actions.findings import (
    Outputs,
    alerts,
    at,
    commands,
    finding,
    later,
    resolved,
    runaway,
    settings,
    spend,
    spend_evidence,
    surge,
)  # fmt: skip

DEAR = [("acme/a", 20, 2.0), ("acme/b", 5, 2.0), ("acme/c", 5, 2.0)]  # 60 USD per hour; the goal is 40


def play(fold: ActionFold, *log: Finding) -> Outputs:
    return [output for found in log for output in fold.apply(found, None)]


def test_the_package_exports_the_fold() -> None:
    """`from actions import ActionFold` is the whole interface."""
    assert actions.__all__ == ["ActionFold"]


def test_a_surge_is_throttled_to_the_upper_end_of_normal() -> None:
    """The limit is the evidence's `high_rps`, the state to come back to is what the evidence saw."""
    [command] = commands(play(ActionFold(settings()), surge("acme/a", 0)))
    assert (command.action, command.mode, command.held) == (Action.THROTTLE, Mode.AUTO, None)
    assert command.parameters == {"max_requests_per_second": 12.5}
    assert command.before == {"ready_replicas": 3, "max_replicas": 10}
    assert command.cost.saves_usd_per_hour is None


def test_a_surge_is_never_throttled_below_the_smallest_rate() -> None:
    """An endpoint that normally sleeps still answers `min_rps`."""
    found = surge("acme/a", 0, evidence={"high_rps": 0.1, "min_rps": 1.0})
    [command] = commands(play(ActionFold(settings()), found))
    assert command.parameters == {"max_requests_per_second": 1.0}


def test_a_runaway_is_capped_to_what_is_expected() -> None:
    """32 replicas too many at 2 USD are 64 USD per hour."""
    [command] = commands(play(ActionFold(settings()), runaway("acme/a", 0)))
    assert command.parameters == {"max_replicas": 8}
    assert command.cost.saves_usd_per_hour == 64.0
    assert command.cost.rate_usd_per_hour == 80.0


def test_the_same_finding_twice_says_nothing_new() -> None:
    """A worker that starts again writes its findings again."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    assert fold.apply(found, None)
    assert fold.apply(found, None) == []


def test_a_finding_of_an_episode_that_is_over_is_dropped() -> None:
    """A zombie that wakes up late cannot bring a brake back."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    late = later(found, 60)
    play(fold, found, late, resolved(found, 90))
    assert play(fold, found, late, resolved(found, 90)) == []


def test_two_findings_at_one_instant_both_count() -> None:
    """An opening and its rise in severity may be at the same event."""
    fold, found = ActionFold(settings()), surge("acme/a", 0, severity=Severity.WARNING)
    worse = later(found, 0, severity=Severity.CRITICAL)
    told = alerts(play(fold, found, worse, found, worse))
    assert [alert.severity for alert in told if alert.command_id is None] == ["warning", "critical"]


def test_a_new_episode_displaces_one_that_never_ended() -> None:
    """Whatever became of the old one's end, its brake and its incident do not stay for ever."""
    fold = ActionFold(settings())
    play(fold, surge("acme/a", 0))
    outputs = play(fold, surge("acme/a", 400, opened_s=400))
    assert [command.action for command in commands(outputs)] == [Action.RESTORE, Action.THROTTLE]
    assert [alert.status for alert in alerts(outputs)] == ["resolved", "firing", "firing"]


def test_people_hear_of_opening_command_and_end() -> None:
    """One incident, three lines, one key."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    told = alerts(play(fold, found, later(found, 60), resolved(found, 120)))
    assert [alert.status for alert in told] == ["firing", "firing", "resolved"]
    assert {alert.dedup_key for alert in told} == {found.episode}
    assert "1 brake released" in told[-1].summary


def test_a_resolved_episode_restores_its_endpoint() -> None:
    """The restore names what it undoes and carries the state to come back to."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    [command] = commands(play(fold, found))
    [restore] = commands(play(fold, resolved(found, 120)))
    assert (restore.action, restore.restores, restore.parameters) == (Action.RESTORE, command.id, {})
    assert (restore.before, restore.mode, restore.held) == (command.before, Mode.AUTO, None)


def test_a_real_brake_is_really_released_when_the_mode_is_now_shadow() -> None:
    """A change of mode must not leave a throttle behind."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    play(fold, found)
    fold.reconfigure(settings(mode=Mode.SHADOW))
    [restore] = commands(play(fold, resolved(found, 120)))
    assert restore.mode is Mode.AUTO


def test_shadow_tells_the_whole_story() -> None:
    """Command and restore, both in shadow, so nobody carries them out."""
    fold, found = ActionFold(settings(mode=Mode.SHADOW)), surge("acme/a", 0)
    command, restore = commands(play(fold, found, later(found, 60), resolved(found, 120)))
    assert (command.mode, command.held) == (Mode.SHADOW, Held.SHADOW)
    assert (restore.mode, restore.restores) == (Mode.SHADOW, command.id)


def test_approve_waits() -> None:
    """In mode approve the command is published, held until somebody approves."""
    [command] = commands(play(ActionFold(settings(mode=Mode.APPROVE)), surge("acme/a", 0)))
    assert (command.mode, command.held) == (Mode.APPROVE, Held.AWAITING_APPROVAL)


def test_a_shadow_brake_stands_in_no_real_ones_way() -> None:
    """Once the mode is auto, the next update brakes in earnest."""
    fold, found = ActionFold(settings(mode=Mode.SHADOW)), surge("acme/a", 0)
    play(fold, found)
    fold.reconfigure(settings())
    [command] = commands(play(fold, later(found, 60)))
    assert (command.mode, command.held) == (Mode.AUTO, None)


def test_what_a_shadow_would_have_done_is_not_taken_off_the_hours_real_actions() -> None:
    """One endpoint on trial must not stop the brakes of all others."""
    on_trial = {"acme/a": Endpoint(mode=Mode.SHADOW), "acme/b": Endpoint()}
    fold = ActionFold(settings(endpoints=on_trial, safety=Safety(max_actions_per_hour=1)))
    told = commands(play(fold, surge("acme/a", 0), surge("acme/b", 1), surge("acme/c", 2)))
    assert [command.held for command in told] == [Held.SHADOW, None, Held.MAX_ACTIONS_PER_HOUR]


def test_an_update_past_half_of_the_life_renews() -> None:
    """Same action and parameters, a new id, in the place of the old one; and it costs no action."""
    fold = ActionFold(settings(safety=Safety(max_actions_per_hour=1)))
    found = surge("acme/a", 0)
    [command] = commands(play(fold, found, later(found, 449)))
    [renewed] = commands(play(fold, later(found, 450)))
    assert (renewed.action, renewed.parameters) == (command.action, command.parameters)
    assert (renewed.restores, renewed.held) == (command.id, None)
    assert renewed.reason.startswith("renewed: ")
    assert renewed.id != command.id


def test_operators_stop_renewals() -> None:
    """With the kill switch on, a brake ends with its time."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    play(fold, found)
    fold.reconfigure(settings(safety=Safety(kill_switch=True)))
    told = commands(play(fold, later(found, 500), later(found, 900)))
    assert [(command.action, command.held) for command in told] == [
        (Action.RESTORE, None),
        (Action.THROTTLE, Held.KILL_SWITCH),
    ]


def test_what_nobody_renews_expires() -> None:
    """The first finding past its end, about whatever, takes the brake off."""
    fold = ActionFold(settings())
    [command] = commands(play(fold, surge("acme/a", 0)))
    restore = commands(play(fold, surge("acme/b", 900, opened_s=900)))[0]
    assert restore.reason.startswith("expired")
    assert (restore.restores, restore.issued_at) == (command.id, command.expires_at)


def test_the_clock_ends_what_silence_would_keep() -> None:
    """The wall clock writes a finding; applying it expires, and does nothing else."""
    fold = ActionFold(settings())
    play(fold, surge("acme/a", 0), surge("acme/b", 10, opened_s=10))
    assert fold.overdue(at(899)) is None
    tick = fold.overdue(at(1000))
    assert tick is not None
    assert (tick.rule, tick.subject, tick.evidence) == ("clock", "tidegate", {"clock": "wall"})
    assert tick == fold.overdue(at(2000))
    outputs = play(fold, tick)
    assert [command.action for command in commands(outputs)] == [Action.RESTORE] * 2
    assert alerts(outputs) == []
    assert play(fold, tick) == []
    assert fold.overdue(at(2000)) is None


def test_an_expired_restore_is_the_same_whoever_notices() -> None:
    """The clock and the next finding give one id, not two."""
    noticed = ActionFold(settings())
    ticked = ActionFold(settings())
    play(noticed, surge("acme/a", 0))
    play(ticked, surge("acme/a", 0))
    tick = ticked.overdue(at(900))
    assert tick is not None
    assert play(ticked, tick)[0] == play(noticed, surge("acme/b", 950, opened_s=950))[0]


def test_two_episodes_that_ask_for_the_same_end_with_the_last() -> None:
    """The brake goes over to the second without a word."""
    fold = ActionFold(settings(actions={"latency": "shutdown", "errors": "shutdown"}))
    first = finding("latency", "acme/a", "acme/a", 0)
    second = finding("errors", "acme/a", "acme/a", 10)
    done, held = commands(play(fold, first, second))
    assert held.held is Held.ALREADY_IN_FORCE
    assert commands(play(fold, resolved(first, 60))) == []
    [restore] = commands(play(fold, resolved(second, 90)))
    assert restore.restores == done.id


def test_a_weaker_brake_comes_back_when_the_stronger_one_goes() -> None:
    """Restore first, then the throttle that the other still asks for; its cooldown does not matter."""
    fold = ActionFold(settings(actions={"latency": "shutdown"}))
    strong, weak = finding("latency", "acme/a", "acme/a", 0), runaway("acme/a", 10)
    [shutdown, _held] = commands(play(fold, strong, weak))
    restore, throttle = commands(play(fold, resolved(strong, 60)))
    assert (restore.action, restore.restores) == (Action.RESTORE, shutdown.id)
    assert (throttle.action, throttle.held) == (Action.THROTTLE, None)
    assert throttle.episode == weak.episode


def test_a_stronger_brake_takes_the_weaker_ones_place_and_its_before() -> None:
    """No cooldown for an escalation; what to come back to is what was there before the first brake."""
    fold = ActionFold(settings(actions={"latency": "shutdown"}))
    [throttle] = commands(play(fold, surge("acme/a", 0)))
    strong = finding("latency", "acme/a", "acme/a", 10, evidence={"before": {"max_replicas": 3}})
    [shutdown] = commands(play(fold, strong))
    assert shutdown.restores == throttle.id
    assert shutdown.before == {"ready_replicas": 3, "max_replicas": 10}


def test_throttles_of_different_kinds_join() -> None:
    """A surge and a runaway on one endpoint are one throttle with both limits, once the cooldown is over."""
    fold = ActionFold(settings())
    found = runaway("acme/a", 10, opened_s=10)
    told = commands(play(fold, surge("acme/a", 0), found, later(found, 300)))
    assert [command.held for command in told] == [None, Held.COOLDOWN, None]
    assert told[-1].parameters == {"max_replicas": 8, "max_requests_per_second": 12.5}


def test_a_budget_caps_the_dearest_until_the_rate_is_below_the_goal() -> None:
    """60 USD per hour, goal 40: ten of the twenty replicas of the dearest go."""
    [command] = commands(play(ActionFold(settings()), spend(0, DEAR)))
    assert (command.endpoint, command.parameters) == ("acme/a", {"max_replicas": 10})
    assert command.before == {"ready_replicas": 20}
    assert (command.cost.spend_usd, command.cost.budget_usd) == (60.0, 50.0)
    assert (command.cost.rate_usd_per_hour, command.cost.saves_usd_per_hour) == (60.0, 20.0)


def test_a_budget_leaves_critical_endpoints_alone() -> None:
    """What the first cannot give, the next ones must, down to one replica each."""
    endpoints = {"acme/a": Endpoint(critical=True)}
    told = commands(play(ActionFold(settings(endpoints=endpoints)), spend(0, DEAR)))
    assert [(command.endpoint, command.parameters["max_replicas"]) for command in told] == [
        ("acme/b", 1),
        ("acme/c", 1),
    ]


def test_a_budget_only_warns_at_a_warning() -> None:
    """The allowance may run out, but has not."""
    outputs = play(ActionFold(settings()), spend(0, DEAR, severity=Severity.WARNING))
    assert (len(commands(outputs)), len(alerts(outputs))) == (0, 1)


def test_a_budget_acts_when_the_warning_gets_worse() -> None:
    """The rise of severity is heard, and acted on."""
    fold, found = ActionFold(settings()), spend(0, DEAR, severity=Severity.WARNING)
    play(fold, found)
    outputs = play(fold, later(found, 60, severity=Severity.CRITICAL))
    assert (len(commands(outputs)), len(alerts(outputs))) == (1, 2)


def test_a_budget_whose_rate_is_down_already_only_alerts() -> None:
    """The money is spent; there is nothing left to brake."""
    outputs = play(ActionFold(settings()), spend(0, [("acme/a", 10, 2.0)]))
    assert commands(outputs) == []


def test_a_budget_adds_endpoints_while_the_rate_is_too_high() -> None:
    """What is in force is counted as if it had its effect, and not sent again."""
    fold, found = ActionFold(settings()), spend(0, DEAR)
    play(fold, found)
    assert commands(play(fold, later(found, 60))) == []
    more = later(found, 120, evidence=spend_evidence([("acme/a", 10, 2.0), ("acme/b", 20, 2.0)]))
    [command] = commands(play(fold, more))
    assert (command.endpoint, command.parameters) == ("acme/b", {"max_replicas": 10})


def test_a_budget_shuts_down_where_the_endpoint_says_so() -> None:
    """The endpoint's own word wins over the rule's."""
    endpoints = {"acme/a": Endpoint(actions={"hourly_spend": "shutdown"})}
    config = settings(endpoints=endpoints, safety=Safety(max_share_down=1))
    [command] = commands(play(ActionFold(config), spend(0, DEAR)))
    assert (command.action, command.cost.saves_usd_per_hour) == (Action.SHUTDOWN, 40.0)


def test_a_budget_goes_on_past_a_protected_endpoint_but_not_past_a_global_reason() -> None:
    """A protected endpoint is held and the next one asked; the kill switch is said once."""
    guarded = ActionFold(settings(safety=Safety(protected=("acme/a",))))
    assert [c.held for c in commands(play(guarded, spend(0, DEAR)))] == [Held.PROTECTED, None, None]
    stopped = ActionFold(settings(safety=Safety(kill_switch=True)))
    assert [c.held for c in commands(play(stopped, spend(0, DEAR)))] == [Held.KILL_SWITCH]


def test_a_budgets_own_goal_counts() -> None:
    """`resolve_below` of the budget's rule is the rate to come down to."""
    fold = ActionFold(settings(budgets={"all": Budget(daily_usd=1200, endpoints=("*",))}))
    [command] = commands(play(fold, spend(0, DEAR)))
    assert command.parameters == {"max_replicas": 10}


def test_a_held_command_is_published_once_and_tried_again() -> None:
    """Once the hour's actions are free again, the next update brakes."""
    fold = ActionFold(settings(safety=Safety(max_actions_per_hour=1, expires_after=Seconds(7200))))
    found = surge("acme/b", 10, opened_s=10)
    play(fold, surge("acme/a", 0))
    [held] = commands(play(fold, found, later(found, 60), later(found, 120)))
    assert (held.held, held.mode) == (Held.MAX_ACTIONS_PER_HOUR, Mode.SHADOW)
    [command] = commands(play(fold, later(found, 3600)))
    assert (command.endpoint, command.held) == ("acme/b", None)


def test_old_evidence_leads_to_an_alert_only() -> None:
    """A backlog that is read after an outage must not brake today's traffic."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    outputs = fold.apply(found, at(121))
    assert [command.held for command in commands(outputs)] == [Held.EVIDENCE_TOO_OLD]
    assert len(alerts(outputs)) == 2


def test_overflow_takes_the_cheapest_provider_or_says_there_is_none() -> None:
    """Without a provider the command is held, so that somebody hears of it."""
    [held] = commands(play(ActionFold(settings(actions={"request_surge": "overflow"})), surge("acme/a", 0)))
    assert held.held is Held.NO_PROVIDER


def test_a_rule_that_nobody_gave_a_response_only_alerts() -> None:
    """Later rules do nothing until somebody says what."""
    outputs = play(ActionFold(settings()), finding("latency", "acme/a", "acme/a", 0))
    assert (len(commands(outputs)), len(alerts(outputs))) == (0, 1)


def test_evidence_that_lacks_everything_leads_to_no_command() -> None:
    """No limit is made up, and nothing breaks."""
    fold = ActionFold(settings())
    outputs = play(fold, surge("acme/a", 0, evidence={}), spend(0, DEAR, evidence={"endpoints": [None, {}]}))
    assert commands(outputs) == []


def test_an_end_that_comes_alone_is_told() -> None:
    """An incident may be open at the receiver although this stage has forgotten it."""
    outputs = play(ActionFold(settings()), surge("acme/a", 60, status=Status.RESOLVED))
    assert [alert.status for alert in alerts(outputs)] == ["resolved"]


def test_event_time_is_the_largest_seen() -> None:
    """A late finding does not set the clock back."""
    fold = ActionFold(settings())
    assert fold.event_time_us is None
    play(fold, surge("acme/a", 60), surge("acme/b", 10))
    assert fold.event_time_us == at(60)
