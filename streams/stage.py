"""What the shell knows of a stage: a deterministic fold over one partition of one topic.

The same stages run under the Faust worker (`worker.py`) and under `replay.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from schemas.config import Config
from schemas.topics import Record
from streams.errors import TidegateError

Headers = tuple[tuple[str, bytes | None], ...]


class Outgoing(NamedTuple):
    """A record to write. `topic` has no prefix; a dead letter's headers still lack its source's position."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Applied(NamedTuple):
    """What came of some records: what to write, in order, and what to count.

    `counts` maps (metric name, label values) to how much to add: see `metrics.COUNTERS`.
    """

    outgoing: list[Outgoing]
    counts: Mapping[tuple[str, ...], int]


class Fact(NamedTuple):
    """The state of one subject (an endpoint, a budget's account ...) after all records below the position.

    None: it is forgotten.
    """

    subject: bytes
    state: bytes | None


class StateFormatError(TidegateError):
    """A state was written in another format than this version of tidegate reads. It must not be guessed."""

    def __init__(self, place: str, subject: bytes, found: str) -> None:
        name = subject.decode(errors="backslashreplace") or "the partition itself"
        super().__init__(
            f"{place}: the state of {name!r} cannot be read: {found}. Run the version of tidegate that wrote it, or"
            " start without it: docs/operations.md, Upgrades"
        )


class Stage(Protocol):
    """State after all records below some offset, and how to go on from there.

    However the log is cut into batches, the concatenated outgoing records and the facts are the same.
    """

    @property
    def state_format(self) -> int:
        """Stands beside each state; to be raised whenever the shape or the meaning of a state changes."""

    def apply(self, records: Sequence[Record]) -> Applied:
        """Fold records that follow on from those before, in log order. Any exception is a bug: stop loudly."""

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:
        """What only the wall clock can know, written as records that a stage will read. Changes no state.

        At `read_us` of the wall clock all that the log held had been applied; -1: nobody knows of such a moment.
        """

    def changed(self) -> Iterable[Fact]:
        """The subjects whose state changed since the last call, those that were forgotten among them.

        Facts may be made as they are asked for: nothing may be applied before the last one was.
        """

    def position(self) -> bytes:
        """The partition's own state: its watermark and whatever belongs to no one subject."""

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        """Become what `position()` and the newest `changed()` of every subject described. Called once, when new.

        Facts of subjects that were forgotten may be among these (`facts.py`): whatever rule forgot them has to
        drop them again, and the next `changed()` has to say so.
        """

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration from the next record on."""

    @property
    def event_time_us(self) -> int | None:
        """The largest event time seen, for the lag metric."""
