"""The episodes that are open: their newest line for each endpoint, which routes and inhibits."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from actions.alerting.labels import action_after
from schemas.outputs import Alert, Id, Timestamp


class Line(Struct, array_like=True, frozen=True):
    """An alert, where it lies in the log, and the action that is in force for its endpoint as far as it was told."""

    alert: Alert
    offset: int
    action: str | None = None


class Episode(Struct, array_like=True):
    """`lines` by endpoint; of what is about none, by the empty text. `heard`: the offset of the newest."""

    starts_at: Timestamp
    heard: int = -1
    lines: dict[str, Line] = field(default_factory=dict)


class Episodes:
    """All that are open."""

    def __init__(self) -> None:
        self._open: dict[Id, Episode] = {}
        self._changed: set[Id] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[Id, Episode]]:
        return iter(self._open.items())

    def hear(self, alert: Alert, offset: int) -> tuple[Episode, Line]:
        """A line of an episode that fires."""
        known = self._open.setdefault(alert.dedup_key, Episode(_starts_at(alert)))
        endpoint = alert.endpoint or ""
        before = known.lines.get(endpoint)
        line = Line(alert, offset, action_after(alert, None if before is None else before.action))
        known.lines[endpoint], known.heard = line, offset
        self._changed.add(alert.dedup_key)
        return known, line

    def is_over(self, episode: Id) -> Episode | None:
        """Forget it; what was known of it."""
        self._changed.add(episode)
        return self._open.pop(episode, None)

    def heard(self, episode: Id) -> int:
        """The offset of the newest line of an open episode."""
        known = self._open.get(episode)
        return -1 if known is None else known.heard

    def restore(self, episode: Id, known: Episode) -> None:
        self._open[episode] = known

    def changed(self) -> Iterator[tuple[Id, Episode | None]]:
        """Those that changed since the last call; None: it is over."""
        changed, self._changed = self._changed, set()
        yield from ((episode, self._open.get(episode)) for episode in sorted(changed))

    def mark_all(self) -> None:
        """Let `changed` name every episode."""
        self._changed.update(self._open)


def _starts_at(alert: Alert) -> Timestamp:
    opened_at = alert.details.get("opened_at")
    return opened_at if isinstance(opened_at, str) else alert.at
