"""What became of the incidents that the demo provoked: pure bookkeeping, from which the exit code follows.

An incident was caught when its finding opened, acted on when every action that is expected of it was commanded so that
executors carry it out, and restored when every brake was verified by what an executor read back and is verified to be
off again, or has its place taken by another brake. Of a rule that only advises no action is expected: to be caught is
all. Whatever was caught must have been paged, and what is over must be over for the pager, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from actions.lifecycle import Life, Lives
from schemas.outputs import Action, Command, Finding, Held, Id, Mode, Result, State, Status, Timestamp
from schemas.units import US, from_rfc3339
from streams.demo.script import Expectation


@dataclass(frozen=True, slots=True)
class Arrival:
    """An input event as the log took it: the event's own time, and when the broker wrote it."""

    endpoint: str
    time_us: int
    logged_ms: int


class Pages(NamedTuple):
    """What a pager was told of an episode, or of several."""

    incidents: int = 0
    triggers: int = 0
    resolves: int = 0

    def plus(self, other: Pages) -> Pages:
        return Pages(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


NO_PAGES = Pages()


class Brake(NamedTuple):
    """A brake that came into force, what was said of it, and when the broker took it."""

    command: Command
    life: Life
    logged_ms: int

    @property
    def verified_at(self) -> Timestamp | None:
        """When it was first read back as it should be."""
        return next((result.at for result in self.life.results if result.state is State.VERIFIED), None)

    @property
    def is_over(self) -> bool:
        """Whether it is verified to be off again; another brake in its place answers for itself."""
        if self.life.successor is not None:
            return True
        return self.life.restore is not None and self.life.restore.progress is State.VERIFIED


@dataclass(slots=True)
class Answers:
    """What was commanded in an episode: what came into force, by its id, and when persons were first asked."""

    brakes: dict[Id, Brake] = field(default_factory=dict)
    asked_ms: int | None = None  # the broker's


@dataclass(slots=True)
class Incident:
    """What is known of one expected incident so far."""

    expected: Expectation
    finding: Finding | None = None  # the one that opened the episode
    answers: Answers = field(default_factory=Answers)
    pages: Pages = NO_PAGES

    @property
    def brakes(self) -> list[Brake]:
        return list(self.answers.brakes.values())

    @property
    def missing(self) -> str | None:
        """What has not happened yet, first things first; None when all has."""
        if self.finding is None:
            return "not caught"
        done = {brake.command.action for brake in self.brakes}
        missing = [action for action in self.expected.actions if action not in done]
        if missing:
            return f"caught, but not answered with {missing[0]}"
        if any(len(brake.command.approved_by) < self.expected.persons for brake in self.brakes):
            return f"acted on, but not approved by {self.expected.persons}"
        if any(brake.verified_at is None for brake in self.brakes):
            return "acted on, but not verified"
        if not all(brake.is_over for brake in self.brakes):
            return "acted on, but not restored"
        return self._page_missing()

    def breach(self, arrivals: Iterable[Arrival]) -> Arrival | None:
        """The event at which the episode opened, as it arrived."""
        if self.finding is None:
            return None
        opened_us = from_rfc3339(self.finding.opened_at)
        keys = self.expected.keys
        after = [a for a in arrivals if a.endpoint in keys and a.time_us >= opened_us]
        return min(after, key=lambda a: a.time_us, default=None)

    def _page_missing(self) -> str | None:
        pages, advises = self.pages, not self.expected.actions
        if pages.incidents != 1:
            return f"paged as {pages.incidents} incidents" if pages.incidents else "not paged"
        if self.expected.persons and pages.triggers != 1:
            return f"paged {pages.triggers} times"
        return None if advises or pages.resolves == 1 else "restored, but not over for the pager"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the summary.

    `seconds`: from the breaching event's arrival to the first command's, be it a question to persons; `verified_s`:
    from the first command that came into force to what was read back of it; `billed_usd`: of replicas started
    meanwhile.
    """

    rule: str
    subject: str
    missing: str | None
    advises: bool
    seconds: float | None
    verified_s: float | None
    saves_usd_per_hour: float | None
    billed_usd: float
    actions: tuple[str, ...]
    approved_by: tuple[str, ...]
    pages: Pages

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
            "seconds_to_verified": self.verified_s,
            "saves_usd_per_hour": self.saves_usd_per_hour,
            "billed_usd": self.billed_usd,
            "actions": list(self.actions),
            "approved_by": list(self.approved_by),
            "pagerduty": self.pages._asdict(),
        }


class Incidents:
    """Takes findings, commands and results as they come, each as often as it comes, and says what is still missing."""

    def __init__(self, expected: Iterable[Expectation]) -> None:
        self._incidents = {(e.rule, e.subject): Incident(e) for e in expected}
        self._lives = Lives()
        self._answers: defaultdict[Id, Answers] = defaultdict(Answers)  # by episode
        self.others = 0  # episodes that nobody scripted

    @property
    def complete(self) -> bool:
        return not any(incident.missing for incident in self._incidents.values())

    def __iter__(self) -> Iterator[Incident]:
        return iter(self._incidents.values())

    def command(self, command_id: Id | None) -> Command | None:
        """One that was noted."""
        life = None if command_id is None else self._lives.get(command_id)
        return None if life is None else life.command

    def note_finding(self, finding: Finding) -> None:
        incident = self._incidents.get((finding.rule, finding.subject))
        if incident is None:
            self.others += finding.status is Status.OPEN
        elif finding.status is Status.OPEN and incident.finding is None:
            incident.finding, incident.answers = finding, self._answers[finding.episode]

    def note_command(self, command: Command, logged_ms: int) -> None:
        self._lives.add_command(command)
        life, answers = self._lives.get(command.id), self._answers[command.episode]
        if command.held is Held.AWAITING_APPROVAL and answers.asked_ms is None:
            answers.asked_ms = logged_ms
        if life is not None and is_in_force(command) and command.action is not Action.RESTORE:
            answers.brakes.setdefault(command.id, Brake(command, life, logged_ms))

    def note_result(self, result: Result) -> None:
        self._lives.add_result(result)

    def note_pages(self, pages: Mapping[Id, Pages]) -> None:
        """What the pager was told so far, by episode."""
        for incident in self._incidents.values():
            if incident.finding is not None:
                incident.pages = pages.get(incident.finding.episode, NO_PAGES)

    def outcomes(self, arrivals: Iterable[Arrival], bill: Callable[[Iterable[str]], float]) -> list[Outcome]:
        """The summary's lines, in the order in which the incidents were expected. `bill`: USD, of some endpoints."""
        seen = list(arrivals)
        return [_outcome(one, one.breach(seen), bill(one.expected.keys)) for one in self._incidents.values()]


def is_in_force(command: Command) -> bool:
    """Whether executors carry it out."""
    return command.held is None and command.mode is not Mode.SHADOW


def _outcome(incident: Incident, breach: Arrival | None, billed_usd: float) -> Outcome:
    issued = [brake.command for brake in incident.brakes]
    replaced = {command.restores for command in issued}
    in_force = [command.cost.saves_usd_per_hour for command in issued if command.id not in replaced]
    saves = [usd for usd in in_force if usd is not None]
    return Outcome(
        rule=incident.expected.rule,
        subject=incident.expected.subject,
        missing=incident.missing,
        advises=not incident.expected.actions,
        seconds=_seconds_to_command(incident, breach),
        verified_s=_seconds_to_verified(incident),
        saves_usd_per_hour=round(sum(saves), 2) if saves else None,
        billed_usd=round(billed_usd, 2),
        actions=tuple(f"{c.action} {c.endpoint}" for c in issued),
        approved_by=issued[0].approved_by if issued else (),
        pages=incident.pages,
    )


def _seconds_to_command(incident: Incident, breach: Arrival | None) -> float | None:
    asked_ms = incident.answers.asked_ms
    asked = [] if asked_ms is None else [asked_ms]
    first_ms = min([*asked, *(brake.logged_ms for brake in incident.brakes)], default=None)
    return None if breach is None or first_ms is None else round((first_ms - breach.logged_ms) / 1000, 3)


def _seconds_to_verified(incident: Incident) -> float | None:
    """Of the first that was commanded."""
    first = next(iter(incident.brakes), None)
    if first is None or first.verified_at is None:
        return None
    return round(from_rfc3339(first.verified_at) / US - first.logged_ms / 1000, 3)


def exit_code(outcomes: Iterable[Outcome]) -> int:
    return 1 if any(outcome.missing for outcome in outcomes) else 0
