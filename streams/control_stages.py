"""The stages over the control topics: findings become commands; what operators and executors say is passed on.

The action stage is a function of one log, `control.findings.v1`. So the other two write what it is to hear into that
log, as findings of the rules `operator` and `executor`; they keep no state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Generic, TypeVar

import msgspec

from actions import ActionFold, passed_on
from schemas.config import Config
from schemas.orders import Order
from schemas.outputs import Alert, Command, Finding, Result
from schemas.signatures import PrivateKey
from schemas.topics import APPROVALS, FINDINGS, RESULTS, Record
from streams.core_stage import CoreStage, Folded, Reader, Value, event_counts
from streams.stage import Fact, Outgoing

T = TypeVar("T", Order, Result)
PassOn = Callable[[T, int, int, Config], Finding | Result | None]


class ActionStage(CoreStage):
    """Findings: commands and alerts."""

    state_format = 3

    def __init__(self, config: Config, partition: int) -> None:
        super().__init__(FINDINGS, partition)
        self._reader = Reader(Finding)
        self._fold = ActionFold(config)
        self._key = _signing_key(config)

    def encode(self, value: Value) -> Outgoing:
        """A command that may be carried out is signed."""
        if isinstance(value, Command) and value.held is None and self._key is not None:
            value = self._key.sign(value)
        return super().encode(value)

    def fold(self, records: Sequence[Record]) -> Folded:
        values: list[Value] = []
        good = 0
        for record, finding in self._reader.read(records, values):
            good += 1
            values += self._fold.apply(finding, record.timestamp * 1000)
        return Folded(values, event_counts(good, 0, values))

    def apply_value(self, finding: Finding) -> list[Command | Result | Alert]:
        """Fold a finding that needs no decoding, and whose age is not known."""
        return list(self._fold.apply(finding, None))

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:  # noqa: ARG002
        overdue = self._fold.overdue(now_us)
        return [] if overdue is None else [self.encode(overdue)]

    def overdue(self, now_us: int) -> Finding | None:
        """The finding that `tick` would write."""
        return self._fold.overdue(now_us)

    def changed(self) -> list[Fact]:
        return [Fact(subject, state) for subject, state in self._fold.changed()]

    def position(self) -> bytes:
        return self._fold.position()

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        self._fold.restore(position, [(subject, state) for subject, state in facts if state is not None])

    def reconfigure(self, config: Config) -> None:
        self._fold.reconfigure(config)
        self._key = _signing_key(config)

    @property
    def event_time_us(self) -> int | None:
        return self._fold.event_time_us


class PassingStage(CoreStage, Generic[T]):
    """A topic of which the action stage is to hear: `pass_on` says what. Its position is all there is to know."""

    def __init__(self, topic: str, place: tuple[Config, int], kind: type[T], pass_on: PassOn[T]) -> None:
        self._config, partition = place
        super().__init__(topic, partition)
        self._reader: Reader[T] = Reader(kind)
        self._pass_on: PassOn[T] = pass_on
        self._newest_us: int | None = None

    def fold(self, records: Sequence[Record]) -> Folded:
        values: list[Value] = []
        good = 0
        for record, said in self._reader.read(records, values):
            good += 1
            self._newest_us = record.timestamp * 1000
            heard = self._pass_on(said, self._newest_us, record.offset, self._config)
            values += [] if heard is None else [heard]
        return Folded(values, event_counts(good, 0, values))

    def changed(self) -> Iterable[Fact]:
        return ()

    def position(self) -> bytes:
        return msgspec.msgpack.encode(None)

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:  # noqa: ARG002 -- it keeps none
        self._decode(position, NoneType)

    def reconfigure(self, config: Config) -> None:
        self._config = config

    @property
    def event_time_us(self) -> int | None:
        return self._newest_us


def approval_stage(config: Config, partition: int) -> PassingStage[Order]:
    """What operators say, if they may."""
    return PassingStage(APPROVALS, (config, partition), Order, passed_on.pass_on)


def result_stage(config: Config, partition: int) -> PassingStage[Result]:
    """What executors say, as far as it changes what is decided."""
    return PassingStage(RESULTS, (config, partition), Result, passed_on.report)


def _signing_key(config: Config) -> PrivateKey | None:
    return None if config.signing.key is None else PrivateKey.parse(config.signing.key)
