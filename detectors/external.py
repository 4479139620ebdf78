"""Alerts of other systems as findings of the rule `external`: any rule of Prometheus can so become a finding.

An episode is one alert (its labels) since its `startsAt`: its id depends on both, so that it is the same for a process
that begins anew. Prometheus tells of an alert again and again while it fires, with an end some minutes ahead;
Alertmanager's webhook does so every few hours, without an end. Both are taken for what they say until that end; then it
is over, whoever fails to say so. While one fires there is an update once a minute, so that what was done about it stays
in force.

This depends on the wall clock and on who happened to be told, and says so: `"clock": "wall"`. Time is a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import structs

from schemas.alertmanager import PostedAlert, WebhookAlert, WebhookBody, fingerprint
from schemas.config import Config
from schemas.outputs import Finding, Id, Severity, Status, derive_id
from schemas.topics import EXTERNAL
from schemas.units import HOUR_US, US, rfc3339, to_us

UPDATE_US: Final = 60 * US
RESOLVE_TIMEOUT_US: Final = 5 * 60 * US  # of an alert that says no end: Alertmanager's own `resolve_timeout`
WEBHOOK_TIMEOUT_US: Final = 5 * HOUR_US  # Alertmanager repeats after four hours (`repeat_interval`), if not sooner
KEPT_US: Final = 24 * HOUR_US  # how long it is known that an episode is over: it is told of again meanwhile
UNSET_US: Final = -62_104_060_800 * US  # what lies before the year 2 was not set
MOST_FIRING: Final = 10_000  # alerts at a time
MOST_KNOWN: Final = 2 * MOST_FIRING  # with those that are over; of more, the first that were over are forgotten early
SCORE: Final = 2.0  # of what fires


class Heard(NamedTuple):
    """An alert, and until when it is known to fire; that is past if it is over."""

    alert: PostedAlert
    until_us: int


class Line(NamedTuple):
    """What is known of one alert (its labels)."""

    alert: PostedAlert
    episode: Id
    opened_us: int
    severity: Severity
    until_us: int
    told_us: int
    is_open: bool = True


class Told(NamedTuple):
    """What is to be written, and what is known once it is: hand it to `take` then, and not before.

    `left_out` alerts would have been more than may fire at a time.
    """

    findings: list[Finding]
    lines: dict[str, Line | None]
    left_out: int = 0


def heard(posted: list[PostedAlert] | WebhookBody, now_us: int) -> list[Heard]:
    """What was posted says of itself."""
    if isinstance(posted, WebhookBody):
        return [Heard(alert, _webhook_until(alert, now_us)) for alert in posted.alerts]
    return [Heard(alert, _time(alert.ends_at, now_us + RESOLVE_TIMEOUT_US)) for alert in posted]


class ExternalAlerts:
    """The alerts of other systems that this process was told of."""

    def __init__(self, most_firing: int = MOST_FIRING, most_known: int = MOST_KNOWN) -> None:
        self._lines: dict[str, Line] = {}
        self._firing: set[str] = set()
        self._most_firing, self._most_known = most_firing, most_known

    def __len__(self) -> int:
        return len(self._lines)

    def hear(self, told: Iterable[Heard], config: Config, now_us: int) -> Told:
        """What alerts that were posted lead to. Those that are known are heard however many there are."""
        told_now, firing, left_out = Told([], {}), set(self._firing), 0
        for each in told:
            name = fingerprint(each.alert.labels)
            if each.until_us > now_us and name not in firing:
                if len(firing) >= self._most_firing:
                    left_out += 1
                    continue
                firing.add(name)
            line = told_now.lines.get(name, self._lines.get(name))
            told_now.findings.extend(_Turn(config, now_us, told_now.lines, name).hear(each, line))
        return told_now._replace(left_out=left_out)

    def tick(self, config: Config, now_us: int) -> Told:
        """What fires on is told of once a minute; what nobody said any more is over."""
        told_now = Told([], {})
        for name, line in self._lines.items():
            told_now.findings.extend(_Turn(config, now_us, told_now.lines, name).tick(line))
        return told_now

    def take(self, told: Told) -> None:
        """What `hear` or `tick` returned has been written."""
        for name, line in told.lines.items():
            (self._firing.add if line is not None and line.is_open else self._firing.discard)(name)
            if line is None:
                self._lines.pop(name, None)
            else:
                self._lines[name] = line
        self._forget_early()

    def _forget_early(self) -> None:
        if (excess := len(self._lines) - self._most_known) > 0:
            over = [name for name in self._lines if name not in self._firing]
            for name in sorted(over, key=lambda name: self._lines[name].told_us)[:excess]:
                del self._lines[name]


class _Turn(NamedTuple):
    """One alert at one moment. Changes go to `lines`."""

    config: Config
    now_us: int
    lines: dict[str, Line | None]
    name: str

    def hear(self, told: Heard, line: Line | None) -> Iterator[Finding]:
        if told.until_us > self.now_us:
            yield from self._fires(told, line)
        elif line is None and told.alert.starts_at is not None:  # told to be open before this process began
            yield self._write(self._opened(told, None), Status.RESOLVED)
        elif line is not None and line.is_open and told.until_us >= line.opened_us:  # else of an earlier episode
            yield self._write(line._replace(alert=told.alert), Status.RESOLVED)

    def tick(self, line: Line) -> Iterator[Finding]:
        if not line.is_open:
            if line.told_us + KEPT_US <= self.now_us:
                self.lines[self.name] = None
        elif line.until_us <= self.now_us:
            yield self._write(line, Status.RESOLVED)
        elif line.told_us + UPDATE_US <= self.now_us:
            yield self._write(line, Status.UPDATE)

    def _fires(self, told: Heard, line: Line | None) -> Iterator[Finding]:
        """While it is open it is one episode, whatever `startsAt` says: a pair of Prometheus has two of them."""
        if line is None or not line.is_open:
            yield self._write(self._opened(told, line), Status.OPEN)
            return
        severity = _severity(told.alert, self.config)
        after = line._replace(alert=told.alert, until_us=told.until_us, severity=severity)
        if severity is not line.severity or line.told_us + UPDATE_US <= self.now_us:
            yield self._write(after, Status.UPDATE)
        else:
            self.lines[self.name] = after

    def _opened(self, told: Heard, before: Line | None) -> Line:
        """A new episode. Of one that was over, since nobody said that it goes on, the id must not be used again."""
        starts_us = _time(told.alert.starts_at, self.now_us)
        again = before is not None and starts_us <= before.told_us
        return Line(
            alert=told.alert,
            episode=derive_id("episode", EXTERNAL, self.name, starts_us, *((self.now_us,) if again else ())),
            opened_us=self.now_us if again else min(starts_us, self.now_us),
            severity=_severity(told.alert, self.config),
            until_us=told.until_us,
            told_us=self.now_us,
        )

    def _write(self, line: Line, status: Status) -> Finding:
        line = line._replace(told_us=self.now_us, is_open=status is not Status.RESOLVED)
        self.lines[self.name] = line
        return _finding(self.name, line, status, self.config)


def _finding(name: str, line: Line, status: Status, config: Config) -> Finding:
    fires = status is not Status.RESOLVED
    endpoint = line.alert.labels.get(config.external.endpoint_label) or None
    return Finding(
        id=derive_id("finding", line.episode, status.value, line.severity.value, line.told_us),
        episode=line.episode,
        rule=EXTERNAL,
        # at most one open episode of a subject: two alerts about one endpoint are two subjects
        subject=" ".join(filter(None, (line.alert.labels["alertname"], endpoint, name[:8]))),
        endpoint=endpoint,
        status=status,
        severity=line.severity,
        opened_at=rfc3339(line.opened_us),
        at=rfc3339(line.told_us),
        score=SCORE if fires else 0.0,
        value=float(fires),
        threshold=0.0,
        baseline=None,
        unit="alerts",
        evidence=_evidence(name, line, config),
        config_version=config.version,
    )


def _evidence(name: str, line: Line, config: Config) -> dict[str, Any]:
    """The alert itself, and what the configuration of now maps its name to."""
    alert = line.alert
    mapped = config.external.alerts.get(alert.labels["alertname"])
    asked = {} if mapped is None else structs.asdict(mapped)
    return {
        "alertname": alert.labels["alertname"],
        "fingerprint": name,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "generator_url": alert.generator_url,
        "clock": "wall",
        **{key: value for key, value in asked.items() if value is not None and key != "severity"},
    }


def _severity(alert: PostedAlert, config: Config) -> Severity:
    """What the configuration says of its name, else its label; a word of one's own is a warning."""
    mapped = config.external.alerts.get(alert.labels["alertname"])
    if mapped is not None and mapped.severity is not None:
        return mapped.severity
    word = alert.labels.get("severity", "").lower()
    return Severity(word) if word in set(Severity) else Severity.WARNING


def _webhook_until(alert: WebhookAlert, now_us: int) -> int:
    """It says by itself whether it fires; who does never knows its end."""
    return now_us + WEBHOOK_TIMEOUT_US if alert.status == "firing" else min(_time(alert.ends_at, now_us), now_us)


def _time(told: Any, otherwise_us: int) -> int:  # noqa: ANN401 -- a datetime or None
    return otherwise_us if told is None or to_us(told) < UNSET_US else to_us(told)
