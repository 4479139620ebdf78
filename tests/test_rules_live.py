"""The rules' own scenarios once more, through Kafka and a real worker: it finds what `tidegate test rules` finds.

Every test of every file is a partition of its own of each input, with endpoints and budgets of its own: one worker
plays them all, at least those whose files agree on everything else in the configuration.

Left out are tests with `until`: they move a clock that in the worker is the wall's, and so are findings that say
`"clock": "wall"`. All of `telemetry_gap` do, so its file is, too: `tests/test_telemetry_gap.py` plays it live.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from msgspec import structs
from ruamel.yaml import YAML

from detectors import RULES, SETTINGS
from detectors.rule import BudgetRule, FleetRule
from detectors.rules.telemetry_gap import TelemetryGap
from schemas.outputs import Finding
from schemas.topics import FINDINGS, INPUTS, ROLLUPS
from streams import configuration, topics
from streams.core_stage import encode
from streams.rule_tests.format import RuleTest
from streams.rule_tests.logs import logs
from streams.rule_tests.reading import read
from streams.rule_tests.run import play
from streams.stages import build_stage
from tests.running import TIDEGATE, WAIT_S, Job, Program, Starter, producer, read_all, read_many, until
from tests.test_rules import FILES

NOT_FOR_FINDINGS: Final = ("mode", "actions", "overflow", "safety", "receivers")
COUNTED: Final = re.compile(r'^tidegate_events_total\{.*topic="(.+)"\} (\S+)$', re.MULTILINE)
Shape = dict[str, Any]


class Case(NamedTuple):
    """A test, with names of its own; `joined`: whether its events lie in several topics."""

    test: RuleTest
    joined: bool

    @classmethod
    def of(cls, test: RuleTest, mark: str) -> Case:
        kinds = ("requests", "scaling", "billing", "events")
        entries = {
            kind: tuple(structs.replace(entry, endpoint=entry.endpoint + mark) for entry in getattr(test, kind))
            for kind in kinds
        }
        return cls(structs.replace(test, **entries), len(logs(test)) > 1)


class Play(NamedTuple):
    """What one worker plays: case i is partition i."""

    config: Shape
    cases: list[Case]


def plays() -> list[Play]:
    """All tests of all files, by what their configurations have in common."""
    groups: dict[str, list[tuple[RuleTest, Shape]]] = defaultdict(list)
    for file in (file for file in FILES if file.stem != TelemetryGap.rule):
        shape = dict(YAML(typ="safe").load(file).get("config") or {})
        names = {key: shape.pop(key, None) for key in ("endpoints", "budgets", "schedules")}
        common = json.dumps({key: value for key, value in shape.items() if key not in NOT_FOR_FINDINGS})
        groups[common] += [(test, names) for test in read(str(file), {}).tests if test.until is None]
    return [merged(json.loads(common), tests) for common, tests in sorted(groups.items()) if tests]


def merged(common: Shape, tests: Iterable[tuple[RuleTest, Shape]]) -> Play:
    config: Shape = {**common, "endpoints": {}, "budgets": {}, "schedules": []}
    cases = []
    for number, (test, names) in enumerate(tests):
        mark = f"#{number}"
        cases.append(Case.of(test, mark))
        config["endpoints"] |= {name + mark: value for name, value in (names["endpoints"] or {}).items()}
        config["budgets"] |= {name + mark: marked(value, mark) for name, value in (names["budgets"] or {}).items()}
        config["schedules"] += [marked(value, mark) for value in names["schedules"] or ()]
    return Play(config, cases)


def marked(value: Shape, mark: str) -> Shape:
    """A budget or a schedule whose patterns match the endpoints with the mark, and no others."""
    return {**value, "endpoints": [pattern + mark for pattern in value.get("endpoints", ["*"])]}


def job_of(play: Play, kafka: str, prefix: str, folder: Path) -> Job:
    connection = {
        "bootstrap_servers": kafka,
        "topic_prefix": prefix,
        "group": f"{prefix}group",
        "session_timeout": "6s",
        "checkpoint_every": "500ms",
    }
    file = folder / "tidegate.yaml"
    file.write_text(json.dumps({**play.config, "kafka": connection, "http": {"port": 0}}))
    return Job(file, configuration.load(file, SETTINGS, {}))


PLAYS: Final = plays()


# -- what is to be found --------------------------------------------------------------------------------------------


class Said(NamedTuple):
    """Findings, as they travel: of rules that read an input itself, and of those that read roll-ups."""

    of_inputs: Counter[bytes]
    of_rollups: Counter[bytes]


def said(values: Iterable[bytes]) -> Said:
    """Apart from those that the wall clock called for."""
    found = Said(Counter(), Counter())
    for value in values:
        finding = msgspec.json.decode(value, type=Finding)
        if finding.evidence.get("clock") != "wall":
            reads_rollups = issubclass(RULES[finding.rule], (BudgetRule, FleetRule))
            (found.of_rollups if reads_rollups else found.of_inputs)[value] += 1
    return found


def in_process(job: Job, case: Case) -> list[bytes]:
    """What `tidegate test rules` finds."""
    return [encode(value) for value in play(case.test, job.config).values if isinstance(value, Finding)]


def surely(cases: Iterable[Case], values: Iterable[list[bytes]]) -> Iterable[list[bytes]]:
    """Without those that depend on how the roll-ups of several topics come to lie in the log."""
    return (found for case, found in zip(cases, values, strict=True) if not case.joined)


async def live(job: Job) -> Said:
    """What the worker wrote."""
    return said(record.value for record in await read_all(job.config.kafka, FINDINGS, 0))


async def of_rollups(job: Job, partitions: int) -> Said:
    """What the budget stage makes of the roll-ups in the order in which they lie in the log."""
    logs_of = await read_many(job.config.kafka, ROLLUPS, range(partitions))
    applied = [build_stage(ROLLUPS, number, job.config).apply(log) for number, log in logs_of.items()]
    return said(out.value or b"" for one in applied for out in one.outgoing)


# -- the worker -----------------------------------------------------------------------------------------------------


async def send(job: Job, cases: Iterable[Case]) -> int:
    """Each case into its own partition; how many events that is."""
    sent = 0
    async with producer(job) as made:
        for number, case in enumerate(cases):
            for topic, log in logs(case.test).items():
                name = job.config.kafka.topic_prefix + topic
                for line in log:
                    await made.send(name, line.value, line.key, partition=number)
                sent += len(log)
        await made.flush()
    return sent


class Counts:
    """How many events the worker has folded, by topic."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    async def folded(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for topic, number in COUNTED.findall(await self._text()):
            found[topic] += int(float(number))
        return found

    async def _text(self) -> str:
        def fetched() -> str:
            with urllib.request.urlopen(self._url, timeout=WAIT_S) as answer:  # noqa: S310 -- the worker's own
                return str(answer.read().decode())

        return await asyncio.to_thread(fetched)


async def rollups_written(job: Job, partitions: int) -> int:
    return sum(map(len, (await read_many(job.config.kafka, ROLLUPS, range(partitions))).values()))


async def play_live(job: Job, cases: list[Case], worker: Program) -> list[list[bytes]]:
    """Let the worker fold everything, and end. Meanwhile find, case by case, what it is to find."""
    counts = Counts(msgspec.json.decode(await worker.until('"listening"'))["port"])
    await worker.until('"assigned"')
    sent = await send(job, cases)
    expected = [in_process(job, case) for case in cases]

    async def all_read() -> bool:
        return sum(number for topic, number in (await counts.folded()).items() if topic in INPUTS) >= sent

    async def all_rollups_read() -> bool:
        return (await counts.folded())[ROLLUPS] >= await rollups_written(job, len(cases))

    await until(all_read)
    await until(all_rollups_read)
    assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
    return expected


@pytest.mark.kafka
@pytest.mark.parametrize("number", range(len(PLAYS)))
def test_a_worker_finds_what_a_test_of_rules_finds(
    number: int, kafka: str, topic_prefix: str, start_program: Starter, tmp_path: Path
) -> None:
    """Byte for byte; what is joined from several topics, as their roll-ups happen to lie in the log."""
    cases = PLAYS[number].cases
    job = job_of(PLAYS[number], kafka, topic_prefix, tmp_path)

    async def scenario() -> None:
        await topics.declare(job.config, partitions=len(cases))
        values = await play_live(job, cases, start_program(*TIDEGATE, "run", "--config", str(job.file)))
        expected, sure = said(chain(*values)), said(chain(*surely(cases, values)))
        assert expected.of_inputs or expected.of_rollups
        found = await live(job)
        assert found.of_inputs == expected.of_inputs
        assert found.of_rollups == (await of_rollups(job, len(cases))).of_rollups
        assert sure.of_rollups <= found.of_rollups

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))
