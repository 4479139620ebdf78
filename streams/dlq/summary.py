"""`dlq ls` and `dlq show`: what is there."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from schemas.topics import Place
from streams.dlq.letters import Letter, Mark, Reader, Selection


class Group(Struct):
    """The letters of one partition of a topic that have one reason. Times are milliseconds since the epoch."""

    topic: str
    partition: int
    why: str
    count: int
    first_ms: int
    last_ms: int
    newest: deque[int]  # offsets


NEWEST = 3  # offsets that a group tells


async def groups(reader: Reader, selection: Selection) -> tuple[list[Group], int]:
    """All letters, by topic, partition and reason; and how many of them were sent again."""
    found: dict[tuple[str, int, str], Group] = {}
    resent: set[Place] = set()
    for stretch in await reader.selected(selection):
        async for letter in reader.read(stretch):
            if isinstance(letter, Mark):
                resent.add(letter.letter)
            elif selection.matches(letter):
                _add(found, letter)
    return [found[key] for key in sorted(found)], len(resent)


def _add(found: dict[tuple[str, int, str], Group], letter: Letter) -> None:
    topic, partition, offset = letter.place
    at = letter.written_ms
    group = found.setdefault(
        (topic, partition, letter.why), Group(topic, partition, letter.why, 0, at, at, deque(maxlen=NEWEST))
    )
    group.count += 1
    group.first_ms, group.last_ms = min(group.first_ms, at), max(group.last_ms, at)
    group.newest.appendleft(offset)


async def newest(reader: Reader, selection: Selection, limit: int) -> list[Letter]:
    """The last letters of each partition, at most `limit` in all, newest last."""
    kept: list[Letter] = []
    for stretch in await reader.selected(selection):
        last: deque[Letter] = deque(maxlen=limit)
        async for letter in reader.read(stretch):
            if isinstance(letter, Letter) and selection.matches(letter):
                last.append(letter)
        kept += last
    kept.sort(key=lambda letter: (letter.written_ms, letter.place))
    return kept[-limit:]
