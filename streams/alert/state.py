"""What is kept across restarts, in `alerts.v1.state` (compacted): the facts of `actions.alerting`, and the positions.

A process that begins to deliver writes a claim, whose offset is the number of its epoch, reads what there is, and
writes all of it anew, the position last. Only what has a position counts, and of that only the newest epoch. So what a
stopped process writes when it wakes up is of an older epoch, and never counts; nothing has to be locked or fenced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError
from msgspec import Struct

from actions.alerting.dispatch import Fact
from schemas.config import Kafka
from schemas.topics import ALERTS, STATE
from streams.log_reader import LogReader
from streams.outbox import Outbox, failed
from streams.stage import StateFormatError

FORMAT: Final = 1  # of all that is kept: to be raised with the shape or the meaning of any of it
CLAIM: Final = b"claim"
POSITION: Final = "position"


class Position(Struct, array_like=True, frozen=True):
    """The offsets from which to read on; None: nothing was ever read."""

    alerts: int | None = None
    results: int | None = None


class Kept(NamedTuple):
    """The facts and the position of the newest epoch that counts, and all keys that were found."""

    position: Position
    facts: Mapping[str, bytes]
    keys: frozenset[bytes]


class _Place(Struct, array_like=True, frozen=True):
    format: int
    position: Position


def select(rows: Mapping[bytes, bytes], place: str = ALERTS + STATE) -> Kept:
    """What counts among the last records of each key. Raises StateFormatError."""
    epochs: dict[int, dict[str, bytes]] = {}
    for key, value in rows.items():
        if key == CLAIM:
            continue
        epoch, _, subject = key.decode().partition("/")
        epochs.setdefault(int(epoch), {})[subject] = value
    whole = max((epoch for epoch, facts in epochs.items() if POSITION in facts), default=None)
    keys = frozenset(rows) - {CLAIM}
    if whole is None:
        return Kept(Position(), {}, keys)
    facts = epochs[whole]
    return Kept(_position(facts.pop(POSITION), place), facts, keys)


async def claim(producer: Any, topic: str) -> int:  # noqa: ANN401 -- aiokafka is annotated in part only
    """Begin an epoch: its number."""
    try:
        written = await producer.send_and_wait(topic, b"", CLAIM, partition=0)
    except KafkaError as error:
        raise failed(topic, error) from error
    return int(written.offset)


async def read(kafka: Kafka) -> Kept:
    """From the topic's beginning to its present end."""
    rows: dict[bytes, bytes] = {}
    async with LogReader(kafka) as reader:
        for stretch in await reader.stretches([ALERTS + STATE]):
            async for record in reader.records(stretch):
                if record.value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = record.value
    return select(rows)


class Keeper:
    """Writes facts of one epoch. One `save` at a time, so that of each subject the last record is the newest."""

    def __init__(self, outbox: Outbox, topic: str, epoch: int, obsolete: frozenset[bytes]) -> None:
        self._outbox, self._topic = outbox, topic
        self._epoch, self._obsolete = epoch, obsolete
        self._position: Position | None = None
        self._lock = asyncio.Lock()

    async def save(self, facts: Iterable[Fact], position: Position | None = None) -> None:
        """Returns when it is acknowledged. `facts` are not asked for before the turn of this call has come."""
        async with self._lock:
            for subject, state in facts:
                await self._send(subject, state)
            if position is not None and position != self._position:
                await self._send(POSITION, msgspec.msgpack.encode(_Place(FORMAT, position)))
            await self._outbox.flushed()
            self._position = position or self._position
            if self._position is not None and self._obsolete:
                await self._bury()

    async def _bury(self) -> None:
        """What earlier epochs have written: this one has a position now."""
        for key in sorted(self._obsolete):
            await self._outbox.send(self._topic, key, None, partition=0)
        self._obsolete = frozenset()
        await self._outbox.flushed()

    async def _send(self, subject: str, state: bytes | None) -> None:
        await self._outbox.send(self._topic, f"{self._epoch}/{subject}".encode(), state, partition=0)


def _position(value: bytes, place: str) -> Position:
    try:
        found = msgspec.msgpack.decode(value, type=_Place)
    except msgspec.DecodeError as error:
        raise StateFormatError(place, b"", f"expected format {FORMAT}: {error}") from error
    if found.format != FORMAT:
        raise StateFormatError(place, b"", f"found format {found.format}, expected {FORMAT}")
    return found.position
