"""The endpoint stage over one partition of scaling events: find runaways, and hand replicas on to the budgets.

There are few scaling events (a collector polls every few seconds), so they are taken one at a time.

A rule over single reports (`ScalingRule`) fires at once; one over the past (`HistoryRule`) is given what a second has
when that closes (`history.py`), and asked then.

Forgotten is, at the next event of the partition, an endpoint of which nothing was heard for `forget_after`, and which
has no open episode; and, when a new one comes and there are `max_endpoints`, the one that was silent longest. All that
is lost is what it reported last, the `before` of the evidence of its next episode: the past is void after an hour of
silence anyway. Money does not depend on it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Raw, Struct

from detectors.episodes import Episode, Episodes, Reading
from detectors.history import Histories
from detectors.report import Report, to_report
from detectors.rule import HistoryRule, ScalingRule
from detectors.table import Ints
from detectors.watermark import Watermark
from schemas.config import Config
from schemas.events import Scaling
from schemas.outputs import Finding, Rollup
from schemas.recency import Heard, Marks, Recency
from schemas.topics import SCALING
from schemas.units import US

MINUTE_US: Final = 60 * US
LONGEST_GAP_S: Final = 3600  # of silence that is gone through second by second, for updates of what is open


class ScalingState(Struct, array_like=True):
    """One endpoint as plain data: what it reported since just before the first open second, its episodes, its past."""

    reports: list[Report]
    episodes: dict[str, Episode]
    heard: Heard
    rules: dict[str, Raw]


class ScalingPosition(Struct, array_like=True):
    """What belongs to no one endpoint."""

    watermark: Watermark
    marks: Marks


class ScalingFold:
    """Scaling events in, findings and roll-ups out.

    `late` counts those that came after their second had closed: too late for a finding, not too late for the money.
    """

    def __init__(
        self,
        config: Config,
        partition: int,
        rules: Sequence[type[ScalingRule[Any] | HistoryRule[Any, Any]]],
    ) -> None:
        self.late = 0
        self._config, self._partition = config, partition
        self.watermark = Watermark(int(config.input.lateness))
        self._rules = {rule.rule: rule(config) for rule in rules if issubclass(rule, ScalingRule)}
        self._histories = Histories({rule.rule: rule(config) for rule in rules if issubclass(rule, HistoryRule)})
        self._episodes = {rule.rule: Episodes(rule.rule, rule.unit) for rule in rules}
        self._reports: dict[str, list[Report]] = {}
        self._recency: Recency[str] = Recency()
        self._dirty: set[str] = set()
        self._budgets: dict[str, tuple[str, ...]] = {}  # of the endpoints that have reports
        self._is_news = True  # whether a new configuration may see another value in what was reported before
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._config = config
        self._budgets.clear()
        self._is_news = True
        for rule in (*self._rules.values(), *self._histories.rules.values()):
            rule.reconfigure(config)
            self._episodes[rule.rule].config_version = config.version

    def apply(self, events: Sequence[Scaling], time_us: Ints, offsets: Sequence[int]) -> list[Finding | Rollup]:
        """Fold events in log order; `offsets` are their places in the log."""
        emitted: list[Finding | Rollup] = []
        for event, at_us, offset in zip(events, time_us.tolist(), offsets, strict=True):
            emitted += self._close(self.watermark.observe(at_us))
            self._forget_silent()
            emitted += self._rollups(event, at_us, offset)
            if at_us // US < self.watermark.open_from:
                self.late += 1
            else:
                emitted += self._take(event.endpoint, to_report(event, at_us))
        return emitted

    def heard_us(self, budget: str) -> None:  # noqa: ARG002
        """What it heard it has told."""
        return

    def _rollups(self, event: Scaling, at_us: int, offset: int) -> Iterator[Rollup]:
        endpoint = event.endpoint
        budgets = self._budgets.get(endpoint)
        if budgets is None:
            budgets = self._config.budgets_of(endpoint)
            if endpoint in self._reports:
                self._budgets[endpoint] = budgets
        for budget in budgets:
            yield Rollup(
                budget,
                SCALING,
                self._partition,
                offset,
                at_us,
                endpoint=endpoint,
                replicas=event.ready_replicas,
                region=event.region,
            )

    def _take(self, endpoint: str, report: Report) -> Iterator[Finding]:
        if endpoint not in self._reports:
            self._make_room()
        history = self._reports.setdefault(endpoint, [])
        insort(history, report)
        place = bisect_right(history, report)
        before = history[place - 2] if place > 1 else None
        self._histories.expect(endpoint, report)
        self._hear(endpoint)
        for name, rule in self._rules.items():
            if endpoint not in self._episodes[name].open:
                reading = rule.read(endpoint, report, before)
                if reading.anomaly > 1:
                    yield self._episodes[name].begin(endpoint, report.time_us, reading)
        self._trim(history)

    def _hear(self, endpoint: str) -> None:
        self._recency.hear(endpoint, self.watermark.newest_us)
        self._dirty.add(endpoint)

    def _forget_silent(self) -> None:
        for endpoint in self._recency.silent(self.watermark.newest_us - round(self._config.input.forget_after * US)):
            self._forget(endpoint)

    def _make_room(self) -> None:
        for endpoint in self._recency.longest_silent(self._config.input.max_endpoints - 1):
            self._forget(endpoint)

    def _forget(self, endpoint: str) -> None:
        self._recency.forget(endpoint)
        del self._reports[endpoint]
        self._budgets.pop(endpoint, None)
        self._histories.forget(endpoint)
        for episodes in self._episodes.values():
            episodes.open.pop(endpoint, None)
        self._dirty.add(endpoint)

    def _trim(self, history: list[Report]) -> None:
        """Keep the open seconds, and the one report before them that they begin with."""
        first_open = bisect_right(history, self.watermark.open_from * US - 1, key=lambda report: report.time_us)
        del history[: max(0, first_open - 1)]

    def _close(self, open_from: int) -> Iterator[Finding]:
        if self.watermark.open_from == 0:
            self.watermark.open_from = open_from
        end = min(open_from, self.watermark.open_from + LONGEST_GAP_S)
        while (second := self._next_second()) is not None and second < end:
            self.watermark.open_from = second
            yield from self._close_second(second)
            self.watermark.open_from = second + 1
        self.watermark.open_from = open_from

    def _next_second(self) -> int | None:
        """The next one whose end may have something to say."""
        if any(episodes.open for episodes in self._episodes.values()):
            return self.watermark.open_from
        return self._histories.next_second()

    def _close_second(self, second: int) -> Iterator[Finding]:
        span = (second * US, (second + 1) * US)
        reported = self._histories.close(second, self._reports)
        self._dirty |= reported
        for name in self._rules:
            yield from self._follow(name, span)
        for name in self._histories.rules:
            yield from self._follow_history(name, span, reported)
        self._is_news = False

    def _follow(self, name: str, span: tuple[int, int]) -> Iterator[Finding]:
        """A rule over single reports: it was asked at each, and is again while an episode is open."""
        episodes = self._episodes[name]
        for endpoint in sorted(episodes.open):
            settings = self._config.rule(name, endpoint)
            is_due = self._has_moved(endpoint, span[0] // US) or episodes.due_us(endpoint, settings) <= span[1]
            if is_due:
                self._hear(endpoint)
            if is_due or self._is_news:
                self._dirty.add(endpoint)
                finding = episodes.follow(endpoint, span, self._read(name, endpoint, span), settings)
                if finding is not None:
                    yield finding

    def _follow_history(self, name: str, span: tuple[int, int], reported: set[str]) -> Iterator[Finding]:
        """A rule over the past: time alone can calm it, so while an episode is open it is asked once a minute, too."""
        episodes = self._episodes[name]
        is_minute = span[1] % MINUTE_US == 0
        for endpoint in sorted(reported | episodes.open.keys() if is_minute else reported):
            if endpoint in episodes.open:
                self._hear(endpoint)
            elif self._histories.is_blank(name, endpoint):
                continue
            reading = self._histories.read(name, endpoint, self._reports[endpoint], span[1])
            finding = episodes.follow(endpoint, span, reading, self._config.rule(name, endpoint))
            if finding is not None:
                yield finding

    def _has_moved(self, endpoint: str, second: int) -> bool:
        """Whether more than one report held in this second and the one before it."""
        return self._reports[endpoint][-1].time_us >= (second - 1) * US

    def _read(self, rule: str, endpoint: str, span: tuple[int, int]) -> Reading:
        """The worst that was so at any moment of the span."""
        history = self._reports[endpoint]
        start = max(0, bisect_right(history, span[0], key=lambda report: report.time_us) - 1)
        end = bisect_right(history, span[1] - 1, key=lambda report: report.time_us)
        moments = range(start, max(end, start + 1))
        readings = [self._rules[rule].read(endpoint, history[i], history[i - 1] if i else None) for i in moments]
        return max(readings, key=lambda reading: (reading.anomaly, not reading.low))

    # -- state -----------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, ScalingState | None]:
        """The endpoints whose state changed since the last call; None: it is forgotten."""
        changed = {name: self._state(name) for name in sorted(self._dirty)}
        self._dirty.clear()
        return changed

    def _state(self, name: str) -> ScalingState | None:
        if name not in self._reports:
            return None
        episodes = {rule: e.open[name] for rule, e in self._episodes.items() if name in e.open}
        return ScalingState(list(self._reports[name]), episodes, self._recency[name], self._histories.snapshot(name))

    def position(self) -> ScalingPosition:
        """All that belongs to no one endpoint."""
        return ScalingPosition(self.watermark, self._recency.marks)

    def restore(self, position: ScalingPosition, states: Mapping[str, ScalingState]) -> None:
        """Become the fold that these were taken from. Called once, when new."""
        position.watermark.lateness_s = self.watermark.lateness_s
        self.watermark = position.watermark
        self._dirty.update(self._recency.restore(position.marks, {name: s.heard for name, s in states.items()}))
        for name in states.keys() - self._dirty:
            state = states[name]
            self._reports[name] = state.reports
            waiting = [report for report in state.reports if report.time_us // US >= self.watermark.open_from]
            self._histories.restore(name, state.rules, waiting)
            for rule, episode in state.episodes.items():
                if rule in self._episodes:
                    self._episodes[rule].open[name] = episode
