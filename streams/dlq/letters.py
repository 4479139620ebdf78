"""Reads the dead letters of a cluster, and the marks of those that were sent again.

A mark is a record in the same topic, whose key is the place of the letter and whose one header is `REPLAYED`. It is
kept for as long as the letter itself, and lies behind it: who reads from any letter on reads its mark, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any, Final, NamedTuple

from schemas.topics import DEAD_LETTERS, STAGES, Place
from streams import dead_letters
from streams.errors import UsageError
from streams.log_reader import LogReader, Stretch
from streams.stage import Headers
from streams.values import nearest

REPLAYED: Final = "tidegate.replayed"  # header of a mark, and of an event that was sent again
FOREIGN: Final = "foreign"  # in the place of `error.type`: no letter of tidegate's


class Selection(NamedTuple):
    """Which letters are meant. Empty means all; `since_ms` is when they were written."""

    topics: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    offsets: frozenset[int] = frozenset()
    since_ms: int | None = None

    def matches(self, letter: Letter) -> bool:
        """All but the topic and the time, which are where reading begins."""
        right = not self.why or letter.why in self.why
        return right and (not self.offsets or letter.place.offset in self.offsets)


class Letter(NamedTuple):
    """A dead letter. `headers` are those that the event came with; `source` is None for a foreign record."""

    place: Place
    written_ms: int
    why: str
    message: str
    source: Place | None
    key: bytes | None
    value: bytes | None
    headers: Headers


class Mark(NamedTuple):
    """Says that the letter at a place was sent again."""

    letter: Place


def chosen_topics(names: Collection[str], prefix: str = "") -> tuple[str, ...]:
    """The stages' topics that are meant, each named with or without prefix and `.dlq`; all if none is named."""
    chosen = [name.removeprefix(prefix).removesuffix(DEAD_LETTERS) for name in names]
    for name in chosen:
        if name not in STAGES:
            raise UsageError(f"no topic '{name}' has dead letters{nearest(name, STAGES)}")
    return tuple(dict.fromkeys(chosen)) or STAGES


class Reader(LogReader):
    """A connection to the dead letters. Use it with `async with`."""

    async def selected(self, selection: Selection) -> list[Stretch]:
        """What there is to read now, partition by partition."""
        return await self.stretches([topic + DEAD_LETTERS for topic in selection.topics or STAGES], selection.since_ms)

    async def read(self, stretch: Stretch) -> AsyncIterator[Letter | Mark]:
        """Every letter and mark of a stretch, in its order."""
        async for record in self.records(stretch):
            yield _parsed(stretch.topic, record)


def mark(letter: Letter) -> tuple[bytes, Headers]:
    """Key and headers of the mark that says that a letter was sent again."""
    return str(letter.place).encode(), ((REPLAYED, b""),)


def _parsed(topic: str, record: Any) -> Letter | Mark:  # noqa: ANN401 -- aiokafka's
    if not record.value and [name for name, _ in record.headers] == [REPLAYED]:
        return Mark(Place.parse((record.key or b"").decode()))
    place = Place(topic, record.partition, record.offset)
    added = dead_letters.added(record.headers)
    if not added:
        return Letter(place, record.timestamp, FOREIGN, "", None, record.key, record.value, tuple(record.headers))
    source = Place(added[dead_letters.TOPIC], *(int(added[n]) for n in (dead_letters.PARTITION, dead_letters.OFFSET)))
    headers = dead_letters.original(record.headers)
    why, message = added[dead_letters.TYPE], added[dead_letters.MESSAGE]
    return Letter(place, record.timestamp, why, message, source, record.key, record.value, headers)
