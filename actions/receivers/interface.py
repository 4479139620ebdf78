"""What every receiver is: one method that delivers one notification, and says whether trying again can help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from actions.failure import Failure
from schemas.outputs import Alert, Result, Severity, Timestamp


class Fired(NamedTuple):
    """One episode as its receivers see it. `labels` are what is routed and grouped by; `starts_at` of the episode.

    What is no news was told before, and is there for receivers that show a whole group.
    """

    alert: Alert  # the newest of it
    labels: Mapping[str, str]
    starts_at: Timestamp
    ends_at: Timestamp | None  # None: it fires
    severity: Severity  # the highest so far
    is_news: bool = True


class Notification(NamedTuple):
    """What is told at once: the alerts of one group, those that fire first."""

    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    alerts: tuple[Fired, ...]
    external_url: str | None

    @property
    def is_resolved(self) -> bool:
        return all(fired.ends_at is not None for fired in self.alerts)


class Receiver(Protocol):
    """One way to tell. Delivering the same notification again does no harm where the other side allows that."""

    async def notify(self, notification: Notification) -> Failure | None:
        """Deliver it. Of a group that was delivered in part, what was delivered may be sent again.

        After a failure some of it, or all, may have arrived: whatever was tried has to be told to be over, too.
        """

    async def tell_change(self, result: Result) -> Failure | None:
        """A command was carried out or undone; for those receivers that show changes, else nothing."""

    async def close(self) -> None:
        """Close the connections."""
