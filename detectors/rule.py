"""What a rule is: a subclass of one of the five classes here, in a file of its own under `rules/`.

- `RequestRule` sees columns of requests, all endpoints of a partition at once;
- `ScalingRule` sees the scaling events of one endpoint, one at a time, each at once;
- `HistoryRule` sees them in order of event time, once none can come between, and remembers;
- `BudgetRule` sees the ledger of one budget, and has one subject: the budget;
- `FleetRule` sees all that is told of one budget, and has many subjects: its endpoints, its regions, or itself.

A rule measures; when an episode opens and resolves is the same for all (`episodes.py`), and what to do about it is
not a detector's affair (`actions/`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np

from detectors.episodes import Episode, Reading
from detectors.ledger import Ledger
from detectors.plans import Plans
from detectors.report import Report
from detectors.rollup import RequestColumns, Ring
from detectors.table import Flags, Ints
from schemas.config import Config, RuleSettings
from schemas.outputs import Rollup

MINUTE_S: Final = 60

S = TypeVar("S", bound=RuleSettings)
M = TypeVar("M", bound=msgspec.Struct)


class Rule(ABC, Generic[S]):
    """A rule and its settings. `rule` is its name everywhere, `unit` that of its value.

    `set_in` are the sections of the configuration that may override its settings, besides `rules`.
    """

    rule: ClassVar[str]
    unit: ClassVar[str]
    set_in: ClassVar[Collection[str]] = ("endpoints",)
    Settings: ClassVar[type[RuleSettings]]

    def __init__(self, config: Config) -> None:
        self.config, self.plans = config, Plans(config.schedules)

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration."""
        self.config, self.plans = config, Plans(config.schedules)

    @classmethod
    def shared(cls, config: Config) -> S:
        """What holds for every endpoint; the rule's own defaults where the configuration knows nothing of it."""
        settings = config.rule(cls.rule)
        return settings if isinstance(settings, cls.Settings) else cls.Settings()  # type: ignore[return-value]

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

    The fold hands it all requests that are in time (`count`), calls `close` for every second that is complete, and
    asks which endpoints fire then. A rule that is about windows of time alone has most of that done: `WindowRule` in
    `windows.py`. One that fires at the very request that crosses overrides `may_cross` and `observe` too: `may_cross`
    is asked before requests are counted, of many at once; where the answer is yes `observe` is, once they are counted,
    of those of one newest second.

    `ring` counts the requests of the open seconds and of `reach_s` more before them.
    """

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config)
        self.ring = ring

    @classmethod
    def reach_s(cls, config: Config) -> int:  # noqa: ARG003 -- for those that override it
        """How many seconds of the ring it reads, ending with the one that closes."""
        return 0

    @classmethod
    def memory_s(cls, config: Config) -> int:
        """For how many seconds a request can make it fire."""
        return cls.reach_s(config)

    @classmethod
    def step_s(cls, config: Config) -> int:  # noqa: ARG003 -- for those that override it
        """The thresholds of `may_cross` move only when a second closes that ends a multiple of this."""
        return MINUTE_S

    @abstractmethod
    def add(self, endpoints: Sequence[str]) -> None:
        """New endpoints get the next numbers."""

    @abstractmethod
    def keep(self, numbers: Ints) -> None:
        """The others are forgotten; these are numbered anew, in this order."""

    def count(self, columns: RequestColumns) -> None:
        """Take from these requests, which the ring has just counted, what the ring does not tell."""

    def may_cross(self, columns: RequestColumns) -> bool:  # noqa: ARG002 -- for those that override it
        """Whether any endpoint might cross its threshold, if these were counted one by one and seconds closed between.

        A bound that costs little; the thresholds do not move meanwhile.
        """
        return False

    def observe(self, columns: RequestColumns, silent: Flags) -> Iterable[Crossing]:  # noqa: ARG002 -- as above
        """The first crossing of each endpoint that is `silent` (no open episode), among requests just counted."""
        return ()

    @abstractmethod
    def close(self, second: int, silent: Flags) -> Ints:
        """A second is complete, all its requests were counted. Returns the endpoints whose state this changed."""

    @abstractmethod
    def firing(self) -> Ints:
        """The endpoints whose value was above the threshold in the second just closed."""

    def moved(self, endpoints: Ints) -> Flags:
        """Which of these have a higher severity than a second ago, or became low, or are low no longer.

        The others have nothing to say before their next update is due. All, if the rule does not know.
        """
        return np.ones(len(endpoints), dtype=np.bool_)

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


class HistoryRule(Rule[S], Generic[S, M]):
    """A rule over what one endpoint reported of its replicas in the past.

    It keeps a `Memory` of each endpoint: a Struct of plain data, every field with a default, that the fold hands to it,
    writes and restores. How much it may hold must not depend on how much is reported. It begins anew after a silence of
    an hour (`history.SILENCE_US`), in which anything may have happened.
    """

    Memory: ClassVar[type[msgspec.Struct]]

    @abstractmethod
    def take(self, endpoint: str, memory: M, report: Report, before: Report | None) -> None:
        """Remember a report. Each comes once, when its second has closed, in order of event time.

        `before` is the one before it; None if the memory is new.
        """

    @abstractmethod
    def read(self, endpoint: str, memory: M, report: Report, at_us: int) -> Reading:
        """What all reports before `at_us` say, of which `report` is the last.

        It is asked at the end of each second that had a report, if the memory is not as it was when it was new; and at
        each full minute while an episode is open.
        """


class BudgetRule(Rule[S]):
    """A rule over the ledger of a budget."""

    set_in: ClassVar[Collection[str]] = ("budgets",)

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


class Measured(NamedTuple):
    """What a `FleetRule` measured of one subject until `at_us`: of an endpoint, else of a region or of the budget."""

    subject: str
    at_us: int
    reading: Reading
    is_endpoint: bool = True


class FleetRule(Rule[S]):
    """A rule over the endpoints of one budget. There is one of it for each budget.

    An endpoint that several budgets cover is a subject of the first of them only (`owns`), so that nobody hears of it
    twice. What the rules keep of one endpoint is a fact of its own: when it changes, say so with
    `self.changed.add(endpoint)`; only endpoints in `ledger.accounts` have one.
    """

    set_in: ClassVar[Collection[str]] = ("endpoints", "budgets")

    def __init__(self, config: Config, budget: str) -> None:
        super().__init__(config)
        self.budget = budget
        self.changed: set[str] = set()

    def owns(self, endpoint: str) -> bool:
        """Whether the endpoint is a subject of this budget."""
        return self.config.budgets_of(endpoint)[:1] == (self.budget,)

    @abstractmethod
    def observe(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:
        """A roll-up has been entered into the ledger. Called for every one: must cost little where nothing is due.

        `firing` are the subjects whose episodes are open. Yields what is to be said of these, and of those that fire;
        of each subject in order of time.
        """

    @abstractmethod
    def snapshot(self) -> Any:  # noqa: ANN401 -- plain data of the rule's own shape
        """What it keeps that belongs to no one endpoint, as plain data."""

    @abstractmethod
    def restore(self, state: msgspec.Raw) -> None:
        """The inverse. `adopt` follows for each endpoint."""

    @abstractmethod
    def snapshot_of(self, endpoint: str) -> Any:  # noqa: ANN401 -- plain data of the rule's own shape
        """What it keeps of an endpoint, as plain data; None: nothing."""

    @abstractmethod
    def adopt(self, endpoint: str, state: msgspec.Raw) -> None:
        """The inverse."""

    @abstractmethod
    def drop(self, endpoint: str) -> None:
        """The endpoint is no longer this budget's affair, or is forgotten."""

    def tick(self, rollup: Rollup, ledger: Ledger, firing: Collection[str]) -> Iterable[Measured]:  # noqa: ARG002
        """A roll-up of the wall clock: by then, all that a partition of an input held had been told. As `observe`."""
        return ()
