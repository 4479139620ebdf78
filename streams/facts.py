"""Snapshots as facts: (subject, P) -> its state after all records of its partition below offset P.

The fold is deterministic, so a fact is true whoever wrote it; one from a zombie is merely older. Nothing
is locked, fenced or committed atomically. What holds it together:

- A checkpoint is complete or void: the partition's own fact (the empty subject) is written last, once all
  the others are acknowledged. A restore takes the largest P of these, and for each subject its largest P
  that is not beyond.
- A key is one fact, (subject, writer, P), and is never used for another; every ownership of a partition is a
  writer of its own. So compaction replaces nothing, neither a newer fact by a zombie's older one nor one of the
  last complete checkpoint by one of an unfinished one, and a tombstone buries just the fact that it means.
- After a complete checkpoint the earlier facts of what it has rewritten get a tombstone, its writer's own and
  others', if their P is not beyond its own: one further on may belong to a checkpoint that its writer is just
  completing.
- A subject that the stage has forgotten gets no fact more, only these tombstones, and then its keys are forgotten,
  too. An older fact of it may still turn up: the process died before the tombstones, or a zombie wrote it after
  them. It is restored, and the stage drops it again. So the rule by which a stage forgets must be a function of
  position and fact, and monotone: of what is dead by its newest state, every older state is dead.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.config import Kafka
from streams.broker import new_consumer
from streams.errors import TidegateError
from streams.outbox import MAX_BYTES
from streams.stage import Fact, StateFormatError

FORMAT: Final = 2  # of a fact itself; the state in it has a format of its own: `Stage.state_format`
PARTITION: Final = b""  # the subject of the partition's own fact
WRITER_BYTES: Final = 12  # hexadecimal digits

MAX_FACT_BYTES: Final = MAX_BYTES - 1024  # room for the key's writer and the batch around it
POLL_MS: Final = 500
METADATA_S: Final = 0.05  # between two looks at what a new consumer knows of its topic
METADATA_TIMEOUT_S: Final = 30.0

_decode = msgspec.msgpack.Decoder(tuple[int, int, int, bytes]).decode

Row = tuple[bytes, bytes | None]  # key and value in the state topic


class FactTooLarge(TidegateError):
    """The state of one subject does not fit into a record."""


class StateUnread(TidegateError):
    """The state of a partition could not be read."""


class Stored(NamedTuple):
    """A fact as it was found."""

    subject: bytes
    next: int
    state: bytes
    state_format: int


class Restored(NamedTuple):
    """The last complete checkpoint.

    `keys`: every key found of each subject, and its P. `formats`: the format of each state, by its subject.
    """

    next: int
    position: bytes | None
    facts: list[Fact]
    keys: dict[bytes, list[tuple[bytes, int]]]
    formats: Mapping[bytes, int] = {}

    def require(self, state_format: int, place: str) -> None:
        """Refuse states that were written in another format. Raises StateFormatError, which names `place`."""
        for subject, found in self.formats.items():
            if found != state_format:
                raise StateFormatError(place, subject, f"found format {found}, expected {state_format}")


def new_writer() -> bytes:
    """An id that no other ownership of a partition has."""
    return secrets.token_hex(WRITER_BYTES // 2).encode()


def encode(subject: bytes, next_offset: int, state: bytes, state_format: int) -> bytes:
    """The value of a fact; a clear error if no broker would take it."""
    value = msgspec.msgpack.encode((FORMAT, state_format, next_offset, state))
    if len(subject) + len(value) > MAX_FACT_BYTES:
        name = subject.decode(errors="replace") or "the partition"
        raise FactTooLarge(f"the state of {name!r} takes {len(value)} bytes, more than {MAX_FACT_BYTES}")
    return value


def decode(key: bytes, value: bytes, place: str = "") -> Stored:
    """The inverse, with the subject from the key: it may hold any byte, the writer may not."""
    subject, separator, _ = key.rpartition(b"\0")
    try:
        found, state_format, next_offset, state = _decode(value)
    except msgspec.DecodeError as error:
        if separator and _format(value) == FORMAT:
            raise StateFormatError(place, key, f"found no fact of format {FORMAT}: {error}") from error
        found = None
    if not separator or found != FORMAT:
        raise StateFormatError(place, key, f"found a fact of format {_format(value)}, expected {FORMAT}")
    return Stored(subject, next_offset, state, state_format)


def _format(value: bytes) -> object:
    """What every format begins with: an array whose first item says which it is; None if this is no such thing."""
    try:
        match msgspec.msgpack.decode(value):
            case [int(found), *_]:
                return found
    except msgspec.DecodeError:
        pass
    return None


def select(rows: Iterable[Row], place: str = "") -> Restored:
    """The last complete checkpoint among the records of a state partition (named by `place`), in log order."""
    found: dict[bytes, Stored] = {}
    for key, value in rows:
        if value is None:
            found.pop(key, None)
        else:
            found[key] = decode(key, value, place)
    whole = max((s for s in found.values() if s.subject == PARTITION), key=lambda s: s.next, default=None)
    keys: dict[bytes, list[tuple[bytes, int]]] = {}
    for key, stored in found.items():
        keys.setdefault(stored.subject, []).append((key, stored.next))
    if whole is None:
        return Restored(0, None, [], keys)
    newest = _newest(found.values(), whole.next)
    formats = {stored.subject: stored.state_format for stored in (whole, *newest)}
    return Restored(whole.next, whole.state, [Fact(s.subject, s.state) for s in newest], keys, formats)


def _newest(found: Iterable[Stored], limit: int) -> list[Stored]:
    newest: dict[bytes, Stored] = {}
    for stored in found:
        known = newest.get(stored.subject)
        if stored.next <= limit and (known is None or stored.next > known.next):
            newest[stored.subject] = stored
    newest.pop(PARTITION, None)
    return list(newest.values())


class Writer:
    """The keys of one ownership of a partition: what to write, and which facts that makes obsolete.

    `known`: the keys that the log holds of each subject, and their P. `state_format`: that of the states.
    """

    def __init__(self, known: dict[bytes, list[tuple[bytes, int]]], writer: bytes, state_format: int) -> None:
        self._known = known
        self._writer = writer
        self._state_format = state_format

    def row(self, subject: bytes, next_offset: int, state: bytes) -> Row:
        """The fact of a subject at an offset."""
        value = encode(subject, next_offset, state, self._state_format)
        key = self._key(subject, next_offset)
        keys = self._known.setdefault(subject, [])
        if (key, next_offset) not in keys:
            keys.append((key, next_offset))
        return key, value

    def obsolete(self, next_offset: int, subjects: Iterable[bytes]) -> Iterator[Row]:
        """Tombstones for what the checkpoint at `next_offset`, now complete, has rewritten or left out as forgotten."""
        for subject in (*subjects, PARTITION):
            own, keys = self._key(subject, next_offset), self._known.get(subject, [])
            yield from [(key, None) for key, at in keys if at <= next_offset and key != own]
            self._known[subject] = [(key, at) for key, at in keys if at > next_offset or key == own]
            if not self._known[subject]:
                del self._known[subject]

    def _key(self, subject: bytes, next_offset: int) -> bytes:
        return subject + b"\0" + self._writer + b"@%d" % next_offset


async def read(kafka: Kafka, topic: str, partition: int) -> Restored:
    """Restore from a state topic (full name), from its beginning to its present end. Raises StateUnread."""
    try:
        return await _read(kafka, TopicPartition(topic, partition))
    except (KafkaError, TimeoutError) as error:
        reason = f"{type(error).__name__} {error}".rstrip()
        raise StateUnread(f"could not read {topic}, partition {partition}: {reason}") from error


async def _read(kafka: Kafka, tp: TopicPartition) -> Restored:
    consumer = new_consumer(  # with `latest` its reset may win the race against a seek to the beginning
        kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * MAX_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([tp])
        await _require(consumer, tp)
        return select(await _rows(consumer, tp), f"{tp.topic}, partition {tp.partition}")
    finally:
        await consumer.stop()


async def _require(consumer: Any, tp: TopicPartition) -> None:
    """Raise if there is no such partition: its source has one more, and reading would only time out."""
    async with asyncio.timeout(METADATA_TIMEOUT_S):
        while (known := consumer.partitions_for_topic(tp.topic)) is None:  # noqa: ASYNC110  (in a task of aiokafka's)
            await asyncio.sleep(METADATA_S)
    if tp.partition not in known:
        raise StateUnread(
            f"{tp.topic} has {len(known)} partitions and its source has more; stop all workers, run"
            " `tidegate topics create`, which adds what is missing, and start them again"
        )


async def _rows(consumer: Any, tp: TopicPartition) -> Iterable[Row]:
    """The last record of each key, as compaction will leave it: the log before that may be many times larger."""
    rows: dict[bytes, bytes | None] = {}
    end = (await consumer.end_offsets([tp]))[tp]
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=POLL_MS)
        for batch in batches.values():
            rows.update((record.key, record.value) for record in batch)
    return rows.items()
