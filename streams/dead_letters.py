"""Dead letters: what a stage could not read, or was told to pass over, as it came, with the reason and its place.

A letter has the record's key, value and headers, and after these, in this order, the headers named here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.decode import MAX_VALUE_BYTES
from schemas.events import BadEvent, Why
from schemas.topics import DEAD_LETTERS
from streams.stage import Headers, Outgoing

TYPE: Final = "error.type"
MESSAGE: Final = "error.message"
TOPIC: Final = "source.topic"
PARTITION: Final = "source.partition"
OFFSET: Final = "source.offset"
ADDED: Final = (TYPE, MESSAGE, TOPIC, PARTITION, OFFSET)

_TYPES: Final = {why: (TYPE, why.value.encode()) for why in Why}


class DeadLetters:
    """Writes the letters of one partition of a topic (without its prefix)."""

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic + DEAD_LETTERS
        self._source = ((TOPIC, topic.encode()), (PARTITION, b"%d" % partition))

    def letter(self, bad: BadEvent) -> Outgoing:
        """The record that keeps a bad event; of a value that is too large, as much as an input may have.

        It may have come compressed, and then it can be many times what any topic takes.
        """
        why, message = _TYPES[bad.why], (MESSAGE, bad.message.encode())
        headers = (*bad.headers, why, message, *self._source, (OFFSET, b"%d" % bad.offset))
        value = bad.value if bad.value is None else bad.value[:MAX_VALUE_BYTES]
        return Outgoing(self._topic, bad.key, value, headers)


def added(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """What tidegate added to a record's headers; nothing if this is no letter of its own."""
    last = headers[-len(ADDED) :]
    if tuple(name for name, _ in last) != ADDED:
        return {}
    return {name: (content or b"").decode(errors="backslashreplace") for name, content in last}


def original(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """A letter's headers without what tidegate added: those that the event came with."""
    return tuple(headers[: -len(ADDED)])
