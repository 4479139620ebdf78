"""The topics that tidegate needs: what they look like, how to declare them, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas import topics
from schemas.config import Config
from streams import acl, rights
from streams.acl import Process
from streams.broker import connect
from streams.errors import TidegateError
from streams.outbox import MAX_BYTES

PARTITIONS: Final = 4  # of the inputs and the roll-ups: as many workers can share the work
INPUT_BYTES: Final = 1024 * 1024
DEAD_LETTER_BYTES: Final = 2 * INPUT_BYTES  # any input, and why it could not be read
STAGES: Final = topics.STAGES
SINGLE: Final = (topics.FINDINGS, topics.APPROVALS, topics.RESULTS)  # in one order, or limits would not hold
CREATE_TIMEOUT_MS: Final = 30_000

# aiokafka is annotated in part only
_NewTopic: Any = NewTopic
_NewPartitions: Any = NewPartitions

COMPACTED: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "600000",  # only closed segments are compacted, so that they must close soon ...
    "segment.bytes": str(64 * 1024 * 1024),  # ... or a restart would read up to a gigabyte of older facts
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(MAX_BYTES),
}


class TopicsWrong(TidegateError):
    """Topics are missing or have a wrong number of partitions."""


class NotAllowed(TidegateError):
    """The brokers do not allow what a process has to do."""


class Topic(NamedTuple):
    """A topic as it should be, with its full name."""

    name: str
    partitions: int
    settings: Mapping[str, str]


def needed(config: Config, partitions: int = PARTITIONS) -> list[Topic]:
    """Every topic of contract section 2."""
    many = dict.fromkeys((*topics.INPUTS, topics.ROLLUPS), partitions)
    wanted = [Topic(name, partitions, _on_the_logs_clock()) for name in topics.INPUTS]
    wanted.append(Topic(topics.ROLLUPS, partitions, {}))
    wanted += [Topic(name, 1, _on_the_logs_clock()) for name in (topics.FINDINGS, topics.ALERTS)]
    wanted.append(Topic(topics.COMMANDS, partitions, _for_ever()))
    wanted += [Topic(name, 1, _for_ever()) for name in (topics.RESULTS, topics.APPROVALS)]
    wanted += [Topic(name + topics.STATE, many.get(name, 1), COMPACTED) for name in STAGES]
    wanted.append(Topic(topics.ALERTS + topics.STATE, 1, COMPACTED))  # of `tidegate alert`: who was told what
    wanted += [Topic(name + topics.DEAD_LETTERS, 1, _dead_letter_settings()) for name in STAGES]
    return [topic._replace(name=config.kafka.topic_prefix + topic.name) for topic in wanted]


def _on_the_logs_clock() -> dict[str, str]:
    # not the sender's clock says what is too far in the future, how old a finding is, and when a command came
    return {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(INPUT_BYTES)}


def _for_ever() -> dict[str, str]:
    """What was ordered, commanded and done: few records, and the one account of it."""
    return {**_on_the_logs_clock(), "retention.ms": "-1"}


def _dead_letter_settings() -> dict[str, str]:
    return {"max.message.bytes": str(DEAD_LETTER_BYTES)}


async def declare(config: Config, partitions: int = PARTITIONS, replication: int = 1) -> list[tuple[Topic, bool]]:
    """Create what is missing: every topic as it now is, and whether it is new.

    What is there is left alone, but that a state topic gets as many partitions as its source has meanwhile.
    """
    wanted = needed(config, partitions)
    admin = await connect(config.kafka)
    try:
        there = partition_counts(await admin.describe_topics())
        missing = [topic for topic in wanted if topic.name not in there]
        if missing:
            requests = [_NewTopic(t.name, t.partitions, replication, topic_configs=dict(t.settings)) for t in missing]
            _check(await admin.create_topics(requests, timeout_ms=CREATE_TIMEOUT_MS))
        found = {topic.name: topic.partitions for topic in missing} | there
        if short := too_few(config, found):
            more = {name: _NewPartitions(count) for name, count in short.items()}
            _check(await admin.create_partitions(more, timeout_ms=CREATE_TIMEOUT_MS))
    finally:
        await admin.close()
    found |= short
    return [(topic._replace(partitions=found[topic.name]), topic.name not in there) for topic in wanted]


def too_few(config: Config, found: Mapping[str, int]) -> dict[str, int]:
    """The state topics with fewer partitions than their source, and how many they must have."""
    sources = [config.kafka.topic_prefix + stage for stage in STAGES]
    return {
        source + topics.STATE: found[source]
        for source in sources
        if found.get(source + topics.STATE, found.get(source, 0)) < found.get(source, 0)
    }


def partition_counts(described: Iterable[Any]) -> dict[str, int]:
    """Topic -> its number of partitions, from what an admin client describes."""
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


def _check(response: Any) -> None:
    for name, code, *message in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            reason = message[0] if message and message[0] else for_code(code).__name__
            raise TopicsWrong(f"could not create {name}, or partitions of it: {reason}")


async def verify(config: Config, process: Process = Process.WORKER, executor: str | None = None) -> None:
    """Raise one error that names everything wrong with the topics of a process, and every right that it lacks."""
    wanted = acl.rights(config, process, executor)
    admin = await connect(config.kafka)
    try:
        seen = await rights.look(admin, wanted)
    finally:
        await admin.close()
    if seen.lacking:
        raise NotAllowed(not_allowed(config, seen.lacking))
    names = {right.name for right in wanted if right.kind == "topic"}
    wrong = problems(config, seen.partitions, [topic for topic in needed(config) if topic.name in names])
    if wrong:
        raise TopicsWrong("; ".join(wrong) + "; `tidegate topics create` adds what is missing")


def not_allowed(config: Config, lacking: Iterable[acl.Right]) -> str:
    """What to tell who runs a process that lacks rights."""
    user = config.kafka.security.username
    named = ", ".join(map(str, lacking))
    return f"Kafka does not allow {user or 'this client'}: {named}; `tidegate topics acls` prints what gives the rights"


def problems(config: Config, found: Mapping[str, int], wanted: Iterable[Topic] | None = None) -> list[str]:
    """What is wrong with the topics that were found (name -> partitions), of all or of those that are wanted."""
    prefix = config.kafka.topic_prefix
    missing = [topic.name for topic in (needed(config) if wanted is None else wanted) if topic.name not in found]
    wrong = [f"missing topics: {', '.join(missing)}"] if missing else []
    counted = {prefix + topic: found.get(prefix + topic, 1) for topic in SINGLE}
    wrong += [f"{name} has {count} partitions and must have exactly 1" for name, count in counted.items() if count != 1]
    for name in (prefix + stage for stage in STAGES):
        state = name + topics.STATE
        if name in found and state in found and found[name] != found[state]:
            wrong.append(f"{state} has {found[state]} partitions and must have {found[name]}, like {name}")
    return wrong
