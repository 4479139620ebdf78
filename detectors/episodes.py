"""Episodes: when a finding opens, is updated and resolves. The same for every rule.

An episode opens when the score passes 1, is updated at most once a minute and whenever its severity rises, and
resolves when the value has stayed at or below `resolve_below` of the threshold for `resolve_after`. At most one is
open for a rule and a subject. The severity of an episode never falls: it tells how bad it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from schemas.config import RuleSettings
from schemas.outputs import Finding, Severity, Status, derive_id
from schemas.units import US, rfc3339

UPDATE_EVERY_US: Final = 60 * US
DECIMALS: Final = 9  # of the numbers in a finding: as many as money has


class Reading(Struct, frozen=True):
    """What a rule measures at one moment. It fires while `score` > 1, and is low while `low`."""

    value: float
    threshold: float
    severity: Severity
    low: bool
    baseline: float | None = None
    score: float | None = None  # None: value / threshold
    evidence: Callable[[], Mapping[str, Any]] = dict  # built only when a finding is

    @property
    def anomaly(self) -> float:
        if self.score is not None:
            return self.score
        return self.value / self.threshold if self.threshold > 0 else 0.0


class Episode(Struct, array_like=True):
    """An open episode, as plain data."""

    id: str
    opened_us: int
    severity: Severity
    updated_us: int
    low_since_us: int | None = None


class Episodes:
    """The open episodes of one rule, by subject: endpoints, or budgets."""

    def __init__(self, rule: str, unit: str, *, of_budgets: bool = False) -> None:
        self._rule, self._unit, self._of_budgets = rule, unit, of_budgets
        self.open: dict[str, Episode] = {}
        self.config_version = ""

    def begin(self, subject: str, at_us: int, reading: Reading) -> Finding:
        """Open an episode at the event or the second that crossed."""
        identity = derive_id("episode", self._rule, subject, at_us)
        episode = self.open[subject] = Episode(identity, at_us, reading.severity, at_us)
        return self._finding(subject, Status.OPEN, at_us, reading, episode)

    def follow(
        self,
        subject: str,
        span: tuple[int, int],
        reading: Reading,
        settings: RuleSettings,
    ) -> Finding | None:
        """Go on with what was measured from `span[0]` to `span[1]`: the finding that this makes due, if any."""
        start_us, end_us = span
        episode = self.open.get(subject)
        if episode is None:
            return self.begin(subject, end_us, reading) if reading.anomaly > 1 else None
        if end_us <= episode.opened_us:
            return None
        if not reading.low:
            episode.low_since_us = None
        elif episode.low_since_us is None:
            episode.low_since_us = max(start_us, episode.opened_us)
        if episode.low_since_us is not None and end_us - episode.low_since_us >= settings.resolve_after * US:
            del self.open[subject]
            return self._finding(subject, Status.RESOLVED, end_us, reading, episode)
        return self._update(subject, end_us, reading, episode)

    def end(self, subject: str, at_us: int) -> Finding:
        """Resolve an episode of which nothing is measured here any more."""
        episode = self.open.pop(subject)
        nothing = Reading(value=0.0, threshold=0.0, severity=episode.severity, low=True)
        return self._finding(subject, Status.RESOLVED, max(at_us, episode.updated_us), nothing, episode)

    def due_us(self, subject: str, settings: RuleSettings) -> float:
        """Until when an open episode has nothing to say while every reading is like the last one."""
        episode = self.open[subject]
        update_us = episode.updated_us + UPDATE_EVERY_US
        if episode.low_since_us is None:
            return update_us
        return min(update_us, episode.low_since_us + settings.resolve_after * US)

    def _update(self, subject: str, at_us: int, reading: Reading, episode: Episode) -> Finding | None:
        worse = reading.anomaly > 1 and reading.severity.rank > episode.severity.rank
        if not worse and at_us - episode.updated_us < UPDATE_EVERY_US:
            return None
        if worse:
            episode.severity = reading.severity
        episode.updated_us = at_us
        return self._finding(subject, Status.UPDATE, at_us, reading, episode)

    def _finding(
        self,
        subject: str,
        status: Status,
        at_us: int,
        reading: Reading,
        episode: Episode,
    ) -> Finding:
        return Finding(
            id=derive_id("finding", episode.id, status, at_us, self.config_version),
            episode=episode.id,
            rule=self._rule,
            subject=subject,
            endpoint=None if self._of_budgets else subject,
            status=status,
            severity=episode.severity,
            opened_at=rfc3339(episode.opened_us),
            at=rfc3339(at_us),
            score=_rounded(reading.anomaly),
            value=round(reading.value, DECIMALS),
            threshold=round(reading.threshold, DECIMALS),
            baseline=None if reading.baseline is None else round(reading.baseline, DECIMALS),
            unit=self._unit,
            evidence=dict(reading.evidence()),
            config_version=self.config_version,
        )


def _rounded(score: float) -> float:
    """As few decimals as leave it on its side of 1."""
    short = round(score, DECIMALS)
    return short if (short > 1) == (score > 1) else score
