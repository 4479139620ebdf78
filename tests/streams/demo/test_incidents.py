"""What became of the incidents: when all is well, and what is said to be missing if not."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.outputs import Action, Held, Mode, State, Status
from streams.demo import script
from streams.demo.incidents import Arrival, Incidents, Pages, exit_code
from tests.streams.demo.outputs import (
    BY_RULE,
    START_US,
    all_played,
    bill,
    brakes,
    command,
    finding,
    only,
    page,
    play_out,
    proposal,
    restore,
    result,
)


def test_the_incidents_played_out_are_a_success() -> None:
    """Exit code 0 needs all: caught, paged, and, where something was to be done, acted on, verified and restored."""
    incidents = all_played()
    outcomes = incidents.outcomes([], bill)
    assert incidents.complete
    assert exit_code(outcomes) == 0
    assert {outcome.verdict for outcome in outcomes} == {"restored", "alerted"}


@pytest.mark.parametrize("rule", BY_RULE)
def test_one_incident_that_is_missing_is_a_failure(rule: str) -> None:
    """Each of them counts, and the summary names the one that is missing."""
    outcomes = all_played([other for other in script.EXPECTED if other.rule != rule]).outcomes([], bill)
    assert exit_code(outcomes) == 1
    assert [outcome.rule for outcome in outcomes if outcome.missing == "not caught"] == [rule]


def test_a_ladder_must_be_climbed_to_its_end() -> None:
    """A budget that is overspent twice is throttled, overflows and is shut down; the verdict names what is missing."""
    ladder = BY_RULE["daily_spend"]
    incidents = Incidents([ladder])
    opened = finding(ladder.subject, rule="daily_spend")
    incidents.note_finding(opened)
    verdicts = []
    for rung in brakes(ladder, opened):
        incidents.note_command(rung, 1)
        incidents.note_result(result(rung))
        verdicts.append(only(incidents).missing)
    assert verdicts == [
        "caught, but not answered with overflow",
        "caught, but not answered with shutdown",
        "acted on, but not restored",
    ]


def test_what_is_missing_goes_from_caught_to_paged() -> None:
    """The verdict says how far the incident got, and that somebody has read back each step."""
    incidents = Incidents([BY_RULE["runaway_replicas"]])
    opened = finding(script.RUNAWAY)
    brake = command(opened)
    steps: list[Any] = [
        lambda: incidents.note_finding(opened),
        lambda: incidents.note_command(brake, 1),
        lambda: incidents.note_result(result(brake, State.APPLIED)),
        lambda: incidents.note_result(result(brake)),
        lambda: incidents.note_command(restore(brake), 2),
        lambda: incidents.note_result(result(restore(brake))),
        lambda: page(incidents, Pages(1, 1, 0)),
        lambda: page(incidents),
    ]
    verdicts = []
    for step in steps:
        step()
        verdicts.append(only(incidents).missing)
    assert verdicts == [
        "caught, but not answered with throttle",
        "acted on, but not verified",
        "acted on, but not verified",
        "acted on, but not restored",
        "acted on, but not restored",
        "not paged",
        "restored, but not over for the pager",
        None,
    ]


def test_the_order_in_which_topics_are_read_does_not_matter() -> None:
    """A result may be read before its command, and that before its finding."""
    incidents = Incidents([BY_RULE["runaway_replicas"]])
    opened = finding(script.RUNAWAY)
    brake = command(opened)
    incidents.note_result(result(restore(brake)))
    incidents.note_result(result(brake))
    incidents.note_command(restore(brake), 2)
    incidents.note_command(brake, 1)
    incidents.note_finding(opened)
    page(incidents)
    assert incidents.complete


@pytest.mark.parametrize(("persons", "missing"), [((), 2), (("alice",), 2), (("alice", "bob"), None)])
def test_a_brake_that_two_must_approve_needs_two(persons: tuple[str, ...], missing: int | None) -> None:
    """What one person has approved does not count, however well it was carried out."""
    incidents = Incidents([BY_RULE["request_surge"]])
    opened = finding(script.SURGING, rule="request_surge")
    brake = command(opened, mode=Mode.APPROVE, approved_by=persons, proposal=proposal(opened).id)
    incidents.note_finding(opened)
    for one in (brake, restore(brake)):
        incidents.note_command(one, 1)
        incidents.note_result(result(one))
    page(incidents)
    assert only(incidents).missing == (None if missing is None else f"acted on, but not approved by {missing}")


@pytest.mark.parametrize(
    ("pages", "missing"),
    [
        (Pages(1, 1, 1), None),
        (Pages(2, 2, 2), "paged as 2 incidents"),
        (Pages(1, 2, 1), "paged 2 times"),
        (Pages(), "not paged"),
    ],
)
def test_the_pager_is_told_once(pages: Pages, missing: str | None) -> None:
    """Of the incident that is shown in full: one incident, one trigger, one resolve."""
    incidents = Incidents([BY_RULE["request_surge"]])
    play_out(incidents, BY_RULE["request_surge"])
    page(incidents, pages)
    assert only(incidents).missing == missing


@pytest.mark.parametrize(
    "own", [{"mode": Mode.SHADOW}, {"mode": Mode.APPROVE, "held": Held.COOLDOWN}, {"held": Held.AWAITING_APPROVAL}]
)
def test_a_command_that_nobody_carries_out_is_no_action(own: dict[str, Any]) -> None:
    """What is held back, or in shadow, does not count as acted on."""
    incidents = Incidents([BY_RULE["runaway_replicas"]])
    opened = finding(script.RUNAWAY)
    incidents.note_finding(opened)
    incidents.note_command(command(opened, **own), 1)
    assert only(incidents).missing == "caught, but not answered with throttle"


def test_every_command_of_an_incident_must_be_restored() -> None:
    """One endpoint whose brake stays on is a failure, and so is one of which nobody knows."""
    incidents = Incidents([BY_RULE["hourly_spend"]])
    opened = finding(script.LAB_BUDGET, rule="hourly_spend")
    incidents.note_finding(opened)
    for endpoint in script.LAB[1:]:
        brake = command(opened, endpoint)
        for one in (brake, restore(brake)):
            incidents.note_command(one, 1)
        incidents.note_result(result(brake))
        if endpoint == script.LAB[1]:
            incidents.note_result(result(restore(brake)))
    page(incidents)
    assert only(incidents).missing == "acted on, but not restored"
    incidents.note_result(result(restore(command(opened, script.LAB[2]))))
    assert incidents.complete


def test_an_episode_that_nobody_scripted_is_counted_apart() -> None:
    """A false alarm neither fails the demo nor goes unmentioned."""
    incidents = Incidents(script.EXPECTED)
    incidents.note_finding(finding("acme/bert-base"))
    incidents.note_finding(finding("acme/bert-base", Status.RESOLVED))
    assert incidents.others == 1


def test_seconds_are_from_the_breaching_events_arrival_to_the_first_command() -> None:
    """The breaching event is the incident's first at or after the time at which the episode opened."""
    incidents = all_played()
    arrivals = [
        Arrival(script.RUNAWAY, START_US - 1, 1_800_000_000_000),
        Arrival("acme/other", START_US, 1_800_000_000_100),
        Arrival(script.RUNAWAY, START_US + 5, 1_800_000_000_240),
        Arrival(script.RUNAWAY, START_US, 1_800_000_000_200),
    ]
    outcomes = {outcome.subject: outcome for outcome in incidents.outcomes(arrivals, bill)}
    runaway = outcomes[script.RUNAWAY]
    assert runaway.seconds == pytest.approx(0.050)
    assert runaway.verified_s == pytest.approx(1.750)
    assert (runaway.saves_usd_per_hour, runaway.billed_usd) == (80.0, 1.5)
    assert outcomes[script.SURGING].seconds is None


def test_seconds_to_a_command_end_when_persons_are_asked() -> None:
    """How long they think is not tidegate's doing."""
    incidents = Incidents([BY_RULE["request_surge"]])
    opened = finding(script.SURGING, rule="request_surge")
    incidents.note_finding(opened)
    incidents.note_command(proposal(opened), 1_800_000_000_300)
    incidents.note_command(command(opened, mode=Mode.APPROVE), 1_800_000_002_300)
    arrivals = [Arrival(script.SURGING, START_US, 1_800_000_000_200)]
    (outcome,) = incidents.outcomes(arrivals, bill)
    assert outcome.seconds == pytest.approx(0.1)


def test_what_a_rung_saved_is_counted_until_a_higher_one_replaces_it() -> None:
    """Only the last command of the ladder is restored, and only it still saves anything."""
    incidents = Incidents([BY_RULE["daily_spend"]])
    play_out(incidents, BY_RULE["daily_spend"])
    page(incidents)
    assert incidents.complete
    (outcome,) = incidents.outcomes([], bill)
    assert outcome.saves_usd_per_hour == 80.0


def test_the_same_output_twice_changes_nothing() -> None:
    """Outputs may be written again after a crash; the first time counts."""
    incidents = all_played()
    before = incidents.outcomes([], bill)
    opened = finding(script.RUNAWAY)
    incidents.note_command(brakes(BY_RULE["runaway_replicas"], opened)[0], 1_900_000_000_000)
    assert incidents.outcomes([], bill) == before


def test_a_restore_is_no_action_of_its_own() -> None:
    """It is what takes one back."""
    incidents = all_played()
    assert all(Action.RESTORE not in action for one in incidents.outcomes([], bill) for action in one.actions)
