"""What people hear: an episode opens, gets worse or is over, what was done, what was not done and why.

All alerts of an episode share its id as `dedup_key`, so a receiver shows one incident with its history.
Renewals and restores are silent: the alert that resolves the episode tells of the restores. Of what is
held, only the reasons that ask for a person are told; a cooldown or a brake that is there already are none
of them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import structs

from actions.brakes import Brake, Claim, lead
from actions.memory import Pause
from actions.wording import clock, short, what_is_wrong, what_to_do, what_was_done
from schemas.outputs import UNSEALED, Alert, Command, Finding, Held, Id, Result, Severity, State, content_id, derive_id
from schemas.units import rfc3339

TIDEGATE: Final = "tidegate"  # the subject of what tidegate says about itself
SILENT: Final = frozenset({Held.ALREADY_IN_FORCE, Held.COOLDOWN, Held.REFUSED})


def fires(finding: Finding) -> Alert:
    """An episode opened or became more severe."""
    since = f"Open since {clock(finding.opened_at)}, severity {finding.severity.value}"
    return _about(finding, "firing", short(what_is_wrong(finding), since))


def resolves(finding: Finding, restored: int) -> Alert:
    """An episode is over, and so many brakes are really off."""
    over = f"Resolved at {clock(finding.at)}: {what_is_wrong(finding)}"
    brakes = f"{restored} brake{'' if restored == 1 else 's'} released" if restored else ""
    return _about(finding, "resolved", short(over, brakes))


def displaced(finding: Finding, episode: Id) -> Alert:
    """A later episode of the same rule and subject began, and the earlier one was never said to be over."""
    text = short(f"Over: {finding.rule} on {finding.subject} began anew at {clock(finding.opened_at)}")
    return seal(structs.replace(_about(finding, "resolved", text), dedup_key=episode))


def forgotten(finding: Finding, rule: str, subject: str, episode: Id) -> Alert:
    """An episode was open and nothing was heard of it any more, as the time of a later finding shows."""
    return seal(
        Alert(
            id=UNSEALED,
            dedup_key=episode,
            status="resolved",
            severity=Severity.INFO,
            summary=short(f"Over: nothing more was heard of {rule} on {subject}"),
            rule=rule,
            subject=subject,
            endpoint=None,
            at=finding.at,
            finding_id=finding.id,
            command_id=None,
            details={},
        )
    )


def tells_of(command: Command, claim: Claim) -> list[Alert]:
    """The line about a command: none where nobody has to know."""
    if command.held in SILENT:
        return []
    held = {} if command.held is None else {"held": command.held.value}
    alert = Alert(
        id=UNSEALED,
        dedup_key=claim.episode,
        status="firing",
        severity=claim.severity,
        summary=short(what_was_done(command), claim.reason),
        rule=claim.rule,
        subject=claim.subject,
        endpoint=claim.endpoint,
        at=command.issued_at,
        finding_id=claim.finding_id,
        command_id=command.id,
        details={"action": command.action.value, "mode": command.mode.value, **held, **command.parameters},
    )
    return [seal(alert)]


def rejected(brake: Brake, result: Result) -> Alert:
    """Persons said no, or nobody said anything in time."""
    who = " and ".join(result.by) if result.by else "nobody"
    deed = what_to_do(brake.command.action, brake.command.endpoint, brake.command.parameters)
    verb = "approved" if not result.by or "not approved" in result.reason else "rejected"
    return _of_brake(brake, result.at, f"Not done, {who} {verb} it: {deed}. {result.reason}")


def lifted(brake: Brake, at_us: int, why: str) -> Alert:
    """A brake came off before its episode was over."""
    return _of_brake(brake, rfc3339(at_us), f"Brake released on {brake.command.endpoint}: {why}")


def refused(brake: Brake, result: Result, at_us: int) -> Alert:
    """What is taken for in force is not: its executor does not even try."""
    deed = what_to_do(brake.command.action, brake.command.endpoint, brake.command.parameters)
    why = result.reason or "see docs/executors.md"
    alert = _of_brake(
        brake, rfc3339(at_us), f"NOT done, {result.executor} refuses it ({result.refusal}): {deed}. {why}"
    )
    return seal(structs.replace(alert, details={**alert.details, "refusal": result.refusal}))


def unheeded(brake: Brake, at_us: int) -> Alert:
    """A command was sent, and nobody carries it out."""
    deed = what_to_do(brake.command.action, brake.command.endpoint, brake.command.parameters)
    name = brake.command.executor
    text = f"NOT done, nobody has begun: {deed}. Is `tidegate execute --executor {name}` running?"
    return _of_brake(brake, rfc3339(at_us), text)  # `released`: it has no effect that would explain another alert


def paused(pause: Pause, at_us: int) -> Alert:
    """The kill switch is on."""
    until = "until somebody resumes" if pause.until_us is None else f"until {clock(rfc3339(pause.until_us))}"
    text = short(f"Actions are paused {until}, by {pause.by}: {pause.why}", "Findings and alerts go on")
    return _of_tidegate("kill_switch", derive_id("kill_switch", pause.order_id), "firing", text, at_us)


def resumed(pause: Pause, at_us: int, why: str) -> Alert:
    """The kill switch is off."""
    text = short(f"Actions are no longer paused: {why}")
    return _of_tidegate("kill_switch", derive_id("kill_switch", pause.order_id), "resolved", text, at_us)


def unrestored(result: Result, restore: Id, at_us: int) -> Alert:
    """An executor could not take a brake off, or did at last."""
    is_off = result.state is State.VERIFIED
    text = f"Restored at last: {result.endpoint}" if is_off else f"NOT restored: {result.endpoint}: {result.reason}"
    status: Literal["firing", "resolved"] = "resolved" if is_off else "firing"
    alert = _of_tidegate("executor", derive_id("executor", restore), status, short(text), at_us)
    return seal(structs.replace(alert, endpoint=result.endpoint, severity=Severity.CRITICAL, command_id=restore))


def seal(alert: Alert) -> Alert:
    """The alert with the id that its content gives."""
    return structs.replace(alert, id=content_id("alert", alert))


def _about(finding: Finding, status: Literal["firing", "resolved"], summary: str) -> Alert:
    details: dict[str, Any] = {
        "value": finding.value,
        "threshold": finding.threshold,
        "unit": finding.unit,
        "score": finding.score,
        "opened_at": finding.opened_at,
    }
    return seal(
        Alert(
            id=UNSEALED,
            dedup_key=finding.episode,
            status=status,
            severity=finding.severity,
            summary=summary,
            rule=finding.rule,
            subject=finding.subject,
            endpoint=finding.endpoint,
            at=finding.at,
            finding_id=finding.id,
            command_id=None,
            details=details,
        )
    )


def _of_brake(brake: Brake, at: str, text: str) -> Alert:
    claim, command = lead(brake.claims), brake.command
    return seal(
        Alert(
            id=UNSEALED,
            dedup_key=claim.episode,
            status="firing",
            severity=claim.severity,
            summary=short(text),
            rule=claim.rule,
            subject=claim.subject,
            endpoint=claim.endpoint,
            at=at,
            finding_id=claim.finding_id,
            command_id=command.id,
            details={"action": command.action.value, "released": True},
        )
    )


def _of_tidegate(rule: str, episode: Id, status: Literal["firing", "resolved"], text: str, at_us: int) -> Alert:
    return seal(
        Alert(
            id=UNSEALED,
            dedup_key=episode,
            status=status,
            severity=Severity.WARNING,
            summary=text,
            rule=rule,
            subject=TIDEGATE,
            endpoint=None,
            at=rfc3339(at_us),
            finding_id=None,
            command_id=None,
            details={},
        )
    )
