"""Logs for the tests of whole stages, and a shell that cuts, restarts and repeats as the real one may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

import orjson
from msgspec import structs

from detectors import SETTINGS
from schemas.config import Budget, Config, Endpoint, Input, RuleSettings, Seconds
from schemas.outputs import Finding, Rollup
from schemas.topics import REQUESTS, SCALING, Record, clock_of
from schemas.units import US
from streams.configuration import defaults
from streams.core_stage import Folded, encode
from streams.stage import Fact, Outgoing, Stage
from streams.stages import build_stage

START_S: Final = 1_795_341_600  # a full hour, and far more than any lateness after the epoch
ENDPOINT: Final = "acme/bert"


class Entry(NamedTuple):
    """A record of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def entry(time_s: float, key: str, fields: Mapping[str, Any]) -> Entry:
    """A record that the log took when it happened; `numbered` gives it its place."""
    return Entry(0, round((START_S + time_s) * 1000), key.encode(), orjson.dumps(fields))


def request(time_s: float, count: int, endpoint: str = ENDPOINT, **fields: Any) -> Entry:
    return entry(time_s, endpoint, {"endpoint": endpoint, "time": START_S + time_s, "count": count} | fields)


def scaling(time_s: float, ready: int, target: int, endpoint: str = ENDPOINT, **told: Any) -> Entry:
    """`told`: what else the event says."""
    replicas = {"ready_replicas": ready, "target_replicas": target}
    return entry(time_s, endpoint, {"endpoint": endpoint, "time": START_S + time_s} | replicas | told)


def rollup(time_s: float, seq: int, replicas: int, endpoint: str = ENDPOINT, region: str | None = None) -> Entry:
    """What a budget hears of a scaling event."""
    time_us = round((START_S + time_s) * US)
    return told(Rollup("all", SCALING, 0, seq, time_us, endpoint=endpoint, replicas=replicas, region=region))


def requests(time_s: float, seq: int, counts: Mapping[str, int], partition: int = 0) -> Entry:
    """What a budget hears of the minute of requests that ends then."""
    several = {endpoint: (count, 0) for endpoint, count in counts.items()}
    return told(Rollup("all", REQUESTS, partition, seq, round((START_S + time_s) * US), requests=several))


def told(value: Rollup) -> Entry:
    """A roll-up as it lies in its log."""
    return Entry(0, value.time_us // 1000, value.budget.encode(), encode(value))


def counted(time_s: int, count: int, endpoint: str = ENDPOINT, partition: int = 0) -> Entry:
    """The roll-up of the minute that ends then."""
    return _rolled(time_s, REQUESTS, partition=partition, requests={endpoint: (count, 0)})


def scaled(time_s: int, replicas: int, endpoint: str = ENDPOINT) -> Entry:
    return _rolled(time_s, SCALING, endpoint=endpoint, replicas=replicas)


def marked(time_s: int, topic: str, partition: int = 0, heard_s: int | None = None) -> Entry:
    """The wall clock's word that a partition had been read to its end then."""
    heard_us = None if heard_s is None else (START_S + heard_s) * US
    return _rolled(time_s, clock_of(topic), partition=partition, heard_us=heard_us)


def _rolled(time_s: int, source: str, partition: int = 0, **told: Any) -> Entry:
    time_us = (START_S + time_s) * US
    value = Rollup("all", source, partition, START_S + time_s, time_us, **told)
    return Entry(0, time_us // 1000, b"all", encode(value))


def numbered(records: Sequence[Entry]) -> list[Entry]:
    """The records as a log: each has its offset."""
    return [record._replace(offset=offset) for offset, record in enumerate(records)]


def settings(lateness_s: int = 2, **rules: RuleSettings) -> Config:
    """Endpoints at a dollar an hour and replica, four of which are expected; a budget of ten dollars an hour."""
    config = defaults(SETTINGS)
    return structs.replace(
        config,
        input=Input(lateness=Seconds(lateness_s)),
        defaults=Endpoint(critical=False, expected_max=4, price_usd_per_hour=1.0, model="bert"),
        budgets={"all": Budget(daily_usd=240.0, endpoints=("acme/*",))},
        rules={**config.rules, **rules},
        version="test",
    )


class Folding(Stage, Protocol):
    """A stage whose values can be seen before they are encoded."""

    def fold(self, records: Sequence[Record]) -> Folded: ...


def stage_of(topic: str, config: Config) -> Folding:
    return cast(Folding, build_stage(topic, 0, config))


def findings(stage: Folding, records: Sequence[Entry]) -> list[Finding]:
    return [value for value in stage.fold(records).values if isinstance(value, Finding)]


def of_scaling(rule: str, log: Sequence[Entry], config: Config | None = None) -> list[Finding]:
    """What one rule says of scaling events in this order, all at once."""
    stage = stage_of(SCALING, settings() if config is None else config)
    return [finding for finding in findings(stage, numbered(log)) if finding.rule == rule]


def of_endpoint(config: Config, **known: Any) -> Config:
    """The configuration with something else known of all endpoints."""
    return structs.replace(config, defaults=structs.replace(config.defaults, **known))


class Cut(NamedTuple):
    """Where a batch ends, and what happens then."""

    end: int
    restart: bool = False
    twice: bool = False


class Shell:
    """Runs a stage as the worker does, and can lose it: then a new one begins with what was kept of it."""

    def __init__(self, topic: str, config: Config) -> None:
        self._topic, self._config = topic, config
        self.stage = stage_of(topic, config)
        self.facts: dict[bytes, bytes] = {}  # the newest of every subject; of a forgotten one its last, as zombies may
        self.out: list[Outgoing] = []

    def apply(self, records: Sequence[Entry]) -> None:
        self.out += self.stage.apply(records).outgoing

    def restart(self, config: Config | None = None) -> None:
        """The new one may have another configuration."""
        self._config = self._config if config is None else config
        self.facts.update((subject, state) for subject, state in self.stage.changed() if state is not None)
        position = self.stage.position()
        self.stage = stage_of(self._topic, self._config)
        self.stage.restore(position, [Fact(*fact) for fact in sorted(self.facts.items())])


def outputs(topic: str, config: Config, log: Sequence[Entry], ends: Sequence[Cut]) -> list[Outgoing]:
    """What comes of a log that is cut, and whose stage is restarted or given a batch twice, at `ends`."""
    return ran(topic, config, log, ends).out


def ran(topic: str, config: Config, log: Sequence[Entry], ends: Sequence[Cut]) -> Shell:
    """The shell after such a log."""
    shell = Shell(topic, config)
    start = 0
    for cut in [*sorted(ends), Cut(len(log))]:
        for _ in range(2 if cut.twice else 1):
            shell.apply(log[start : cut.end])
        if cut.restart:
            shell.restart()
        start = max(start, cut.end)
    return shell
