"""What the demo has to say: each message once, as a sentence for people and as fields for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

import msgspec

from actions.wording import usd, what_was_done
from schemas.outputs import Action, Command, Finding, Id, Result, State
from streams.courses import Turn
from streams.demo.incidents import Outcome, Pages
from streams.demo.script import (
    APPROVERS,
    LAB_BUDGET,
    LATENESS,
    QUEUE_FOR,
    RESOLVE_AFTER,
    STUDIO_BUDGET,
    STUDIO_DAILY_USD,
    SURGING,
    Cue,
    allowance_usd,
)
from streams.narration import of_finding, short

EVENTS: Final[Mapping[State | None, str]] = {
    State.VERIFIED: "verified",
    State.RESTORED: "restored",
    State.FAILED: "failed",
    State.REJECTED: "failed",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `at_s`: seconds since the play began, None before."""

    event: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """How the history was read: from the first event that the worker reported until it had caught up."""

    events: int
    seconds: float

    @property
    def events_per_s(self) -> int:
        return round(self.events / max(self.seconds, 0.001))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo showed. `others`: episodes that nobody scripted."""

    outcomes: tuple[Outcome, ...]
    backfill: Backfill
    others: int

    @property
    def pages(self) -> Pages:
        """What the pager was told of all of them."""
        return reduce(Pages.plus, (outcome.pages for outcome in self.outcomes), Pages())

    @property
    def billed_usd(self) -> float:
        """What was billed for replicas that were started meanwhile. An endpoint with two incidents has one bill."""
        return round(sum({outcome.subject: outcome.billed_usd for outcome in self.outcomes}.values()), 2)

    @property
    def ok(self) -> bool:
        return not any(outcome.missing for outcome in self.outcomes)

    def missing(self) -> list[str]:
        return [f"{o.rule} on {o.subject}: {o.missing}" for o in self.outcomes if o.missing]


def started(address: str, endpoints: int) -> Said:
    text = (
        f"Kafka at {address}; {endpoints} endpoints in mode auto;"
        f" budgets {LAB_BUDGET}: {usd(allowance_usd())} an hour, {STUDIO_BUDGET}: {usd(STUDIO_DAILY_USD)} a day."
        f" Whatever brakes {SURGING} must be approved by {APPROVERS} persons."
        f" For a short show resolve_after is {RESOLVE_AFTER} (default 60s),"
        f" lateness {LATENESS} (default 10s), and queue_depth.for {QUEUE_FOR} (default 30s)"
    )
    fields = {
        "kafka": address, "endpoints": endpoints, "mode": "auto", "resolve_after": RESOLVE_AFTER,
        "lateness": LATENESS, "budget": LAB_BUDGET, "allowance_usd_per_hour": allowance_usd(),
    }  # fmt: skip
    return Said("started", text, fields)


def written(events: int, seconds: float) -> Said:
    return Said("history", f"an hour of history written: {events:,} events", {"events": events, "seconds": seconds})


def read(backfill: Backfill) -> Said:
    text = (
        f"history, and what came meanwhile, read by the worker: {backfill.events:,} events"
        f" in {backfill.seconds:.1f} s, {backfill.events_per_s:,} events/s"
    )
    fields = {"events": backfill.events, "seconds": backfill.seconds, "events_per_s": backfill.events_per_s}
    return Said("backfill", text, fields)


def cued(cue: Cue, at_s: float) -> Said:
    return Said("script", cue.text, {"text": cue.text}, at_s)


def found(finding: Finding, at_s: float | None, turn: Turn | None = None) -> Said:
    text = f"{short(finding.id)}  {of_finding(finding, turn)}"
    return Said("finding", text, {"finding": msgspec.to_builtins(finding)}, at_s)


def commanded(command: Command, at_s: float | None) -> Said:
    text = f"{short(command.id)}  {what_was_done(command)}"
    if command.proposal is not None and command.signature is not None:
        _, key_id, _ = command.signature.split(":")
        text += f"; approved by {' and '.join(command.approved_by)}, signed with key {short(key_id)}"
    return Said("command", text, {"command": msgspec.to_builtins(command)}, at_s)


def approved(command_id: Id, persons: Sequence[str], needed: int, at_s: float | None) -> Said:
    """The last of these persons has agreed."""
    text = f"{short(command_id)}  {persons[-1]} has approved it, {len(persons)} of {needed}"
    return Said("approval", text, {"command_id": command_id, "persons": list(persons), "needed": needed}, at_s)


def came(result: Result, at_s: float | None) -> Said | None:
    """What came of a command, if that is for people to read: not each step on the way."""
    event = "failed" if result.refusal is not None else EVENTS.get(result.state)
    is_restore = result.action is Action.RESTORE and result.state is State.VERIFIED  # told of what it restores
    if event is None or is_restore:
        return None
    text = f"{short(result.command_id or '')}  {_what_came(result)}"
    return Said(event, text, {"result": msgspec.to_builtins(result)}, at_s)


def concluded(outcome: Outcome) -> Said:
    return Said("incident", f"{outcome.rule} on {outcome.subject}: {outcome.verdict}", outcome.fields())


def summed_up(summary: Summary) -> Said:
    saves = [o.saves_usd_per_hour for o in summary.outcomes if o.saves_usd_per_hour is not None]
    fields = {
        "ok": summary.ok,
        "missing": summary.missing(),
        "backfill_events_per_s": summary.backfill.events_per_s,
        "saves_usd_per_hour": round(sum(saves), 2),
        "billed_usd": summary.billed_usd,
        "pagerduty": summary.pages._asdict(),
        "other_episodes": summary.others,
    }
    text = _all_well(summary) if summary.ok else "; ".join(summary.missing())
    return Said("summary", text, fields)


def _all_well(summary: Summary) -> str:
    acted = sum(not outcome.advises for outcome in summary.outcomes)
    return (
        f"all {len(summary.outcomes)} incidents were caught and paged;"
        f" {acted} of them were acted on and restored, each verified by what was read back"
    )


def paged(summary: Summary) -> str:
    """What PagerDuty was told of all incidents, and of those that persons had to decide."""
    told = [_told(summary.pages)]
    told += [f"{_told(one.pages)} of {one.rule}" for one in summary.outcomes if one.approved_by]
    return f"PagerDuty: {'; '.join(told)}"


def _told(pages: Pages) -> str:
    """`9 incidents, 9 triggers, 5 resolves`."""
    counted = pages._asdict().items()
    return ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counted)


def _what_came(result: Result) -> str:
    if result.refusal is not None or result.state in {State.FAILED, State.REJECTED}:
        return f"{result.refusal or result.state}: {result.endpoint}: {result.reason}"
    return f"{result.executor} has read back {result.endpoint}: {_read_back(result.after)}"


def _read_back(after: Mapping[str, Any]) -> str:
    """What an executor has read: `running, 4 replicas ready, at most 4`, or whatever the other side says."""
    if "scaling" in after:
        return f"{after['state']}, {after['ready_replicas']} replicas ready, at most {after['scaling']['maxReplica']}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in after.items()) or "done"
