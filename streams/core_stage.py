"""What all stages have in common: records become values, a fold decides, what comes of it becomes records.

The values are there for `replay`, which needs no bytes in between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import orjson

from schemas.decode import Unreadable, bad_event, parse
from schemas.events import BadEvent
from schemas.outputs import Alert, Command, Finding, Result, Rollup
from schemas.topics import ALERTS, COMMANDS, FINDINGS, RESULTS, ROLLUPS, Record
from streams.dead_letters import DeadLetters
from streams.stage import Applied, Fact, Outgoing, StateFormatError

Value = Finding | Command | Result | Alert | Rollup | BadEvent
Counts = Counter[tuple[str, ...]]
T = TypeVar("T")

NO_ENDPOINT: Final = "tidegate"  # the key of a result that is about no endpoint


class Folded(NamedTuple):
    """What came of some records, as values; `counts` as in `Applied`."""

    values: list[Value]
    counts: Counts


class CoreStage(ABC):
    """One partition of one topic, folded by the core."""

    state_format = 1

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self._letters = DeadLetters(topic, partition)

    @abstractmethod
    def fold(self, records: Sequence[Record]) -> Folded:
        """`apply`, before what comes of it is encoded."""

    def apply(self, records: Sequence[Record]) -> Applied:
        values, counts = self.fold(records)
        counts.update(label for value in values if (label := _label(value)) is not None)
        return Applied([self.encode(value) for value in values], counts)

    def encode(self, value: Value) -> Outgoing:
        """The record that carries a value."""
        match value:  # the most frequent first: there may be nothing but bad events
            case BadEvent():
                return self._letters.letter(value)
            case Finding():
                return Outgoing(FINDINGS, value.subject.encode(), encode(value))
            case Command():
                return Outgoing(COMMANDS, value.endpoint.encode(), encode(value))
            case Result():
                return Outgoing(RESULTS, (value.endpoint or NO_ENDPOINT).encode(), encode(value))
            case Alert():
                return Outgoing(ALERTS, value.subject.encode(), encode(value))
            case Rollup():
                return Outgoing(ROLLUPS, value.budget.encode(), encode(value))

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:  # noqa: ARG002 -- not every stage needs a clock
        return []

    def _states(self, facts: Sequence[Fact], kind: type[T]) -> dict[str, T]:
        return {subject.decode(): self._decode(state, kind, subject) for subject, state in facts if state is not None}

    def _decode(self, state: bytes, kind: type[T], subject: bytes = b"") -> T:
        try:
            return msgspec.msgpack.decode(state, type=kind)
        except msgspec.DecodeError as e:
            place = f"{self.topic}, partition {self.partition}"
            raise StateFormatError(place, subject, f"expected {kind}, {e}") from e


def encode(value: Finding | Command | Result | Alert | Rollup) -> bytes:
    """A value as it travels. A roll-up leaves out what it does not carry."""
    fields = msgspec.structs.asdict(value)
    if isinstance(value, Rollup):
        fields = {name: content for name, content in fields.items() if content is not None}
    return orjson.dumps(fields, default=msgspec.to_builtins)


def _label(value: Value) -> tuple[str, ...] | None:
    match value:
        case BadEvent() | Rollup():
            return None
        case Finding():
            return "findings", value.rule, value.status, value.severity
        case Command():
            return "commands", value.action, value.mode, value.held or ""
        case Result():
            return "results", value.state or "", value.refusal or ""
        case Alert():
            return "alerts", value.status


class Reader(Generic[T]):
    """Reads the records of a topic that tidegate itself writes, one by one."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, records: Sequence[Record], values: list[Value]) -> Iterable[tuple[Record, T]]:
        """The records with what they hold; what cannot be read is added to `values` as a `BadEvent`."""
        for record in records:
            try:
                yield record, parse(self._decode, record.value)
            except Unreadable as e:
                values.append(bad_event(record, e.why, str(e)))


def event_counts(good: int, late: int, values: Sequence[Any]) -> Counts:
    counts: Counts = Counter({("events", "accepted"): good - late, ("events", "late"): late})
    counts.update(("events", value.why) for value in values if isinstance(value, BadEvent))
    return +counts
