"""What one receiver hears of one episode, and what of it was told: Alertmanager's notification log, by episode.

A receiver has a story of each episode of which a line was routed to it. The story ends with its episode, once the
receiver knows; of an episode that is over before anything was told, it never hears.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from msgspec import Struct

from actions.alerting.episodes import Line
from actions.alerting.routes import Pace, Target
from actions.receivers.interface import Fired
from schemas.outputs import Alert, Severity, Timestamp


class Reason(StrEnum):
    """Why something is to be told."""

    FIRST = "first"
    WORSE = "worse"  # the severity has risen
    NEWS = "news"  # another line: what was done, what waits for a person
    REPEAT = "repeat"
    RESOLVED = "resolved"


class Told(Struct, array_like=True, frozen=True):
    """The last notification that the receiver took. `line` is the offset of the newest alert in it."""

    line: int
    severity: Severity
    at_us: int
    resolved: bool = False


class Story(Struct, array_like=True):
    """`alert` and `labels` are of the newest line, `severity` is the highest; `since_us`: when the untold came.

    `tried`: a first notification was sent, or is about to be, and nobody knows whether it arrived.
    """

    starts_at: Timestamp
    group_key: str
    group_labels: dict[str, str]
    pace: Pace
    alert: Alert
    severity: Severity
    labels: dict[str, str] = {}
    line: int = -1  # its offset; -1: nothing was heard yet
    since_us: int = 0
    ends_at: Timestamp | None = None
    tried: bool = False
    told: Told | None = None

    @classmethod
    def begin(cls, starts_at: Timestamp, target: Target, line: Line) -> Self:
        """One that is still to hear its first line, which is this one."""
        alert = line.alert
        return cls(starts_at, target.group_key, target.group_labels, target.pace, alert, alert.severity)

    def hear(self, line: Line, labels: dict[str, str], at_us: int) -> None:
        """A line that fires, or the newest one anew, with other labels."""
        if line.offset > self.line:
            self.alert, self.line, self.ends_at, self.since_us = line.alert, line.offset, None, at_us
        self.labels = labels
        self.severity = max(self.severity, line.alert.severity, key=lambda severity: severity.rank)

    def resolve(self, alert: Alert, offset: int, at_us: int) -> None:
        """The line that says that it is over."""
        self.alert, self.line, self.ends_at, self.since_us = alert, offset, alert.at, at_us

    def news(self, *, send_resolved: bool) -> Reason | None:
        """What there is to tell, whatever the time."""
        told = self.told
        if self.ends_at is not None:
            is_known = self.tried if told is None else not told.resolved
            return Reason.RESOLVED if is_known and send_resolved else None
        if told is None:
            return Reason.FIRST
        if self.severity.rank > told.severity.rank:
            return Reason.WORSE
        return Reason.NEWS if self.line > told.line else None

    def place(self, target: Target) -> None:
        """Hear of it in this group from now on."""
        self.group_key, self.group_labels, self.pace = target.group_key, target.group_labels, target.pace

    def fired(self, *, is_news: bool) -> Fired:
        return Fired(self.alert, self.labels, self.starts_at, self.ends_at, self.severity, is_news)

    def as_told(self, at_us: int) -> Told:
        """What the receiver knows once it has taken this."""
        return Told(self.line, self.severity, at_us, self.ends_at is not None)
