"""What became of the incidents that the demo provoked: pure bookkeeping, from which the exit code follows.

An incident was caught when its finding opened, acted on when every action that is expected of it was commanded so that
executors carry it out (mode auto, not held back), and restored when every such command was taken back. Of a rule that
only advises no action is expected: to be caught is all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.outputs import Action, Command, Finding, Mode, Status
from schemas.units import from_rfc3339
from streams.demo.script import Expectation


@dataclass(frozen=True, slots=True)
class Arrival:
    """An input event as the log took it: the event's own time, and when the broker wrote it."""

    endpoint: str
    time_us: int
    logged_ms: int


@dataclass(slots=True)
class Incident:
    """What is known of one expected incident so far."""

    expected: Expectation
    finding: Finding | None = None  # the one that opened the episode
    resolved: Finding | None = None
    commands: dict[str, tuple[Command, int]] = field(default_factory=dict)  # id -> command, broker's ms
    restored: set[str] = field(default_factory=set)  # ids of commands taken back

    @property
    def missing(self) -> str | None:
        """What has not happened yet, first things first; None when all has."""
        if self.finding is None:
            return "not caught"
        done = {command.action for command, _ in self.commands.values()}
        missing = [action for action in self.expected.actions if action not in done]
        if missing:
            return f"caught, but not answered with {missing[0]}"
        if not set(self.commands) <= self.restored:
            return "acted on, but not restored"
        return None

    def breach(self, arrivals: Iterable[Arrival]) -> Arrival | None:
        """The event at which the episode opened, as it arrived."""
        if self.finding is None:
            return None
        opened_us = from_rfc3339(self.finding.opened_at)
        keys = self.expected.keys
        after = [a for a in arrivals if a.endpoint in keys and a.time_us >= opened_us]
        return min(after, key=lambda a: a.time_us, default=None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the summary. `seconds`: from the breaching event's arrival to the first command's."""

    rule: str
    subject: str
    missing: str | None
    advises: bool
    seconds: float | None
    saves_usd_per_hour: float | None
    actions: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """How it ended, in a word or two."""
        return self.missing or ("alerted" if self.advises else "restored")

    def fields(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "subject": self.subject,
            "ok": self.missing is None,
            "missing": self.missing,
            "verdict": self.verdict,
            "seconds_to_command": self.seconds,
            "saves_usd_per_hour": self.saves_usd_per_hour,
            "actions": list(self.actions),
        }


class Incidents:
    """Takes findings and commands as they come, each as often as it comes, and says what is still missing."""

    def __init__(self, expected: Iterable[Expectation]) -> None:
        self._incidents = {(e.rule, e.subject): Incident(e) for e in expected}
        self.others = 0  # episodes that nobody scripted

    @property
    def complete(self) -> bool:
        return not any(incident.missing for incident in self._incidents.values())

    def __iter__(self) -> Iterator[Incident]:
        return iter(self._incidents.values())

    def note_finding(self, finding: Finding) -> None:
        incident = self._incidents.get((finding.rule, finding.subject))
        if incident is None:
            self.others += finding.status is Status.OPEN
        elif finding.status is Status.OPEN and incident.finding is None:
            incident.finding = finding
        elif finding.status is Status.RESOLVED:
            incident.resolved = finding

    def note_command(self, command: Command, logged_ms: int) -> None:
        if command.mode is not Mode.AUTO or command.held is not None:
            return
        for incident in self._incidents.values():
            if command.restores in incident.commands:  # undone, or replaced by one that will be
                incident.restored.add(command.restores)
            if incident.finding is not None and command.episode == incident.finding.episode:
                _note_action(incident, command, logged_ms)

    def outcomes(self, arrivals: Iterable[Arrival]) -> list[Outcome]:
        """The summary's lines, in the order in which the incidents were expected."""
        seen = list(arrivals)
        return [_outcome(incident, incident.breach(seen)) for incident in self._incidents.values()]


def _note_action(incident: Incident, command: Command, logged_ms: int) -> None:
    if command.action is not Action.RESTORE:
        incident.commands.setdefault(command.id, (command, logged_ms))


def _outcome(incident: Incident, breach: Arrival | None) -> Outcome:
    issued = list(incident.commands.values())
    replaced = {command.restores for command, _ in issued}
    in_force = [command.cost.saves_usd_per_hour for command, _ in issued if command.id not in replaced]
    saves = [usd for usd in in_force if usd is not None]
    seconds = None
    if breach is not None and issued:
        seconds = round((min(ms for _, ms in issued) - breach.logged_ms) / 1000, 3)
    return Outcome(
        rule=incident.expected.rule,
        subject=incident.expected.subject,
        missing=incident.missing,
        advises=not incident.expected.actions,
        seconds=seconds,
        saves_usd_per_hour=round(sum(saves), 2) if saves else None,
        actions=tuple(f"{c.action} {c.endpoint}" for c, _ in issued),
    )


def exit_code(outcomes: Iterable[Outcome]) -> int:
    return 1 if any(outcome.missing for outcome in outcomes) else 0
