"""The stages: records in, records out, and nothing depends on how a log was cut or where a worker took over."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import SETTINGS
from schemas.config import Config
from schemas.events import Why
from schemas.orders import Order, Verb, seal
from schemas.outputs import Finding, Rollup
from schemas.topics import (
    ALERTS,
    APPROVALS,
    BILLING,
    COMMANDS,
    DEAD_LETTERS,
    FINDINGS,
    INPUTS,
    REQUESTS,
    RESULTS,
    ROLLUPS,
    SCALING,
)
from schemas.units import rfc3339
from streams import configuration
from streams.lines import Line
from streams.metrics import Metrics
from streams.stage import Fact, Outgoing, Stage, StateFormatError
from streams.stages import STAGES, build_stage

T0: Final = 1_700_000_000
LOGGED_MS: Final = (T0 + 100_000) * 1000
SECONDS: Final = 1000
TOPICS: Final = (*INPUTS, ROLLUPS, FINDINGS, APPROVALS, RESULTS)
CONFIG: Final = """
mode: auto
defaults: {expected_max: 4, price_usd_per_hour: 2.0}
budgets:
  all: {daily_usd: 480, endpoints: ["*"]}
  bert: {daily_usd: 48, endpoints: ["acme/bert"]}
safety: {max_evidence_age: 2d, cooldown: 30s}
"""


class Log(dict[str, list[Line]]):
    """Topic -> its records. Too long to be shown when an example fails."""

    def __repr__(self) -> str:
        return "log"


def record(offset: int, key: str, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> Line:
    return Line(offset, LOGGED_MS, value, key.encode(), tuple(headers))


def event(offset: int, endpoint: str, **fields: Any) -> Line:
    return record(offset, endpoint, json.dumps({"endpoint": endpoint, **fields}).encode())


def load(folder: Path, text: str = CONFIG) -> Config:
    file = folder / "tidegate.yaml"
    file.write_text(text)
    return configuration.load(file, SETTINGS, {})


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load(tmp_path_factory.mktemp("stages"))


def requests() -> list[Line]:
    """Two endpoints a second, a surge of one of them that it does not bear well, some late and some bad."""
    rng = random.Random(1)  # noqa: S311 -- no secret
    lines: list[Line] = []
    for second in range(SECONDS):
        for name, usual in (("acme/bert", 3), ("acme/llama", 20)):
            count = usual * 15 if name == "acme/bert" and 800 <= second < 830 else usual + rng.randint(0, 1)
            at = T0 + second + rng.random() - rng.choice((0, 0, 0, 3, 30))
            hard = {"status": 503, "duration_s": 1.5, "queue_depth": 30} if count > usual + 1 else {"duration_s": 0.2}
            lines.append(event(len(lines), name, time=at, count=count, **hard))
        if second % 50 == 0:
            lines.append(event(len(lines), "acme/bert", time=LOGGED_MS / 1000 + 301))
            lines.append(record(len(lines), "acme/bert", rng.choice((b"", b"{", b"[]"))))
    return lines


def scaling() -> list[Line]:
    """Replicas every five seconds, and a runaway."""
    rows = [
        (name, second, 40 if name == "acme/bert" and 500 <= second < 700 else 2)
        for second in range(0, SECONDS, 5)
        for name in ("acme/bert", "acme/llama")
    ]
    return [
        event(i, name, time=T0 + second, ready_replicas=n, target_replicas=n)
        for i, (name, second, n) in enumerate(rows)
    ]


def billing() -> list[Line]:
    """Ten bills of ten minutes, a credit, and a line that comes twice."""
    costs = [1.25, 0.1, 30.0, 2.5, 0.1, 0.2, 0.3, -2.0, 1.0, 1.0]
    return [
        event(i, "acme/bert", period_start=T0 + 60 * i, period_end=T0 + 60 * i + 600, cost_usd=cost,
              line_id=f"line-{min(i, 8)}")
        for i, cost in enumerate(costs)
    ]  # fmt: skip


def approvals() -> list[Line]:
    """Pauses that are passed on, one that is too old to be, and what nobody can read."""
    times = [LOGGED_MS * 1000 - 1000 * number for number in range(20)] + [0]
    orders = [seal(Order(id="0" * 32, verb=Verb.PAUSE, who="alice", why="a test", at=rfc3339(us))) for us in times]
    lines = [record(i, "tidegate", msgspec.json.encode(order)) for i, order in enumerate(orders)]
    return [*lines, record(len(lines), "tidegate", b"{")]


def results() -> list[Line]:
    """Failures, which are passed on, steps that are not, and what nobody can read."""
    lines = [
        event(i, "acme/bert", id="0" * 32, command_id="1" * 32, state=state, refusal=None, action="throttle",
              executor="hf", at="2026-11-22T10:00:00Z")
        for i, state in enumerate(["applying", "failed"] * 10)
    ]  # fmt: skip
    return [*lines, record(len(lines), "tidegate", b"[]")]


def pieces(lines: Sequence[Line], cuts: Sequence[int]) -> list[Sequence[Line]]:
    """The log, cut at these places."""
    edges = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    return [lines[start:end] for start, end in pairwise(edges) if end > start]


def applied(stage: Stage, lines: Sequence[Line], cuts: Sequence[int] = ()) -> list[Outgoing]:
    """What comes of the records, given piece by piece."""
    return [out for piece in pieces(lines, cuts) for out in stage.apply(piece).outgoing]


def by_topic(outgoing: Sequence[Outgoing]) -> dict[str, list[Outgoing]]:
    """What Kafka keeps in order: the records of one topic."""
    return {topic: [out for out in outgoing if out.topic == topic] for topic in {out.topic for out in outgoing}}


@pytest.fixture(scope="module")
def log(config: Config) -> Log:
    """What each stage reads, made by the stages before it."""
    found = Log({REQUESTS: requests(), SCALING: scaling(), BILLING: billing(), ROLLUPS: [], FINDINGS: []})
    found |= {APPROVALS: approvals(), RESULTS: results()}
    for topic in (*INPUTS, ROLLUPS):
        for out in applied(build_stage(topic, 0, config), found[topic]):
            if out.topic in (ROLLUPS, FINDINGS):
                following = found[out.topic]
                following.append(Line(len(following), LOGGED_MS, out.value, out.key))
    return found


def writes(topic: str) -> set[str]:
    """Where a stage may write."""
    return {
        REQUESTS: {FINDINGS, ROLLUPS, REQUESTS + DEAD_LETTERS},
        SCALING: {FINDINGS, ROLLUPS, SCALING + DEAD_LETTERS},
        BILLING: {ROLLUPS, BILLING + DEAD_LETTERS},
        ROLLUPS: {FINDINGS, ROLLUPS + DEAD_LETTERS},
        FINDINGS: {COMMANDS, ALERTS, FINDINGS + DEAD_LETTERS},
        APPROVALS: {FINDINGS, RESULTS, APPROVALS + DEAD_LETTERS},
        RESULTS: {FINDINGS, RESULTS + DEAD_LETTERS},
    }[topic]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_stage_has_something_to_say_in_its_own_topics(config: Config, log: Log, topic: str) -> None:
    """The log of these tests is worth something, and no stage writes where it should not."""
    out = {outgoing.topic for outgoing in applied(build_stage(topic, 0, config), log[topic])}
    assert out
    assert out <= writes(topic)


@settings(max_examples=15)
@given(topic=st.sampled_from(TOPICS), cuts=st.lists(st.integers(0, 2100), max_size=40))
def test_where_batches_end_changes_nothing(config: Config, log: Log, topic: str, cuts: list[int]) -> None:
    """The same records in the same order, and the same state after them."""
    whole, cut = build_stage(topic, 0, config), build_stage(topic, 0, config)
    assert by_topic(applied(cut, log[topic], cuts)) == by_topic(applied(whole, log[topic]))
    assert cut.position() == whole.position()
    assert sorted(cut.changed()) == sorted(whole.changed())


@settings(max_examples=15)
@given(topic=st.sampled_from(TOPICS), cuts=st.lists(st.integers(0, 2100), min_size=1, max_size=4))
def test_a_successor_goes_on_as_if_nothing_had_happened(config: Config, log: Log, topic: str, cuts: list[int]) -> None:
    """Position and the newest fact of each subject are all that it needs."""
    stage, facts = build_stage(topic, 0, config), dict[bytes, bytes]()
    out: list[Outgoing] = []
    for piece in pieces(log[topic], cuts):
        out += stage.apply(piece).outgoing
        position = stage.position()
        facts.update((subject, state) for subject, state in stage.changed() if state is not None)
        stage = build_stage(topic, 0, config)
        stage.restore(position, [Fact(subject, state) for subject, state in facts.items()])
    assert by_topic(out) == by_topic(applied(build_stage(topic, 0, config), log[topic]))


@pytest.mark.parametrize("topic", TOPICS)
def test_every_record_is_counted_once(config: Config, log: Log, topic: str) -> None:
    """By what became of it, in labels that the metrics know."""
    metrics, stage, total = Metrics(), build_stage(topic, 0, config), 0
    for start in range(0, len(log[topic]), 100):
        counts = stage.apply(log[topic][start : start + 100]).counts
        metrics.count(topic, counts)
        total += sum(count for (name, *_), count in counts.items() if name == "events")
    assert total == len(log[topic])


@pytest.mark.parametrize("topic", TOPICS)
def test_what_cannot_be_read_becomes_a_dead_letter_as_it_came(config: Config, topic: str) -> None:
    """Key, bytes and headers, and after these why and from where."""
    headers = (("trace", b"\x00\xff"), ("empty", None))
    (out,) = build_stage(topic, 3, config).apply([record(77, "acme/bert", b"\xff{", headers)]).outgoing
    assert out[:3] == (topic + DEAD_LETTERS, b"acme/bert", b"\xff{")
    assert out.headers[:2] == headers
    why = dict(out.headers[2:])
    assert why.pop("error.message")
    assert why == {
        "error.type": Why.MALFORMED.encode(),
        "source.topic": topic.encode(),
        "source.partition": b"3",
        "source.offset": b"77",
    }


def test_an_event_must_have_its_endpoint_as_its_key(config: Config) -> None:
    """Else its partition would not be that of its endpoint."""
    line = structs.replace(event(0, "acme/bert", time=T0), key=b"acme/llama")
    applied_once = build_stage(REQUESTS, 0, config).apply([line])
    assert applied_once.counts == {("events", Why.KEY): 1}


@pytest.mark.parametrize("topic", [REQUESTS, SCALING, ROLLUPS])
def test_roll_ups_read_twice_and_findings_written_twice_are_the_same(config: Config, log: Log, topic: str) -> None:
    """A stage that folds its log again writes the same bytes again: ids are made of content."""
    first = applied(build_stage(topic, 0, config), log[topic])
    assert applied(build_stage(topic, 0, config), log[topic]) == first
    ids = [msgspec.json.decode(out.value or b"", type=Finding).id for out in first if out.topic == FINDINGS]
    assert len(ids) == len(set(ids))


def test_a_budget_counts_a_roll_up_once(config: Config, log: Log) -> None:
    """A worker that died had its roll-ups written again: every one twice decides nothing else."""
    once = build_stage(ROLLUPS, 0, config)
    twice = build_stage(ROLLUPS, 0, config)
    doubled = [line for line in log[ROLLUPS] for _ in range(2)]
    assert applied(twice, doubled) == applied(once, log[ROLLUPS])


def test_a_finding_is_acted_on_once(config: Config, log: Log) -> None:
    """However often it was written."""
    doubled = [line for line in log[FINDINGS] for _ in range(2)]
    once = applied(build_stage(FINDINGS, 0, config), log[FINDINGS])
    assert applied(build_stage(FINDINGS, 0, config), doubled) == once


@pytest.mark.parametrize("topic", TOPICS)
def test_a_snapshot_of_another_version_is_refused(config: Config, topic: str) -> None:
    """It must not be guessed."""
    with pytest.raises((StateFormatError, msgspec.DecodeError)):
        build_stage(topic, 0, config).restore(b"\xc1", [])


@pytest.mark.parametrize("topic", TOPICS)
def test_a_new_configuration_holds_from_the_next_record_on(
    config: Config, log: Log, topic: str, tmp_path: Path
) -> None:
    """What is decided after it bears its version."""
    stage, half = build_stage(topic, 0, config), len(log[topic]) // 2
    stage.apply(log[topic][:half])
    newer = load(tmp_path, CONFIG + "rules: {request_surge: {ratio: 6}}\n")
    stage.reconfigure(newer)
    after = stage.apply(log[topic][half:]).outgoing
    versions = {msgspec.json.decode(out.value or b"")["config_version"] for out in after if out.topic == FINDINGS}
    assert versions <= {newer.version}


@pytest.mark.parametrize("topic", TOPICS)
def test_the_lag_is_measured_from_the_newest_event(config: Config, log: Log, topic: str) -> None:
    """Before the first one there is none."""
    stage = build_stage(topic, 0, config)
    assert stage.event_time_us is None
    stage.apply(log[topic])
    assert stage.event_time_us is not None
    assert T0 * 1_000_000 < stage.event_time_us <= LOGGED_MS * 1000


def test_the_clock_only_speaks_of_what_is_overdue(config: Config, log: Log) -> None:
    """A tick writes at most one finding, into the log of findings, and changes no state."""
    stage = build_stage(FINDINGS, 0, config)
    stage.apply(log[FINDINGS][:1])
    before = stage.position()
    (told,) = stage.tick((T0 + SECONDS + 10_000) * 1_000_000, -1)
    assert told.topic == FINDINGS
    assert msgspec.json.decode(told.value or b"")["evidence"] == {"clock": "wall"}
    assert stage.tick(T0 * 1_000_000, -1) == []
    assert stage.position() == before
    assert all(build_stage(topic, 0, config).tick(LOGGED_MS * 1000, -1) == [] for topic in STAGES)


@pytest.mark.parametrize("topic", INPUTS)
def test_a_stage_says_until_when_it_has_read_its_input(config: Config, log: Log, topic: str) -> None:
    """To each budget, once a minute of the wall clock; it changes no state, and nobody else has to say so."""
    stage = build_stage(topic, 0, config)
    stage.apply(log[topic])
    before, now_us = stage.position(), LOGGED_MS * 1000
    told, other = stage.tick(now_us, now_us - 5)
    assert (told.key, other.key) == (b"all", b"bert")
    mark = msgspec.json.decode(told.value or b"", type=Rollup)
    assert (told.topic, mark.budget, mark.source, mark.partition) == (ROLLUPS, "all", f"clock/{topic}", 0)
    assert (mark.time_us, mark.heard_us is not None) == (now_us - 1_000_000, topic == REQUESTS)
    assert stage.tick(now_us + 59_000_000, now_us + 59_000_000 - 6) == []
    assert len(stage.tick(now_us + 60_000_000, now_us + 60_000_000)) == 2
    assert stage.position() == before


def test_there_is_a_stage_for_every_topic_that_the_worker_reads() -> None:
    """The worker and the stages agree on their names."""
    assert set(STAGES) == set(TOPICS)
