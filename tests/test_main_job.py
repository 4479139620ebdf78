"""The main job on a real Kafka, `tidegate run` in a process of its own: nothing lost, nothing twice, nothing else."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from detectors import RULES
from detectors.rule import BudgetRule, FleetRule
from schemas.topics import (
    ALERTS,
    BILLING,
    COMMANDS,
    DEAD_LETTERS,
    FINDINGS,
    INPUTS,
    REQUESTS,
    ROLLUPS,
    SCALING,
    is_clock,
)
from schemas.units import US, to_us
from streams import topics
from streams.simulator import BACKFILL, Fleet, draw_profiles
from streams.stages import build_stage
from tests.running import TIDEGATE, WAIT_S, Headers, Job, Message, Program, Starter, read_all, until, write

SEED: Final = 7
ENDPOINTS: Final = 12
HISTORY_S: Final = 900  # the normals are warm after 600
CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", group: "{prefix}group",
         session_timeout: 6s, checkpoint_every: 500ms}}
http: {{port: 0}}
mode: auto
defaults: {{expected_max: 10, price_usd_per_hour: 2.0}}
budgets:
  all: {{daily_usd: 600, endpoints: ["*"]}}
  half: {{daily_usd: 300, endpoints: ["*[02468]"]}}
safety: {{cooldown: 30s, max_evidence_age: 2h, max_actions_per_hour: 1000}}
"""

Contents = dict[str, set[bytes]]  # id -> every content it was ever written with


@pytest.fixture
def start(start_program: Starter) -> Callable[[Job], Program]:
    """Starts `tidegate run`."""
    return lambda job: start_program(*TIDEGATE, "run", "--config", str(job.file))


@pytest.fixture
def job(kafka: str, topic_prefix: str, tmp_path: Path) -> Job:
    return Job.of(CONFIG, kafka, topic_prefix, tmp_path)


def incidents() -> list[Message]:
    """A quarter of an hour of a fleet that ends now, with a surge and a runaway in its last two minutes."""
    start_us = (int(time.time()) - HISTORY_S) * US
    profiles = draw_profiles(SEED, ENDPOINTS)
    fleet = Fleet(profiles, SEED, start_us)
    busy = max(profiles, key=lambda profile: profile.normal_rps).name
    other = next(profile.name for profile in profiles if profile.name != busy)
    events = list(fleet.advance(start_us + 780 * US, BACKFILL))
    fleet.load(busy, 12.0)
    fleet.want(other, 40)
    events += fleet.advance(start_us + 820 * US, BACKFILL)
    fleet.load(busy, 1.0)
    fleet.want(other, None)
    events += fleet.advance(start_us + HISTORY_S * US, BACKFILL)
    events += [fleet.bill(other, start_us, start_us + 600 * US, share=200.0)]
    return [Message(event.topic, event.key, event.value) for event in events]


def random_sizes(most: int) -> Iterator[int]:
    rng = random.Random(SEED)  # noqa: S311 -- no secret
    while True:
        yield rng.randint(1, most)


def of_rule(values: Iterable[bytes], rule: str) -> list[bytes]:
    """The findings of a rule; commands have a rule, too, and no opening."""
    decoded = ((msgspec.json.decode(value), value) for value in values)
    return [value for fields, value in decoded if fields["rule"] == rule and "opened_at" in fields]


# -- the same as replay ---------------------------------------------------------------------------------------------


def replayed(job: Job, messages: Sequence[Message]) -> list[bytes]:
    """What `tidegate replay` says of the same log."""
    command = [*TIDEGATE, "replay", "--output", "json", "--config", str(job.file)]
    for topic, option in ((REQUESTS, "--requests"), (SCALING, "--scaling")):
        file = job.file.with_name(f"{topic}.ndjson")
        file.write_bytes(b"".join((m.value or b"") + b"\n" for m in messages if m.topic == topic))
        command += [option, str(file)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=True).stdout.splitlines()


@pytest.mark.kafka
def test_the_worker_finds_what_replay_finds_byte_for_byte(job: Job, start: Callable[[Job], Program]) -> None:
    """One partition of a topic, cut into batches at random: the same findings in the same order."""
    messages = incidents()
    expected = replayed(job, messages)
    wanted = {rule: of_rule(expected, rule) for rule in ("request_surge", "runaway_replicas")}
    assert all(len(values) >= 2 for values in wanted.values()), "no incident in the log"

    async def found() -> dict[str, list[bytes]]:
        values = [record.value for record in await read_all(job.config.kafka, FINDINGS, 0)]
        return {rule: of_rule(values, rule) for rule in wanted}

    async def all_there() -> bool:
        return {rule: len(values) for rule, values in (await found()).items()} == {
            rule: len(values) for rule, values in wanted.items()
        }

    async def scenario() -> None:
        await topics.declare(job.config, partitions=1)
        worker = start(job)
        await worker.until('"assigned"')
        await write(job, messages, random_sizes(3000))
        await until(all_there)
        assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
        assert await found() == wanted

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


# -- reload ---------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_a_new_configuration_is_taken_in_mid_stream_and_a_broken_one_is_not(
    job: Job, start: Callable[[Job], Program]
) -> None:
    """On SIGHUP: a surge that the old ratio would have let pass is found, and says which configuration found it."""
    messages = incidents()
    surge_us = (int(time.time()) - HISTORY_S + 700) * US  # the first 700 s or so are history
    history = [m for m in messages if m.topic == REQUESTS and time_us(m) < surge_us]
    rest = [m for m in messages if m.topic == REQUESTS and time_us(m) >= surge_us]
    good, lax = job.file.read_text(), "rules: {request_surge: {ratio: 1000}}\n"
    job.file.write_text(good + lax)

    async def surges() -> list[bytes]:
        return of_rule([record.value for record in await read_all(job.config.kafka, FINDINGS, 0)], "request_surge")

    async def scenario() -> None:
        await topics.declare(job.config, partitions=1)
        worker = start(job)
        port = msgspec.json.decode(await worker.until('"listening"'))["port"]
        url = f"http://127.0.0.1:{port}/metrics"
        await worker.until('"assigned"')

        async def reloaded(text: str, outcome: str) -> None:
            job.file.write_text(text)
            worker.process.send_signal(signal.SIGHUP)
            await until(lambda: serves(url, f'tidegate_reloads_total{{outcome="{outcome}"}} 1.0'))

        async def all_read(count: int) -> None:
            async def read() -> bool:
                return (await asyncio.to_thread(counted, url)).total() >= count

            await until(read)

        await write(job, history, random_sizes(3000))
        await all_read(len(history))
        await reloaded(good, "taken")
        await reloaded(good + "rules: {request_surge: {ratio: many}}\n", "kept")
        await write(job, rest, random_sizes(3000))
        await all_read(len(messages_of(messages, REQUESTS)))
        await until(surges)
        assert {msgspec.json.decode(value)["config_version"] for value in await surges()} == {job.config.version}
        assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


def time_us(message: Message) -> int:
    """When a request was made."""
    return to_us(msgspec.json.decode(message.value or b"")["time"])


def messages_of(messages: Iterable[Message], topic: str) -> list[Message]:
    return [message for message in messages if message.topic == topic]


async def serves(url: str, line: str) -> bool:
    """Whether the worker's metrics have the line."""

    def fetched() -> str:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 -- the worker's own
            return str(answer.read().decode())

    return line in (await asyncio.to_thread(fetched)).splitlines()


# -- malformed messages ---------------------------------------------------------------------------------------------

GOOD: Final = 100_000
BAD: Final = 10_000
LARGE: Final = 20


def good(now_s: int) -> list[Message]:
    """Requests of a hundred endpoints, in the order of their times."""
    return [
        Message(REQUESTS, key, b'{"endpoint":"%s","time":%.3f,"duration_s":0.2}' % (key, now_s - 600 + n / 200))
        for n in range(GOOD)
        for key in (b"acme/%d" % (n % 100),)
    ]


def kinds_of_bad(now_s: int) -> list[tuple[bytes | None, Headers]]:
    """Values and headers that no event can be read from."""
    ce: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/gateway"), ("ce_type", b"request"))
    structured: Headers = (("content-type", b"application/cloudevents+json"),)
    fine = b'{"endpoint":"acme/1","time":%d}' % now_s
    values = [
        None, b"", b" ", b"null", b"[]", b"1", b'"text"', b"{}", b"not json", b'{"endpoint":"acme/1","time":', b"\x00",
        fine + fine, fine + b",", b'{"endpoint":"acme/1","time":NaN}', b'{"endpoint":"acme/1","time":Infinity}',
        b'{"endpoint":"acme/1","time":1e999}', b'{"endpoint":"acme/1","time":%s}' % (b"9" * 400),
        b'{"endpoint":"acme/1"}', b'{"time":%d}' % now_s, b'{"endpoint":1,"time":%d}' % now_s,
        b'{"endpoint":"","time":%d}' % now_s, b'{"endpoint":"%s","time":%d}' % (b"x" * 300, now_s),
        b'{"endpoint":"acme/1","time":"yesterday"}', b'{"endpoint":"acme/1","time":"2026-01-01T00:00:00"}',
        b'{"endpoint":"acme/1","time":-1}', b'{"endpoint":"acme/1","time":%d,"count":-1}' % now_s,
        b'{"endpoint":"acme/1","time":%d,"count":1e18}' % now_s, b'{"endpoint":"acme/1","time":%d,"count":1.5}' % now_s,
        b'{"endpoint":"acme/1","time":%d,"status":"200"}' % now_s, b'{"endpoint":"acme/\xff","time":%d}' % now_s,
        b"\xff\xfe\x00", b"[" * 5000, b'{"a":' * 5000, b'{"endpoint":"acme/1","time":%d}' % (now_s + 86_400),
        b'{"endpoint":"acme/1","time":"2999-01-01T00:00:00Z"}', b'{"endpoint":"another/key","time":%d}' % now_s,
    ]  # fmt: skip
    events: list[tuple[bytes, Headers]] = [
        (fine, (("ce_specversion", b"0.3"), *ce[1:])),
        (fine, ce[:2]),
        (b"not json", ce),
        (b'{"specversion":"1.0","id":"1","source":"/gateway","type":"request"}', structured),
        (b'{"specversion":"2.0","id":"1","source":"/gateway","type":"request","data":%s}' % fine, structured),
        (fine, (("content-type", b"application/cloudevents+avro"),)),
        (fine, structured),
    ]
    return [*((value, ()) for value in values), *events]


def bad(now_s: int) -> list[Message]:
    """Ten thousand of them, each to be told from all others by its key and headers, some very large."""
    kinds = kinds_of_bad(now_s)
    messages = [
        Message(REQUESTS, b"acme/1", value, (*headers, ("n", b"%d" % n)))
        for n in range(BAD - LARGE)
        for value, headers in (kinds[n % len(kinds)],)
    ]
    large = b'{"endpoint":"acme/1","time":"' + b"x" * 900_000
    return messages + [Message(REQUESTS, b"acme/1", large, (("n", b"large %d" % n),)) for n in range(LARGE)]


def mixed() -> list[Message]:
    """All of them in an order of chance that keeps the good ones' own."""
    now_s = int(time.time())
    rng = random.Random(SEED)  # noqa: S311 -- no secret
    ordered, strays = good(now_s), bad(now_s)
    rng.shuffle(strays)
    places = set(rng.sample(range(GOOD + BAD), BAD))
    pick = iter(strays), iter(ordered)
    return [next(pick[0] if i in places else pick[1]) for i in range(GOOD + BAD)]


def counted(url: str) -> Counter[str]:
    """The worker's own count of request events, by outcome."""
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 -- the worker's own
        text = answer.read().decode()
    found = re.findall(
        r'^tidegate_events_total\{outcome="(\w+)",topic="inference\.requests\.v1"\} (\S+)$', text, re.MULTILINE
    )
    return Counter({outcome: int(float(number)) for outcome, number in found})


async def check_letters(job: Job, strays: Sequence[Message]) -> None:
    """Each bad message is in the dead letters once, as it came, with its reason and its place in the log."""
    letters = await read_all(job.config.kafka, REQUESTS + DEAD_LETTERS, 0)
    sent = Counter(strays)
    found: Counter[Message] = Counter()
    for letter in letters:
        why = dict(letter.headers[-5:])
        assert list(why) == ["error.type", "error.message", "source.topic", "source.partition", "source.offset"]
        assert why["error.type"]
        assert why["error.message"]
        assert why["source.topic"] == REQUESTS.encode()
        found[Message(REQUESTS, letter.key, letter.value, tuple(letter.headers[:-5]))] += 1
    assert found == sent
    places = {(dict(letter.headers)["source.partition"], dict(letter.headers)["source.offset"]) for letter in letters}
    assert len(places) == len(letters)


@pytest.mark.kafka
def test_ten_thousand_malformed_messages_cost_only_themselves(job: Job, start: Callable[[Job], Program]) -> None:
    """Every bad one is a dead letter with its reason, every good one counts, and the worker lives."""
    messages = mixed()
    strays = [message for message in messages if message.headers]
    strays_only = [m for m in messages if m.headers or m.value in {v for v, _ in kinds_of_bad(0)}]
    assert len(strays) == len(strays_only) == BAD

    async def scenario() -> None:
        await topics.declare(job.config)
        worker = start(job)
        port = msgspec.json.decode(await worker.until('"listening"'))["port"]
        url = f"http://127.0.0.1:{port}/metrics"
        await worker.until('"assigned"')
        await write(job, messages, random_sizes(20_000))

        async def all_counted() -> bool:
            return (await asyncio.to_thread(counted, url)).total() >= GOOD + BAD

        await until(all_counted)
        counts = counted(url)
        assert counts["accepted"] == GOOD, counts
        assert counts.total() == GOOD + BAD, counts
        assert worker.signalled(signal.SIGTERM) == 0, worker.log.read_text()
        await check_letters(job, strays)

    asyncio.run(asyncio.wait_for(scenario(), 2 * WAIT_S))


# -- crashes and changes of the group -------------------------------------------------------------------------------

PARTITIONS: Final = 2
PAUSE_S: Final = 0.05  # so that what happens to workers happens in mid-stream


class Pipeline(NamedTuple):
    """What was written of each kind, by what identifies it: every content it was ever written with."""

    rollups: Contents
    endpoint: Contents
    budget: Contents
    actions: Contents


def contents(values: Iterable[tuple[str, bytes]]) -> Contents:
    found: Contents = defaultdict(set)
    for identity, value in values:
        found[identity].add(value)
    return dict(found)


def by_id(values: Iterable[bytes]) -> Contents:
    return contents((msgspec.json.decode(value)["id"], value) for value in values)


def by_place(values: Iterable[bytes]) -> Contents:
    """Roll-ups have no id: source, partition and sequence, within a budget, name one."""
    rows = ((msgspec.json.decode(value), value) for value in values)
    return contents((f"{r['budget']} {r['source']} {r['partition']} {r['seq']}", value) for r, value in rows)


class Logs(NamedTuple):
    """Every record of every topic of the pipeline, by topic and partition."""

    records: dict[tuple[str, int], list[Any]]

    def values(self, topic: str) -> list[bytes]:
        return [r.value for (name, _), records in self.records.items() if name == topic for r in records]

    def folded(self, job: Job, *sources: str) -> dict[str, list[bytes]]:
        """Topic -> what undisturbed stages make of the partitions of these topics, one stage each."""
        made: dict[str, list[bytes]] = defaultdict(list)
        for (topic, number), records in self.records.items():
            if topic in sources:
                for out in build_stage(topic, number, job.config).apply(records).outgoing:
                    made[out.topic].append(out.value or b"")
        return made


async def logs(job: Job) -> Logs:
    many = [(topic, n) for topic in (*INPUTS, ROLLUPS, COMMANDS) for n in range(PARTITIONS)]
    wanted = [*many, *((topic, 0) for topic in (FINDINGS, ALERTS))]
    return Logs(
        dict(zip(wanted, await asyncio.gather(*[read_all(job.config.kafka, *place) for place in wanted]), strict=True))
    )


def is_of_budget(value: bytes) -> bool:
    return issubclass(RULES[msgspec.json.decode(value)["rule"]], (BudgetRule, FleetRule))


def is_of_clock(value: bytes) -> bool:
    """Whether the wall clock alone accounts for a roll-up."""
    return is_clock(msgspec.json.decode(value)["source"])


def written(found: Logs) -> Pipeline:
    """What the workers wrote."""
    findings = found.values(FINDINGS)
    return Pipeline(
        by_place(value for value in found.values(ROLLUPS) if not is_of_clock(value)),
        by_id(value for value in findings if not is_of_budget(value)),
        by_id(value for value in findings if is_of_budget(value)),
        by_id([*found.values(COMMANDS), *found.values(ALERTS)]),
    )


def undisturbed(job: Job, found: Logs) -> Pipeline:
    """What stages that nobody disturbed make of the logs that the workers read."""
    of_inputs, of_findings = found.folded(job, *INPUTS), found.folded(job, FINDINGS)
    return Pipeline(
        by_place(of_inputs[ROLLUPS]),
        by_id(of_inputs[FINDINGS]),
        by_id(found.folded(job, ROLLUPS)[FINDINGS]),
        by_id([*of_findings[COMMANDS], *of_findings[ALERTS]]),
    )


@pytest.mark.kafka
def test_kill_9_a_join_and_a_leave_change_no_output(job: Job, start: Callable[[Job], Program]) -> None:
    """Roll-ups, findings, commands and alerts, by id, are those of undisturbed folds; no id has two contents."""
    messages = incidents()
    half = len(messages) // 2

    async def has_begun() -> bool:
        return len(await read_all(job.config.kafka, ROLLUPS, 0)) > 20

    async def is_settled() -> bool:
        found = await logs(job)
        return written(found) == undisturbed(job, found)

    async def scenario() -> None:
        await topics.declare(job.config, partitions=PARTITIONS)
        first = start(job)
        writing = asyncio.create_task(write(job, messages[:half], random_sizes(100), PAUSE_S))
        await until(has_begun)
        assert first.signalled(signal.SIGKILL) == -signal.SIGKILL
        second = start(job)
        await second.until('"assigned"')
        await writing
        writing = asyncio.create_task(write(job, messages[half:], random_sizes(100), PAUSE_S))
        joining = start(job)
        await joining.until('"assigned"')
        assert joining.signalled(signal.SIGTERM) == 0, joining.log.read_text()
        await writing
        await until(is_settled)
        assert second.signalled(signal.SIGTERM) == 0, second.log.read_text()
        check_pipeline(job, await logs(job))

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


def check_pipeline(job: Job, found: Logs) -> None:
    """Each kind was written, as undisturbed folds write it."""
    was, should = written(found), undisturbed(job, found)
    assert was == should
    for kind, outputs in was._asdict().items():
        assert outputs, f"no {kind} in this log"
        assert all(len(values) == 1 for values in outputs.values())
    assert len(found.values(BILLING)) == 1
