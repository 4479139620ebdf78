"""What the demo has to say: each message once, as a sentence for people and as fields for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from actions.wording import usd, what_was_done
from schemas.outputs import Command, Finding
from streams.courses import Turn
from streams.demo.incidents import Outcome
from streams.demo.script import (
    LAB_BUDGET,
    LATENESS,
    QUEUE_FOR,
    RESOLVE_AFTER,
    STUDIO_BUDGET,
    STUDIO_DAILY_USD,
    Cue,
    allowance_usd,
)
from streams.narration import of_finding, short


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
    def ok(self) -> bool:
        return not any(outcome.missing for outcome in self.outcomes)

    def missing(self) -> list[str]:
        return [f"{o.rule} on {o.subject}: {o.missing}" for o in self.outcomes if o.missing]


def started(address: str, endpoints: int) -> Said:
    text = (
        f"Kafka at {address}; {endpoints} endpoints in mode auto;"
        f" budgets {LAB_BUDGET}: {usd(allowance_usd())} an hour, {STUDIO_BUDGET}: {usd(STUDIO_DAILY_USD)} a day."
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
    return Said("command", text, {"command": msgspec.to_builtins(command)}, at_s)


def concluded(outcome: Outcome) -> Said:
    return Said("incident", f"{outcome.rule} on {outcome.subject}: {outcome.verdict}", outcome.fields())


def summed_up(summary: Summary) -> Said:
    saves = [o.saves_usd_per_hour for o in summary.outcomes if o.saves_usd_per_hour is not None]
    fields = {
        "ok": summary.ok,
        "missing": summary.missing(),
        "backfill_events_per_s": summary.backfill.events_per_s,
        "saves_usd_per_hour": round(sum(saves), 2),
        "other_episodes": summary.others,
    }
    text = _all_well(summary) if summary.ok else "; ".join(summary.missing())
    return Said("summary", text, fields)


def _all_well(summary: Summary) -> str:
    acted = sum(not outcome.advises for outcome in summary.outcomes)
    return f"all {len(summary.outcomes)} incidents were caught; {acted} of them were acted on and restored"
