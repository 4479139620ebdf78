"""Findings, commands and results as the demo's tidegate would write them, and an incident played out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from schemas.outputs import (
    Action,
    Approval,
    Command,
    Cost,
    Finding,
    Held,
    Mode,
    Result,
    Severity,
    State,
    Status,
    derive_id,
)
from schemas.units import US, rfc3339
from streams.demo import script
from streams.demo.incidents import Arrival, Incident, Incidents, Pages
from streams.demo.messages import Backfill, Summary
from streams.demo.script import Expectation

START_US: Final = 1_800_000_000 * US
ISSUED_MS: Final = 1_800_000_000_250
VERIFIED_US: Final = START_US + 2 * US
BY_RULE: Final = {expected.rule: expected for expected in script.EXPECTED}
PERSONS: Final = ("alice", "bob")
ONCE: Final = Pages(1, 1, 1)
BILL_USD: Final = 1.5

_numbers = count()


def finding(
    subject: str, status: Status = Status.OPEN, opened_us: int = START_US, rule: str = "runaway_replicas"
) -> Finding:
    episode = derive_id("episode", rule, subject, opened_us)
    return Finding(
        id=derive_id("finding", episode, status),
        episode=episode,
        rule=rule,
        subject=subject,
        endpoint=subject,
        status=status,
        severity=Severity.CRITICAL,
        opened_at=rfc3339(opened_us),
        at=rfc3339(opened_us),
        score=5.0,
        value=40.0,
        threshold=8.0,
        baseline=3.0,
        unit="replicas",
        evidence={},
        config_version="",
    )


def command(of: Finding, endpoint: str = "", action: Action = Action.THROTTLE, **own: Any) -> Command:
    """One that is to be carried out; `own` are fields that differ."""
    said: dict[str, Any] = {"mode": Mode.AUTO, "held": None, **own}
    return Command(
        id=derive_id("command", of.episode, endpoint, action, str(sorted(own))),
        action=action,
        endpoint=endpoint or of.subject,
        parameters={"max_replicas": 8},
        finding_id=of.id,
        episode=of.episode,
        rule=of.rule,
        issued_at=of.at,
        expires_at=None,
        reason="",
        cost=Cost(saves_usd_per_hour=80.0),
        before={},
        executor="hub",
        **said,
    )


def proposal(of: Finding) -> Command:
    """One that waits for two persons."""
    approval = Approval(2, rfc3339(START_US + 120 * US), "reject")
    return command(of, mode=Mode.APPROVE, held=Held.AWAITING_APPROVAL, approval=approval)


def restore(of: Command) -> Command:
    return Command(
        id=derive_id("restore", of.id),
        action=Action.RESTORE,
        endpoint=of.endpoint,
        parameters={},
        mode=of.mode,
        held=None,
        finding_id=of.finding_id,
        episode=of.episode,
        rule=of.rule,
        issued_at=of.issued_at,
        expires_at=None,
        reason="",
        cost=Cost(),
        before={},
        restores=of.id,
        executor="hub",
    )


def result(of: Command, state: State | None = State.VERIFIED, **own: Any) -> Result:
    said: dict[str, Any] = {"refusal": None, "executor": "hub", "at": rfc3339(VERIFIED_US), **own}
    return Result(
        id=derive_id("result", next(_numbers)),
        command_id=of.id,
        state=state,
        endpoint=of.endpoint,
        action=of.action,
        **said,
    )


def brakes(expected: Expectation, opened: Finding) -> list[Command]:
    """What is expected to be commanded; each rung takes the place of the one below."""
    issued: list[Command] = []
    approved_by = PERSONS[: expected.persons]
    for action in expected.actions:
        lower = issued[-1].id if issued else None
        issued.append(command(opened, action=action, restores=lower, approved_by=approved_by))
    return issued


def play_out(incidents: Incidents, expected: Expectation) -> None:
    """One incident from its finding to its restore, but for the pager."""
    opened = finding(expected.subject, rule=expected.rule)
    incidents.note_finding(opened)
    issued = brakes(expected, opened)
    for one in issued:
        incidents.note_command(one, ISSUED_MS)
        incidents.note_result(result(one))
    incidents.note_finding(finding(expected.subject, Status.RESOLVED, rule=expected.rule))
    for one in issued[-1:]:
        incidents.note_command(restore(one), ISSUED_MS + 10_000)
        incidents.note_result(result(restore(one)))


def page(incidents: Incidents, pages: Pages = ONCE) -> None:
    """The pager has heard of all that was found so far."""
    incidents.note_pages({one.finding.episode: pages for one in incidents if one.finding is not None})


def all_played(expected: Iterable[Expectation] = script.EXPECTED) -> Incidents:
    incidents = Incidents(script.EXPECTED)
    for one in expected:
        play_out(incidents, one)
    page(incidents)
    return incidents


def only(incidents: Incidents) -> Incident:
    (incident,) = incidents
    return incident


def bill(_: Iterable[str]) -> float:
    return BILL_USD


def summary(incidents: Incidents) -> Summary:
    arrivals = [Arrival(expected.keys[0], START_US, 1_800_000_000_200) for expected in script.EXPECTED]
    return Summary(tuple(incidents.outcomes(arrivals, bill)), Backfill(600_000, 5.0), incidents.others)
