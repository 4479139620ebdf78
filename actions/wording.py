"""The sentences that a person reads at three in the morning: what is wrong, what was done, with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actions.evidence import number
from schemas.outputs import Action, Command, Finding, Held, Mode

LONGEST: Final = 1024  # characters of an alert's summary

HELD_BECAUSE: Final[Mapping[Held, str]] = {
    Held.KILL_SWITCH: "the kill switch is on",
    Held.EVIDENCE_TOO_OLD: "the evidence is too old to act on",
    Held.PROTECTED: "the endpoint is protected",
    Held.NO_PROVIDER: "no provider is configured for it",
    Held.ALREADY_IN_FORCE: "the same or a stronger brake is in force",
    Held.COOLDOWN: "it was commanded a moment ago",
    Held.MAX_ACTIONS_PER_HOUR: "this hour's number of actions is used up",
    Held.BLAST_RADIUS: "too large a share of the endpoints would be down",
    Held.SHADOW: "mode is shadow",
    Held.AWAITING_APPROVAL: "it waits for approval",
}


def figure(value: float) -> str:
    """At most two decimals, and none that are zero: `1,234.5`."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def usd(value: float) -> str:
    """`$1,234.50`."""
    return f"${value:,.2f}"


def clock(timestamp: str) -> str:
    """`2026-11-22 19:41:06 UTC`, from a timestamp of the wire."""
    return f"{timestamp[:19].replace('T', ' ')} UTC"


def what_is_wrong(finding: Finding) -> str:
    """One sentence, no full stop: `request_surge on acme/bert: 45 req/s, limit 25 req/s, normal 5 req/s`."""
    return SENTENCES.get(finding.rule, _measured)(finding)


def what_to_do(action: Action, endpoint: str, parameters: Mapping[str, Any]) -> str:
    """`throttle acme/bert to at most 12.5 requests per second`."""
    match action:
        case Action.THROTTLE:
            limits = [_limit(name, value) for name, value in parameters.items()]
            return f"throttle {endpoint} to at most {' and '.join(limits)}"
        case Action.OVERFLOW:
            return f"overflow {endpoint} to {parameters.get('provider', 'another provider')}"
        case Action.SHUTDOWN:
            return f"shut down {endpoint}"
        case Action.RESTORE:
            return f"restore {endpoint}"


def what_was_done(command: Command) -> str:
    """What became of a command; one that is held says why, a shadow one that nothing happened."""
    deed = what_to_do(command.action, command.endpoint, command.parameters)
    saving = command.cost.saves_usd_per_hour
    worth = "" if saving is None else f", saving {usd(saving)} per hour"
    if command.held is None:
        return f"Command sent: {deed}{worth}"
    if command.held is Held.SHADOW:
        return f"Nothing was done (mode shadow); auto would {deed}{worth}"
    if command.held is Held.AWAITING_APPROVAL:
        return f"Waiting for approval: {deed}{worth}"
    return f"Not done, because {HELD_BECAUSE[command.held]}: {deed}{worth}"


def in_mode(mode: Mode) -> str:
    """What to add where something happened in name only."""
    return "" if mode is Mode.AUTO else f" (mode {mode.value})"


def short(*sentences: str) -> str:
    """Sentences as one text that fits into an alert."""
    text = ". ".join(sentence for sentence in sentences if sentence) + "."
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _limit(name: str, value: float) -> str:
    if name == "max_requests_per_second":
        return f"{figure(value)} requests per second"
    if name == "max_replicas":
        return f"{value} replica{'' if value == 1 else 's'}"
    return f"{name} {value}"


def _measured(finding: Finding) -> str:
    normal = "" if finding.baseline is None else f", normal {figure(finding.baseline)} {finding.unit}"
    return (
        f"{finding.rule} on {finding.subject}: {figure(finding.value)} {finding.unit}, "
        f"limit {figure(finding.threshold)} {finding.unit}{normal}"
    )


def _hourly_spend(finding: Finding) -> str:
    rate = number(finding.evidence, "rate_usd_per_hour")
    now = "" if rate is None else f"; it now costs {usd(rate)} per hour"
    end = finding.evidence.get("runs_out_at")
    until = f", which will have spent the allowance at {clock(end)}" if now and isinstance(end, str) else ""
    return (
        f"Budget {finding.subject}: {usd(finding.value)} spent in the last 60 minutes, "
        f"the allowance is {usd(finding.threshold)} per hour{now}{until}"
    )


def _daily_spend(finding: Finding) -> str:
    daily, rate = number(finding.evidence, "daily_usd"), number(finding.evidence, "rate_usd_per_hour")
    share = f", {figure(100 * finding.value / daily)} % of {usd(daily)} a day" if daily else ""
    now = "" if rate is None else f"; {_pace(finding, usd(rate))}"
    return f"Budget {finding.subject}: {usd(finding.value)} spent since midnight{share}{now}"


def _pace(finding: Finding, rate: str) -> str:
    """What it costs now, and the nearest step that will be reached today."""
    told = finding.evidence.get("next_steps")
    steps = told.items() if isinstance(told, Mapping) else ()
    reached = min(((at, step) for step, at in steps if isinstance(at, str)), default=None)
    if reached is None:
        return f"it now costs {rate} per hour"
    return f"at {rate} per hour it will be {reached[1]} at {clock(reached[0])}"


SENTENCES: Final[Mapping[str, Callable[[Finding], str]]] = {
    "daily_spend": _daily_spend,
    "hourly_spend": _hourly_spend,
}
