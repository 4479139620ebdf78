"""The oracle: what undisturbed folds make of the logs that workers read, compared with what the workers wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from schemas.config import Config
from schemas.topics import ALERTS, COMMANDS, DEAD_LETTERS, FINDINGS, RESULTS, ROLLUPS, STATE, is_clock
from streams import facts
from streams.stage import Stage
from streams.stages import build_stage
from streams.topics import STAGES
from tests.chaos import logs

EXAMPLES: Final = 5
CLOCK: Final = "clock"  # the rule of the findings that the wall clock alone accounts for
NOTHING: Final = b""

Identity = str
Digest = bytes
Stream = str  # what one fold writes in one order


class Expected:
    """What should have been written to one topic."""

    def __init__(self) -> None:
        self.digests: dict[Identity, Digest] = {}
        self.places: dict[Identity, tuple[Stream, int]] = {}

    def add(self, writer: str, identity: Identity, digest: Digest) -> None:
        """The next output of a fold."""
        self.digests.setdefault(identity, digest)
        stream = f"{writer} {identity.rpartition(' ')[0]}"  # of roll-ups each budget has its own
        self.places.setdefault(identity, (stream, len(self.places)))


class Written:
    """What lies in one topic. `first` is what a consumer has that drops ids which it has seen.

    `by_others`: what no fold owes, but the wall clock, or the executor of `people.py`.
    """

    def __init__(self) -> None:
        self.first: dict[Identity, Digest] = {}
        self.ambiguous: set[Identity] = set()
        self.by_others: set[Identity] = set()
        self.records = 0

    def add(self, identity: Identity, digest: Digest) -> None:
        self.records += 1
        if self.first.setdefault(identity, digest) != digest:
            self.ambiguous.add(identity)


class Comparison(NamedTuple):
    """One topic: how many ids, how many repeats of them, and what is wrong with which."""

    topic: str
    ids: int
    repeats: int
    by_others: int
    lost: list[Identity]
    different: list[Identity]
    ambiguous: list[Identity]
    unaccounted: list[Identity]
    overtaken: list[Identity]

    def of_ids_alone(self) -> Comparison:
        """The same, but only what says that an id has two contents."""
        return self._replace(lost=[], different=[], unaccounted=[], overtaken=[])

    @property
    def wrong(self) -> int:
        return sum(map(len, (self.lost, self.different, self.ambiguous, self.unaccounted, self.overtaken)))


class Verdict(NamedTuple):
    """What the oracle says. `read` counts the records of each input of a stage."""

    read: dict[str, int]
    topics: list[Comparison]
    state: list[str]  # the partitions whose saved state is not the oracle's, and how
    behind: list[str]  # the partitions that are not saved up to their end

    @property
    def clean(self) -> bool:
        return not self.state and not self.behind and not any(topic.wrong for topic in self.topics)


def digest(*parts: bytes | None) -> Digest:
    return blake2b(msgspec.msgpack.encode(parts), digest_size=16).digest()


def identify(topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Identity:
    """What a reader knows a record by: its id, a roll-up's place, a dead letter's source."""
    if topic.endswith(DEAD_LETTERS):
        source = dict(headers)
        return " ".join((source[f"source.{part}"] or b"").decode() for part in ("topic", "partition", "offset"))
    fields = msgspec.json.decode(value or b"")
    if topic == ROLLUPS:
        return f"{fields['budget']} {fields['source']} {fields['partition']} {fields['seq']}"
    return str(fields["id"])


def content(topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Digest:
    """All that a record says."""
    extra = [part for name, text in headers for part in (name.encode(), text)]
    return digest(topic.encode(), key, value, *extra)


async def judge(config: Config, *, exact: bool = True) -> Verdict:
    """Fold every log once, and compare. The workers are stopped.

    Not `exact`: nobody knows which records were folded under which configuration. What does not depend on that,
    roll-ups and dead letters, is compared all the same, and no id may have two contents.
    """
    counts = await logs.partitions(config)
    expected: dict[str, Expected] = defaultdict(Expected)
    read: dict[str, int] = {}
    state: list[str] = []
    behind: list[str] = []
    for topic in STAGES:
        for number in range(counts[topic]):
            stage = build_stage(topic, number, config)
            end = await _fold(config, stage, (topic, number), expected)
            read[topic] = read.get(topic, 0) + end
            saved = await facts.read(config.kafka, config.kafka.topic_prefix + topic + STATE, number)
            if saved.next != end:
                behind.append(f"{topic}-{number}: saved up to {saved.next} of {end}")
            elif exact:
                state += _differences(f"{topic}-{number}", stage, saved)
    compared = []
    for topic in (ROLLUPS, FINDINGS, COMMANDS, ALERTS, RESULTS, *(topic + DEAD_LETTERS for topic in STAGES)):
        found = compare(topic, expected[topic], await _written(config, topic, counts[topic]))
        is_exact = exact or topic == ROLLUPS or topic.endswith(DEAD_LETTERS)
        compared.append(found if is_exact else found.of_ids_alone())
    return Verdict(read, compared, state, behind)


async def _fold(config: Config, stage: Stage, place: tuple[str, int], expected: dict[str, Expected]) -> int:
    """What the undisturbed stage of a partition writes; where its log ends."""
    end, writer = 0, f"{place[0]}-{place[1]}"
    async for records in logs.batches(config, *place):
        for topic, key, value, headers in stage.apply(records).outgoing:
            expected[topic].add(writer, identify(topic, value, headers), content(topic, key, value, headers))
        end = records[-1].offset + 1
    return end


async def _written(config: Config, topic: str, partitions: int) -> Written:
    found = Written()
    for number in range(partitions):
        async for records in logs.batches(config, topic, number):
            for record in records:
                _note(found, topic, record)
    return found


def _note(found: Written, topic: str, record: Any) -> None:
    identity = identify(topic, record.value, record.headers)
    if topic == ROLLUPS and is_clock(msgspec.json.decode(record.value)["source"]):
        found.by_others.add(identity)
        found.add(
            identity, NOTHING
        )  # two workers may each have read up to that second, and say what they heard by then
        return
    found.add(identity, content(topic, record.key, record.value, record.headers))
    if _is_by_others(topic, record.value):
        found.by_others.add(identity)


def _is_by_others(topic: str, value: bytes) -> bool:
    fields = msgspec.json.decode(value) if topic in (FINDINGS, RESULTS) else {}
    return fields.get("rule") == CLOCK or fields.get("executor") is not None


def compare(topic: str, expected: Expected, written: Written) -> Comparison:
    """Id by id and content by content; and whether the first of each id came in the order of its fold.

    The order matters to who drops what it has seen: what is overtaken would be taken for a repeat.
    """
    owed, first = expected.digests, written.first
    return Comparison(
        topic=topic,
        ids=len(first),
        repeats=written.records - len(first),
        by_others=len(written.by_others),
        lost=[identity for identity in owed if identity not in first],
        different=[identity for identity, digest in owed.items() if first.get(identity, digest) != digest],
        ambiguous=sorted(written.ambiguous),
        unaccounted=[identity for identity in first if identity not in owed and identity not in written.by_others],
        overtaken=_overtaken(expected, first) if topic in (ROLLUPS, FINDINGS) else [],
    )


def _overtaken(expected: Expected, first: Iterable[Identity]) -> list[Identity]:
    """Ids whose first record lies behind that of a later one of the same stream."""
    overtaken: list[Identity] = []
    furthest: dict[Stream, int] = {}
    for identity in first:
        if identity in expected.places:
            stream, place = expected.places[identity]
            if place < furthest.get(stream, -1):
                overtaken.append(identity)
            furthest[stream] = max(place, furthest.get(stream, -1))
    return overtaken


def _differences(name: str, stage: Stage, saved: facts.Restored) -> list[str]:
    """What a restore would find, against what the undisturbed stage is."""
    if saved.position is None:
        return []
    mine = {fact.subject: fact.state for fact in stage.changed() if fact.state is not None}
    theirs = {fact.subject: fact.state for fact in saved.facts}
    different = sorted(subject for subject in mine.keys() | theirs.keys() if mine.get(subject) != theirs.get(subject))
    wrong = [f"{name}: the state of {subject!r} differs" for subject in different[:EXAMPLES]]
    return wrong if saved.position == stage.position() else [f"{name}: its own state differs", *wrong]
