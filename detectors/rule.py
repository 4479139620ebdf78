"""What a rule is: a subclass of one of the three classes here, in a file of its own under `rules/`.

- `RequestRule` sees per-second columns of requests, all endpoints of a partition at once;
- `ScalingRule` sees the scaling events of one endpoint, one at a time;
- `BudgetRule` sees the ledger of one budget.

A rule measures; when an episode opens and resolves is the same for all (`episodes.py`), and what to do about it is
not a detector's affair (`actions/`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from detectors.episodes import Episode, Reading
from detectors.ledger import Ledger
from detectors.report import Report
from detectors.rollup import RequestColumns, Ring
from detectors.table import Flags, Ints
from schemas.config import Config, RuleSettings

S = TypeVar("S", bound=RuleSettings)


class Rule(ABC, Generic[S]):
    """A rule and its settings. `rule` is its name everywhere, `unit` that of its value."""

    rule: ClassVar[str]
    unit: ClassVar[str]
    Settings: ClassVar[type[RuleSettings]]

    def __init__(self, config: Config) -> None:
        self.config = config

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration."""
        self.config = config

    def settings(self, endpoint: str | None = None, budget: str | None = None) -> S:
        """What the configuration says of this rule for an endpoint or for a budget."""
        return self.config.rule(self.rule, endpoint, budget)  # type: ignore[return-value]


class Crossing(NamedTuple):
    """The request (its place in the columns) at which an endpoint's value passed the threshold."""

    position: int
    endpoint: int
    reading: Reading


class RequestRule(Rule[S]):
    """A rule over the requests of one partition. Endpoints have numbers, in the order in which they came.

    `ring` counts the requests of the open seconds and of `reach_s` more before them. The fold calls `close` for every
    second that is complete, and asks about requests that came meanwhile: `may_cross`, before they are counted, of many
    at once; where the answer is yes `observe`, once they are counted, of those of one newest second.
    """

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config)
        self.ring = ring

    @classmethod
    @abstractmethod
    def reach_s(cls, config: Config) -> int:
        """How many seconds its longest window has."""

    @classmethod
    @abstractmethod
    def step_s(cls, config: Config) -> int:
        """Its thresholds move only when a second closes that ends a multiple of this."""

    @abstractmethod
    def add(self, endpoints: Sequence[str]) -> None:
        """New endpoints get the next numbers."""

    @abstractmethod
    def keep(self, numbers: Ints) -> None:
        """The others are forgotten; these are numbered anew, in this order."""

    @abstractmethod
    def may_cross(self, columns: RequestColumns) -> bool:
        """Whether any endpoint might cross its threshold, if these were counted one by one and seconds closed between.

        A bound that costs little; the thresholds do not move meanwhile.
        """

    @abstractmethod
    def observe(self, columns: RequestColumns, silent: Flags) -> Iterable[Crossing]:
        """The first crossing of each endpoint that is `silent` (no open episode), among requests just counted."""

    @abstractmethod
    def close(self, second: int, silent: Flags) -> Flags:
        """A second is complete, its row is in the ring. Returns whose state this changed."""

    @abstractmethod
    def firing(self) -> Ints:
        """The endpoints whose value was above the threshold in the last closed second."""

    @abstractmethod
    def read(self, endpoint: int) -> Reading:
        """What the last closed second says of an endpoint."""

    @abstractmethod
    def is_quiescent(self, second: int) -> bool:
        """Whether nothing would change any more if no request came after this last closed second."""

    @abstractmethod
    def snapshots(self, numbers: Ints) -> Sequence[Any]:
        """The state of each of these endpoints as plain data, without what the ring tells."""

    @abstractmethod
    def restore(self, numbers: Ints, states: Sequence[msgspec.Raw]) -> None:
        """The inverse, for endpoints that are new. `reconfigure` follows once all are restored."""


class ScalingRule(Rule[S]):
    """A rule over what one endpoint reported of its replicas. Stateless: the report before comes with it."""

    @abstractmethod
    def read(self, endpoint: str, report: Report, before: Report | None) -> Reading:
        """What a report says; `before` is the one before it in event time."""


class BudgetRule(Rule[S]):
    """A rule over the ledger of a budget."""

    @abstractmethod
    def observe(self, budget: str, ledger: Ledger) -> None:
        """The ledger has moved on by one roll-up. Called for every one: must cost little."""

    @abstractmethod
    def is_due(self, budget: str, ledger: Ledger) -> bool:
        """Whether the rule might fire now: a bound that costs little. It is asked once a second of event time."""

    def is_due_again(self, budget: str, ledger: Ledger, episode: Episode) -> bool:  # noqa: ARG002 -- see below
        """Whether, while an episode is open, the reading might be worse than the last one, or low where that was not.

        It is read anyway when an update is due, and when a low value has lasted. Unless a rule knows better: always.
        """
        return True

    @abstractmethod
    def read(self, budget: str, ledger: Ledger) -> Reading:
        """What the ledger says now, exactly."""

    @abstractmethod
    def snapshot(self, budget: str) -> Any:  # noqa: ANN401 -- plain data of the rule's own shape
        """What the rule keeps of a budget, as plain data."""

    @abstractmethod
    def restore(self, budget: str, state: msgspec.Raw) -> None:
        """The inverse."""
