"""The endpoint stage over one partition of requests: roll up, learn, and find surges.

A batch is cut where a second closes. Within such a stretch no threshold moves, so its requests can be taken all at
once; still, a rule fires at the request that crosses, and so nothing depends on where a batch began or ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from detectors.episodes import Episode, Episodes
from detectors.rollup import Flags, Ints, RequestColumns, Ring, to_columns
from detectors.rule import Crossing, RequestRule
from detectors.watermark import Watermark, cuts
from schemas.config import Config
from schemas.events import Request
from schemas.outputs import Finding, Rollup
from schemas.topics import REQUESTS
from schemas.units import US

Emitted = Finding | Rollup
STATE_VERSION: Final = 1
ROLLUP_ENDPOINTS: Final = 2000  # in one record: with the longest names it stays below Kafka's megabyte
ROLLUP_PARTS: Final = 1000  # records of one second at most: two million endpoints in a partition


class EndpointState(Struct, array_like=True):
    """One endpoint as plain data: its rows in the ring, its open episodes, and what each rule keeps."""

    version: int
    rows: list[tuple[int, list[int]]]
    episodes: dict[str, Episode]
    rules: dict[str, msgspec.Raw]


class Numbers(dict[str, int]):
    """Endpoint -> its number, given in the order of appearance."""

    def __missing__(self, endpoint: str) -> int:
        number = self[endpoint] = len(self)
        return number


class RequestFold:
    """Requests in, findings and roll-ups out. `late` counts the requests that came after their second had closed."""

    def __init__(self, config: Config, partition: int, rules: Sequence[type[RequestRule[Any]]]) -> None:
        self.late = 0
        self._config, self._partition = config, partition
        lateness_s = int(config.input.lateness)
        self.watermark = Watermark(lateness_s)
        reach_s = max((rule.reach_s(config) for rule in rules), default=0)
        self._ring = Ring(lateness_s + reach_s + 2)
        self._rules = {rule.rule: rule(config, self._ring) for rule in rules}
        self._episodes = {rule.rule: Episodes(rule.rule, rule.unit) for rule in rules}
        self._numbers = Numbers()
        self._names: list[str] = []
        self._dirty = np.zeros(0, dtype=np.bool_)
        self._silent = {rule.rule: np.zeros(0, dtype=np.bool_) for rule in rules}
        self._members: dict[str, Ints] = {}  # budget -> the numbers of its endpoints, in the order of their names
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._config = config
        for name, rule in self._rules.items():
            rule.reconfigure(config)
            self._episodes[name].config_version = config.version
        self._members = {budget: self._joined(budget, (), self._names) for budget in config.budgets}

    def apply(self, events: Sequence[Request], time_us: Ints) -> list[Emitted]:
        """Fold requests in log order; `time_us` is their time."""
        if not events:
            return []
        columns = to_columns(events, self._number([e.endpoint for e in events]), time_us)
        newest, open_from = self.watermark.follow(time_us)
        emitted: list[Emitted] = []
        for start, end in cuts(newest):
            emitted += self._begin(int(newest[start]), int(open_from[start]))
            emitted += self._take(columns.at(slice(start, end)))
        self.watermark.newest_us = max(self.watermark.newest_us, int(time_us.max()))
        return emitted

    def _number(self, endpoints: list[str]) -> Ints:
        numbers = np.array(list(map(self._numbers.__getitem__, endpoints)), dtype=np.int64)
        if len(self._numbers) > len(self._names):
            self._add(list(self._numbers)[len(self._names) :])
        return numbers

    def _add(self, endpoints: list[str]) -> None:
        self._names += endpoints
        self._ring.fit(len(self._names))
        grown = np.zeros(len(endpoints), dtype=np.bool_)
        self._dirty = np.append(self._dirty, grown)
        for name, rule in self._rules.items():
            rule.add(endpoints)
            self._silent[name] = np.append(self._silent[name], ~grown)
        self._members = {
            budget: self._joined(budget, members.tolist(), endpoints) for budget, members in self._members.items()
        }

    def _joined(self, budget: str, members: Sequence[int], endpoints: Sequence[str]) -> Ints:
        """The members of a budget, with those of the endpoints that it covers."""
        covers = self._config.budgets[budget].covers
        new = [self._numbers[name] for name in endpoints if covers(name)]
        return np.array(sorted([*members, *new], key=self._names.__getitem__), dtype=np.int64)

    def _begin(self, newest: int, open_from: int) -> Iterator[Emitted]:
        """Close what is complete, then begin the newest second."""
        if self.watermark.newest_us < 0:
            self.watermark.open_from = open_from  # nothing was seen yet, so there is nothing to close
        while self.watermark.open_from < open_from:
            if self.watermark.open_from > self._ring.newest and self._is_quiescent():
                self.watermark.open_from = open_from
            else:
                yield from self._close(self.watermark.open_from)
                self.watermark.open_from += 1
        if newest > self._ring.newest:
            for rule in self._rules.values():
                rule.begin(newest)
            self._ring.advance(newest)
        self.watermark.newest_us = max(self.watermark.newest_us, newest * US)

    def _is_quiescent(self) -> bool:
        no_episode = not any(episodes.open for episodes in self._episodes.values())
        return no_episode and all(rule.is_quiescent() for rule in self._rules.values())

    def _take(self, columns: RequestColumns) -> Iterator[Finding]:
        """Count the requests that are not late, and open the episodes that they cross into."""
        in_time = columns.second >= self.watermark.open_from
        if not in_time.all():
            self.late += int((~in_time).sum())
            columns = columns.at(in_time)
        self._dirty[columns.endpoint] = True
        self._ring.add(columns)
        crossings = [
            (crossing, name)
            for name, rule in self._rules.items()
            for crossing in rule.observe(columns, self._silent[name])
        ]
        for crossing, name in sorted(crossings, key=lambda found: (found[0].position, found[1])):
            yield self._open(name, crossing, int(columns.time_us[crossing.position]))

    def _open(self, rule: str, crossing: Crossing, at_us: int) -> Finding:
        endpoint = self._names[crossing.endpoint]
        self._silent[rule][crossing.endpoint] = False
        return self._episodes[rule].begin(endpoint, at_us, crossing.reading)

    def _close(self, second: int) -> Iterator[Emitted]:
        yield from self._rollups(second)
        for name, rule in self._rules.items():
            self._dirty |= rule.close(second, self._silent[name])
            episodes = self._episodes[name]
            due = {self._names[i] for i in rule.firing().tolist()} | set(episodes.open)
            for endpoint in sorted(due):
                finding = self._follow(name, endpoint, second)
                if finding is not None:
                    yield finding

    def _follow(self, rule: str, endpoint: str, second: int) -> Finding | None:
        number, episodes = self._numbers[endpoint], self._episodes[rule]
        span = (second * US, (second + 1) * US)
        settings = self._config.rule(rule, endpoint)
        finding = episodes.follow(endpoint, span, self._rules[rule].read(number), settings)
        self._silent[rule][number] = endpoint not in episodes.open
        self._dirty[number] = True
        return finding

    def _rollups(self, second: int) -> Iterator[Rollup]:
        row = self._ring.row(second, len(self._names))
        active: Flags = np.any(row, axis=0)
        for budget, members in self._members.items():
            numbers = members[active[members]]
            for part, start in enumerate(range(0, len(numbers), ROLLUP_ENDPOINTS)):
                some = numbers[start : start + ROLLUP_ENDPOINTS]
                names = [self._names[i] for i in some.tolist()]
                requests = dict(zip(names, map(tuple, row[:, some].T.tolist()), strict=True))
                seq = second * ROLLUP_PARTS + part
                yield Rollup(budget, REQUESTS, self._partition, seq, (second + 1) * US, requests=requests)

    # -- state -----------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, EndpointState]:
        """The endpoints whose state changed since the last call."""
        changed = {self._names[i]: self._state(i) for i in np.flatnonzero(self._dirty).tolist()}
        self._dirty[:] = False
        return changed

    def _state(self, number: int) -> EndpointState:
        name = self._names[number]
        return EndpointState(
            STATE_VERSION,
            self._ring.of(number, 0),
            {rule: episodes.open[name] for rule, episodes in self._episodes.items() if name in episodes.open},
            {name: msgspec.Raw(msgspec.msgpack.encode(rule.snapshot(number))) for name, rule in self._rules.items()},
        )

    def restore(self, watermark: Watermark, states: Mapping[str, EndpointState]) -> None:
        """Become the fold that these were taken from. Called once, when new."""
        watermark.lateness_s = self.watermark.lateness_s
        self.watermark = watermark
        self._number(sorted(states))
        self._ring.newest = watermark.newest_us // US
        for name, state in states.items():
            number = self._numbers[name]
            self._ring.put(number, state.rows)
            for kind, episode in state.episodes.items():
                if kind in self._rules:  # a rule that is gone takes its episodes with it
                    self._episodes[kind].open[name] = episode
                    self._silent[kind][number] = False
            for kind, rule in self._rules.items():
                rule.restore(number, state.rules.get(kind), watermark.open_from - 1)
        self.reconfigure(self._config)
