"""What the live table shows: the simulator's numbers, and states from tidegate's findings and commands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.outputs import Action, Command, Finding, Status
from schemas.units import HOUR_US
from streams.demo.incidents import is_in_force
from streams.demo.script import ACTORS, LAB, LAB_BUDGET, allowance_usd
from streams.simulator import Fleet, Reading

ROWS: Final = 14


class State(StrEnum):
    """The last word on a subject, worst first."""

    SHUT_DOWN = "SHUT DOWN"
    OVERFLOWING = "OVERFLOW"
    THROTTLED = "THROTTLED"
    SURGE = "SURGE"
    RUNAWAY = "RUNAWAY"
    OVER_BUDGET = "OVER BUDGET"
    FAILING = "FAILING"
    SLOW = "SLOW"
    THRASHING = "THRASHING"
    ALARM = "ALARM"
    RESTORED = "restored"
    OK = "ok"


_OF_RULE: Final = {
    "request_surge": State.SURGE,
    "runaway_replicas": State.RUNAWAY,
    "hourly_spend": State.OVER_BUDGET,
    "daily_spend": State.OVER_BUDGET,
    "error_rate": State.FAILING,
    "latency": State.SLOW,
    "queue_depth": State.SLOW,
    "cold_starts": State.THRASHING,
    "scale_thrash": State.THRASHING,
}
_OF_ACTION: Final = {
    Action.THROTTLE: State.THROTTLED,
    Action.OVERFLOW: State.OVERFLOWING,
    Action.SHUTDOWN: State.SHUT_DOWN,
    Action.RESTORE: State.RESTORED,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint in a frame."""

    endpoint: str
    reading: Reading
    expected_max: int
    state: State


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. Money in US dollars; `spend_usd` is of the last 60 minutes."""

    at_s: float
    rows: tuple[Row, ...]
    budget: str
    spend_usd: float
    allowance_usd: float
    budget_state: State


class Board:
    """Follows the findings and commands, and draws frames."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        crowd = sorted(fleet.profiles[len(ACTORS) :], key=lambda p: -p.normal_rps)
        self._shown = (*ACTORS, *crowd[: ROWS - len(ACTORS)])
        self._open: dict[str, State] = {}  # subject -> what is wrong
        self._brake: dict[str, State] = {}  # endpoint -> the last command's effect

    def note_finding(self, finding: Finding) -> None:
        if finding.status is Status.RESOLVED:
            self._open.pop(finding.subject, None)
        else:
            self._open[finding.subject] = _OF_RULE.get(finding.rule, State.ALARM)

    def note_command(self, command: Command) -> None:
        if is_in_force(command):
            self._brake[command.endpoint] = _OF_ACTION[command.action]

    def state(self, subject: str) -> State:
        """A brake in force says more than its cause; a restored brake says less than an open finding."""
        brake, wrong = self._brake.get(subject, State.OK), self._open.get(subject)
        if wrong is not None and brake in (State.RESTORED, State.OK):
            return wrong
        return brake

    def frame(self, at_s: float) -> Frame:
        now_us = self._fleet.now_us
        return Frame(
            at_s=at_s,
            rows=tuple(
                Row(p.name, self._fleet.reading(p.name), p.expected_max, self.state(p.name)) for p in self._shown
            ),
            budget=LAB_BUDGET,
            spend_usd=self._fleet.meter.spend_usd(LAB, now_us - HOUR_US, now_us),
            allowance_usd=allowance_usd(),
            budget_state=self._open.get(LAB_BUDGET, State.OK),
        )
