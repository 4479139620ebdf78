"""The endpoint stage over one partition of requests: roll up, learn, and find what is wrong.

A rule may fire at the request that crosses, and a second closes at the request that moves the watermark past it, so
that nothing depends on where a batch began or ended. Yet hardly any request crosses anything. So a batch is cut only
where thresholds may move; of such a span the rules say at once whether any endpoint could cross within it. Mostly none
can: all its requests are counted together, and then its seconds are closed. Else it is taken second by second.

Most rules are about windows of time, and decide when a second closes (`windows.py`). Once an episode is open it is
looked at when its rule sees a change, and when an update is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from detectors.episodes import Episode, Episodes
from detectors.rollup import COLUMNS, Cell, RequestColumns, Ring, to_columns
from detectors.rule import MINUTE_S, Crossing, RequestRule
from detectors.table import Flags, Ints, Table
from detectors.watermark import Watermark, cuts, spans
from schemas.config import Config
from schemas.events import Request
from schemas.outputs import Finding, Rollup
from schemas.recency import Marks
from schemas.topics import REQUESTS
from schemas.units import US

Emitted = Finding | Rollup
Requests = dict[str, tuple[int, int]]  # endpoint -> how many, and how many of them failed
ROLLUP_ENDPOINTS: Final = 2000  # in one record: with the longest names it stays below Kafka's megabyte
ROLLUP_PARTS: Final = 1000  # records of one second at most: two million endpoints in a partition

AT_ONCE: Final = 500  # states that are made together for a checkpoint, while nobody else has the loop

ROW: Final = np.dtype([("heard_s", "i8"), ("place", "i8"), ("dirty", "?"), ("minute", "i8", len(COLUMNS))])
"""Of an endpoint: the newest second when it was last heard of, and the place of that among all that was heard; whether
its state changed since the last checkpoint; what it counted in the open minute."""

HEEDED: Final = np.dtype([("silent", "?"), ("due_us", "f8")])
"""Of an endpoint and a rule; `silent`: no episode is open; `due_us`: when an open one has news though nothing moves."""

_encode = msgspec.msgpack.Encoder().encode


class EndpointState(Struct, array_like=True):
    """One endpoint as plain data: what the roll-up has of it, its open episodes, and what each rule keeps."""

    heard_s: int
    place: int
    minute: list[int]
    cells: list[Cell]
    episodes: dict[str, Episode]
    rules: dict[str, msgspec.Raw]


class RequestPosition(Struct, array_like=True):
    """What belongs to no one endpoint."""

    watermark: Watermark
    marks: Marks


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
        self._memory_s = max((rule.memory_s(config) for rule in rules), default=0)
        self._steps_s = {MINUTE_S, *(rule.step_s(config) for rule in rules)}
        self._ring = Ring(lateness_s + reach_s + min(self._steps_s) + 2)  # a span lasts no longer than a step
        self._rules = {rule.rule: rule(config, self._ring) for rule in rules}
        self._episodes = {rule.rule: Episodes(rule.rule, rule.unit) for rule in rules}
        self._numbers = Numbers()
        self._names: list[str] = []
        self._table = Table(ROW, (0, -1, False, 0))
        self._heeded = {rule.rule: Table(HEEDED, (True, 0)) for rule in rules}
        self._members: dict[str, Flags] = {}  # budget -> whether it covers an endpoint, by its number
        self._marks = Marks()
        self._gone: set[str] = set()  # forgotten since the last checkpoint
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._config = config
        for name, rule in self._rules.items():
            rule.reconfigure(config)
            self._episodes[name].config_version = config.version
            self._heeded[name].rows["due_us"] = 0
        self._members = {budget: self._covered(budget, self._names) for budget in config.budgets}

    def apply(self, events: Sequence[Request], time_us: Ints) -> list[Emitted]:
        """Fold requests in log order; `time_us` is their time."""
        if not events:
            return []
        endpoints = [e.endpoint for e in events]
        columns = to_columns(events, self._number(endpoints), time_us)
        newest, open_from = self.watermark.follow(time_us)
        emitted: list[Emitted] = []
        for start, end in spans(open_from, self._steps_s):
            known = len(self._names)
            emitted += self._begin(int(newest[start]), int(open_from[start]))
            if len(self._names) < known:  # some were forgotten, and the others have new numbers
                columns.endpoint[start:] = self._number(endpoints[start:])
            emitted += self._span(columns.at(slice(start, end)), newest[start:end], open_from[start:end])
        self.watermark.newest_us = max(self.watermark.newest_us, int(time_us.max()))
        return emitted

    def _span(self, columns: RequestColumns, newest: Ints, open_from: Ints) -> Iterator[Emitted]:
        """Requests among which no threshold moves."""
        in_time = columns.second >= open_from
        if not in_time.all():  # a late one moves no clock
            self.late += len(in_time) - int(np.count_nonzero(in_time))
            columns, newest, open_from = columns.at(in_time), newest[in_time], open_from[in_time]
        if not len(newest):
            return
        if any(rule.may_cross(columns) for rule in self._rules.values()):
            for start, end in cuts(newest):
                yield from self._begin(int(newest[start]), int(open_from[start]))
                some = columns.at(slice(start, end))
                self._count(some, newest[start:end])
                yield from self._crossings(some)
        else:
            self._ring.advance(int(newest[-1]))
            self._count(columns, newest)
            yield from self._begin(int(newest[-1]), int(open_from[-1]))

    def _begin(self, newest: int, open_from: int) -> Iterator[Emitted]:
        """Close what is complete, then begin the newest second."""
        if self.watermark.newest_us < 0:
            self.watermark.open_from = open_from  # nothing was seen yet, so there is nothing to close
        while self.watermark.open_from < open_from:
            if self.watermark.open_from > self._ring.newest and self._is_quiescent():
                self.watermark.open_from = open_from
                continue
            if self._is_silent():
                self.watermark.open_from = min(self._next_step(self.watermark.open_from), open_from - 1)
            yield from self._close(self.watermark.open_from)
            self.watermark.open_from += 1
        self._ring.advance(newest)
        self.watermark.newest_us = max(self.watermark.newest_us, newest * US)

    def _is_silent(self) -> bool:
        """Whether no window holds a request and no episode is open: then nothing happens before the next step ends."""
        no_request = self.watermark.open_from > self._ring.newest + self._memory_s
        return no_request and not any(episodes.open for episodes in self._episodes.values())

    def _next_step(self, second: int) -> int:
        """The first second from this one on that ends a step."""
        return min((second // step_s + 1) * step_s - 1 for step_s in self._steps_s)

    def _is_quiescent(self) -> bool:
        if any(episodes.open for episodes in self._episodes.values()) or self._table.rows["minute"].any():
            return False
        return all(rule.is_quiescent(self.watermark.open_from - 1) for rule in self._rules.values())

    def _count(self, columns: RequestColumns, newest: Ints) -> None:
        self._ring.count(columns)
        for rule in self._rules.values():
            rule.count(columns)
        self._hear(columns.endpoint, newest)

    def _hear(self, numbers: Ints, second: Ints | int) -> None:
        rows = self._table.rows
        rows["dirty"][numbers] = True
        rows["heard_s"][numbers] = second  # of several the last one remains
        rows["place"][numbers] = np.arange(len(numbers)) + self._marks.hearings
        self._marks.hearings += len(numbers)

    def _crossings(self, columns: RequestColumns) -> Iterator[Finding]:
        """Open the episodes that these requests, just counted, cross into."""
        crossings = [
            (crossing, name)
            for name, rule in self._rules.items()
            for crossing in rule.observe(columns, self._heeded[name].rows["silent"])
        ]
        for crossing, name in sorted(crossings, key=lambda found: (found[0].position, found[1])):
            yield self._open(name, crossing, int(columns.time_us[crossing.position]))

    def _open(self, rule: str, crossing: Crossing, at_us: int) -> Finding:
        endpoint = self._names[crossing.endpoint]
        self._heeded[rule].rows[crossing.endpoint] = (False, 0)
        return self._episodes[rule].begin(endpoint, at_us, crossing.reading)

    # -- a second closes -------------------------------------------------------------------------------------------

    def _close(self, second: int) -> Iterator[Emitted]:
        row = self._ring.row(second)
        active: Flags = np.any(row, axis=0)
        self._table.rows["minute"] += row.T
        self._table.rows["dirty"] |= active
        ends_minute = (second + 1) % MINUTE_S == 0
        yield from self._minute(second) if ends_minute else self._rollups(second, active)
        for name, rule in self._rules.items():
            self._table.rows["dirty"][rule.close(second, self._heeded[name].rows["silent"])] = True
            for endpoint in sorted(self._names[number] for number in self._due(name, second).tolist()):
                finding = self._follow(name, endpoint, second)
                if finding is not None:
                    yield finding
        if ends_minute:
            self._forget(second)

    def _due(self, name: str, second: int) -> Ints:
        """Whose reading makes a difference: who fires without an open episode, and whose episode has news."""
        rule, heeded = self._rules[name], self._heeded[name].rows
        firing = rule.firing()
        if not self._episodes[name].open:
            return firing
        known = np.flatnonzero(~heeded["silent"])
        news = known[rule.moved(known) | (heeded["due_us"][known] <= (second + 1) * US)]
        return np.concatenate([firing[heeded["silent"][firing]], news])

    def _follow(self, rule: str, endpoint: str, second: int) -> Finding | None:
        number, episodes = self._numbers[endpoint], self._episodes[rule]
        span = (second * US, (second + 1) * US)
        settings = self._config.rule(rule, endpoint)
        finding = episodes.follow(endpoint, span, self._rules[rule].read(number), settings)
        is_open = endpoint in episodes.open
        self._heeded[rule].rows[number] = (not is_open, episodes.due_us(endpoint, settings) if is_open else 0)
        self._table.rows["dirty"][number] = True
        return finding

    def _rollups(self, second: int, active: Flags) -> Iterator[Rollup]:
        """What the clock of a budget moves with: a second in which one of its endpoints had requests."""
        for budget, members in self._members.items():
            if np.any(active & members):
                yield self._rollup(budget, second)

    def _minute(self, second: int) -> Iterator[Rollup]:
        """What the requests of the minute were that ends with this second."""
        minute = self._table.rows["minute"]
        counted: Flags = np.any(minute, axis=1)
        for budget, members in self._members.items():
            covered = np.flatnonzero(counted & members)
            names = [self._names[number] for number in covered.tolist()]
            requests = dict(zip(names, map(tuple, minute[covered].tolist()), strict=True))
            names.sort()
            for part, start in enumerate(range(0, len(names), ROLLUP_ENDPOINTS)):
                some = {name: requests[name] for name in names[start : start + ROLLUP_ENDPOINTS]}
                yield self._rollup(budget, second, part, some)
        self._table.rows["dirty"] |= counted
        minute[:] = 0

    def heard_us(self, budget: str) -> int | None:
        """The end of the second in which the newest request of a budget came, told or not; None: there was none."""
        heard = self._table.rows["heard_s"][np.flatnonzero(self._members[budget])]
        return (int(heard.max()) + 1) * US if len(heard) else None

    def _rollup(self, budget: str, second: int, part: int = 0, requests: Requests | None = None) -> Rollup:
        seq = second * ROLLUP_PARTS + part
        return Rollup(budget, REQUESTS, self._partition, seq, (second + 1) * US, requests=requests)

    # -- endpoints come and go -------------------------------------------------------------------------------------

    def _number(self, endpoints: Sequence[str]) -> Ints:
        numbers = np.array(list(map(self._numbers.__getitem__, endpoints)), dtype=np.int64)
        if len(self._numbers) > len(self._names):
            self._add(list(self._numbers)[len(self._names) :])
        return numbers

    def _add(self, endpoints: list[str]) -> None:
        self._names += endpoints
        self._ring.add_endpoints(len(endpoints))
        self._table.add(len(endpoints))
        for name, rule in self._rules.items():
            rule.add(endpoints)
            self._heeded[name].add(len(endpoints))
        for budget, members in self._members.items():
            self._members[budget] = np.append(members, self._covered(budget, endpoints))

    def _covered(self, budget: str, endpoints: Sequence[str]) -> Flags:
        return np.array(list(map(self._config.budgets[budget].covers, endpoints)), dtype=np.bool_)

    def _forget(self, second: int) -> None:
        """At each full minute: who was silent for `forget_after`, and beyond `max_endpoints` who was silent longest.

        Whoever has an open episode is as good as heard of.
        """
        with_episodes = set().union(*(episodes.open for episodes in self._episodes.values()))
        self._hear(
            np.array([self._numbers[name] for name in sorted(with_episodes)], dtype=np.int64),
            self.watermark.newest_us // US,
        )
        rows, limits = self._table.rows, self._config.input
        place = np.sort(rows["place"])
        silent = int(np.count_nonzero(rows["heard_s"] < second + 1 - int(limits.forget_after)))
        dead = max(silent, len(place) - limits.max_endpoints)
        if dead > 0:
            self._marks.forgotten = max(self._marks.forgotten, int(place[dead - 1]))
            self._keep(np.flatnonzero(rows["place"] > self._marks.forgotten))

    def _keep(self, numbers: Ints) -> None:
        """The others are forgotten."""
        kept = [self._names[number] for number in numbers.tolist()]
        gone = set(self._names).difference(kept)
        self._gone |= gone
        for episodes in self._episodes.values():
            for name in gone & episodes.open.keys():  # there are more open ones than endpoints may be
                del episodes.open[name]
        self._names = kept
        self._numbers = Numbers(zip(kept, range(len(kept)), strict=True))
        self._ring.keep(numbers)
        self._table.keep(numbers)
        for name, rule in self._rules.items():
            rule.keep(numbers)
            self._heeded[name].keep(numbers)
        self._members = {budget: members[numbers] for budget, members in self._members.items()}

    # -- state -----------------------------------------------------------------------------------------------------

    def changed(self) -> Iterator[tuple[str, EndpointState | None]]:
        """The endpoints whose state changed since the last call; None: it is forgotten.

        They are read as they are asked for: nothing may be folded before the last one was.
        """
        numbers = np.flatnonzero(self._table.rows["dirty"])
        gone = sorted(self._gone.difference(self._names[number] for number in numbers.tolist()))
        self._table.rows["dirty"] = False
        self._gone.clear()
        for start in range(0, len(numbers), AT_ONCE):
            yield from self._states(numbers[start : start + AT_ONCE])
        for name in gone:
            yield name, None

    def position(self) -> RequestPosition:
        """What belongs to no endpoint."""
        return RequestPosition(self.watermark, self._marks)

    def _states(self, numbers: Ints) -> Iterator[tuple[str, EndpointState]]:
        rows = self._table.take(numbers)
        columns = [rows[name].tolist() for name in ("heard_s", "place", "minute")]
        rules = {rule: kept.snapshots(numbers) for rule, kept in self._rules.items()}
        for i, (number, cells) in enumerate(zip(numbers.tolist(), self._ring.of(numbers), strict=True)):
            name, (heard_s, place, minute) = self._names[number], (column[i] for column in columns)
            episodes = {rule: kept.open[name] for rule, kept in self._episodes.items() if name in kept.open}
            kept_by_rules = {rule: msgspec.Raw(_encode(snapshots[i])) for rule, snapshots in rules.items()}
            yield name, EndpointState(heard_s, place, minute, cells, episodes, kept_by_rules)

    def restore(self, position: RequestPosition, states: Mapping[str, EndpointState]) -> None:
        """Become the fold that these were taken from. Called once, when new."""
        position.watermark.lateness_s = self.watermark.lateness_s
        self.watermark, self._marks = position.watermark, position.marks
        living = sorted((name, state) for name, state in states.items() if state.place > self._marks.forgotten)
        numbers = self._number([name for name, _ in living])
        self._gone = states.keys() - self._numbers.keys()  # a worker that woke up may have written them again
        self._ring.newest = self.watermark.newest_us // US
        self._ring.put(
            np.repeat(numbers, [len(state.cells) for _, state in living]),
            [cell for _, state in living for cell in state.cells],
        )
        rows = [(state.heard_s, state.place, False, state.minute) for _, state in living]
        self._table.put(numbers, np.array(rows, dtype=ROW))
        for number, (name, state) in enumerate(living):
            for kind in state.episodes.keys() & self._rules.keys():  # a rule that is gone takes its episodes with it
                self._episodes[kind].open[name] = state.episodes[kind]
                self._heeded[kind].rows[number] = (False, 0)
        for kind, rule in self._rules.items():
            known = [number for number, (_, state) in enumerate(living) if kind in state.rules]
            rule.restore(numbers[known], [living[number][1].rules[kind] for number in known])
        self.reconfigure(self._config)
