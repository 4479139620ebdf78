"""The stages: the core's folds behind the one shape that the shell runs (`stage.py`).

A stage here turns records into values, lets a fold of `detectors/` or `actions/` decide, and turns what comes of it
into records. The values are there for `replay`, which needs no bytes in between.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import numpy as np

from detectors import (
    BillingFold,
    BudgetFold,
    RequestFold,
    ScalingFold,
    budget_rules,
    fleet_rules,
    history_rules,
    request_rules,
    scaling_rules,
)
from detectors.budgets import AccountState, BudgetState, Key, RulesState
from detectors.requests import EndpointState, RequestPosition
from detectors.scaling import ScalingPosition, ScalingState
from detectors.watermark import Watermark
from schemas.config import Config
from schemas.decode import Decoded, Decoder
from schemas.events import BadEvent, Billing, Request, Scaling
from schemas.outputs import Finding, Rollup
from schemas.topics import APPROVALS, BILLING, FINDINGS, REQUESTS, RESULTS, ROLLUPS, SCALING, Record, clock_of
from schemas.units import US
from streams.control_stages import ActionStage, approval_stage, result_stage
from streams.core_stage import CoreStage, Folded, Reader, Value, event_counts
from streams.stage import Fact, Outgoing, Stage

MARK_EVERY_US: Final = 60 * US  # of the wall clock: how often a stage says until when it has read its input

SEPARATOR: Final = "\0"  # between a budget and an endpoint in the subject of a fact

E = TypeVar("E", Request, Scaling, Billing)


class InputFold(Protocol):
    """What the folds over the input topics have in common. `late` counts the events that came too late."""

    late: int
    watermark: Watermark

    def heard_us(self, budget: str) -> int | None: ...

    def position(self) -> msgspec.Struct: ...

    def reconfigure(self, config: Config) -> None: ...


class InputStage(CoreStage, Generic[E]):
    """Events of one kind: decoded, with the bad ones put aside, and folded."""

    def __init__(self, place: tuple[str, int], decoder: Decoder[E], fold: InputFold, config: Config) -> None:
        super().__init__(*place)
        self._decoder: Decoder[E] = decoder
        self._input = fold
        self._budgets = tuple(config.budgets)
        self._marked_us = 0

    @abstractmethod
    def _emit(self, decoded: Decoded[E], records: Sequence[Record]) -> Sequence[Finding | Rollup]:
        """Fold the events that could be read."""

    def fold(self, records: Sequence[Record]) -> Folded:
        decoded: Decoded[E] = self._decoder.decode(records)
        late = self._input.late
        emitted: Sequence[Finding | Rollup] = self._emit(decoded, records)
        counts = event_counts(len(decoded.events), self._input.late - late, decoded.bad)
        return Folded([*_in_log_order(decoded.bad), *emitted], counts)

    def tick(self, now_us: int, read_us: int) -> list[Outgoing]:  # noqa: ARG002
        """Until when it was read, for each budget: that nothing is told proves a silence only then."""
        if read_us - self._marked_us < MARK_EVERY_US:
            return []
        self._marked_us = read_us
        return [self.encode(self._mark(budget, read_us)) for budget in self._budgets]

    def _mark(self, budget: str, read_us: int) -> Rollup:
        second, heard_us = read_us // US, self._input.heard_us(budget)
        return Rollup(budget, clock_of(self.topic), self.partition, second, second * US, heard_us=heard_us)

    def position(self) -> bytes:
        return msgspec.msgpack.encode(self._input.position())

    def reconfigure(self, config: Config) -> None:
        self._budgets = tuple(config.budgets)
        self._input.reconfigure(config)

    @property
    def event_time_us(self) -> int | None:
        newest_us = self._input.watermark.newest_us
        return None if newest_us < 0 else newest_us


class RequestStage(InputStage[Request]):
    """Requests: surges, queues, what is slow and what fails, and roll-ups."""

    state_format = 3

    def __init__(self, config: Config, partition: int, *, keyed: bool = True) -> None:
        self._fold = RequestFold(config, partition, request_rules())
        decoder: Decoder[Request] = Decoder(Request, _max_future_us(config), keyed=keyed)
        super().__init__((REQUESTS, partition), decoder, self._fold, config)

    def _emit(self, decoded: Decoded[Request], records: Sequence[Record]) -> Sequence[Finding | Rollup]:  # noqa: ARG002
        return self._fold.apply(decoded.events, decoded.time_us)

    def changed(self) -> Iterable[Fact]:
        return _facts(self._fold.changed())

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        self._fold.restore(self._decode(position, RequestPosition), self._states(facts, EndpointState))


class ScalingStage(InputStage[Scaling]):
    """Scaling events: runaways, what was wasted in the past hour, and the replicas that money is made of."""

    state_format = 3

    def __init__(self, config: Config, partition: int, *, keyed: bool = True) -> None:
        self._fold = ScalingFold(config, partition, [*scaling_rules(), *history_rules()])
        decoder: Decoder[Scaling] = Decoder(Scaling, _max_future_us(config), keyed=keyed)
        super().__init__((SCALING, partition), decoder, self._fold, config)

    def _emit(self, decoded: Decoded[Scaling], records: Sequence[Record]) -> Sequence[Finding | Rollup]:
        return self._fold.apply(decoded.events, decoded.time_us, [records[i].offset for i in decoded.place.tolist()])

    def changed(self) -> Iterable[Fact]:
        return _facts(self._fold.changed().items())

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        self._fold.restore(self._decode(position, ScalingPosition), self._states(facts, ScalingState))


class BillingStage(InputStage[Billing]):
    """Billing events: handed on to the budgets."""

    def __init__(self, config: Config, partition: int, *, keyed: bool = True) -> None:
        self._fold = BillingFold(config, partition)
        decoder: Decoder[Billing] = Decoder(Billing, _max_future_us(config), keyed=keyed)
        super().__init__((BILLING, partition), decoder, self._fold, config)

    def _emit(self, decoded: Decoded[Billing], records: Sequence[Record]) -> Sequence[Finding | Rollup]:
        good = [records[i] for i in decoded.place.tolist()]
        logged_us = np.array([record.timestamp for record in good], dtype=np.int64) * 1000
        return self._fold.apply(decoded.events, [record.offset for record in good], logged_us)

    def changed(self) -> list[Fact]:
        return []

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:  # noqa: ARG002 -- it keeps none
        self._fold.watermark = self._decode(position, Watermark)


class BudgetStage(CoreStage):
    """Roll-ups: what budgets spend."""

    state_format = 3

    def __init__(self, config: Config, partition: int) -> None:
        super().__init__(ROLLUPS, partition)
        self._reader = Reader(Rollup)
        self._fold = BudgetFold(config, budget_rules(), fleet_rules())

    def fold(self, records: Sequence[Record]) -> Folded:
        repeated = self._fold.repeated
        values: list[Value] = []
        good = 0
        for _, rollup in self._reader.read(records, values):
            good += 1
            values += self._fold.apply(rollup)
        counts = event_counts(good - (self._fold.repeated - repeated), 0, values)
        counts["events", "repeated"] += self._fold.repeated - repeated
        return Folded(values, +counts)

    def apply_value(self, rollup: Rollup) -> list[Finding]:
        """Fold a roll-up that needs no decoding."""
        return self._fold.apply(rollup)

    def changed(self) -> Iterable[Fact]:
        return _facts((_subject(key), state) for key, state in self._fold.changed().items())

    def position(self) -> bytes:
        return msgspec.msgpack.encode(self._fold.budgets())

    def restore(self, position: bytes, facts: Sequence[Fact]) -> None:
        states: dict[Key, AccountState | RulesState] = {}
        for subject, state in facts:
            if state is not None:
                key = _key(subject)
                kind: type[AccountState | RulesState] = RulesState if key.is_of_rules else AccountState
                states[key] = self._decode(state, kind, subject)
        self._fold.restore(self._decode(position, dict[str, BudgetState]), states)

    def reconfigure(self, config: Config) -> None:
        self._fold.reconfigure(config)

    @property
    def event_time_us(self) -> int | None:
        return self._fold.newest_us or None


STAGES: Final[Mapping[str, Callable[[Config, int], Stage]]] = {
    REQUESTS: RequestStage,
    SCALING: ScalingStage,
    BILLING: BillingStage,
    ROLLUPS: BudgetStage,
    FINDINGS: ActionStage,
    APPROVALS: approval_stage,
    RESULTS: result_stage,
}


def build_stage(topic: str, partition: int, config: Config) -> Stage:
    """The stage that reads a topic (named without its prefix)."""
    return STAGES[topic](config, partition)


def _subject(key: Key) -> str:
    """No budget's name is empty, so what begins with a separator is the rules' part of an account."""
    return f"{SEPARATOR if key.is_of_rules else ''}{key.budget}{SEPARATOR}{key.endpoint}"


def _key(subject: bytes) -> Key:
    text = subject.decode()
    budget, _, endpoint = text.removeprefix(SEPARATOR).partition(SEPARATOR)
    return Key(budget, endpoint, text.startswith(SEPARATOR))


def _facts(states: Iterable[tuple[str, msgspec.Struct | None]]) -> Iterable[Fact]:
    return (Fact(name.encode(), _packed(state)) for name, state in states)


def _packed(state: msgspec.Struct | None) -> bytes | None:
    return None if state is None else msgspec.msgpack.encode(state)


def _in_log_order(bad: Sequence[BadEvent]) -> list[BadEvent]:
    """The decoder finds what is malformed before what is untimely; the dead letters keep the log's order."""
    return sorted(bad, key=lambda event: event.offset)


def _max_future_us(config: Config) -> int:
    return round(config.input.max_future * US)
