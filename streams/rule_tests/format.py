"""The file: a configuration, and tests. Times are offsets from the start of a test, except for `start` itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from schemas.config import Seconds
from schemas.events import Amount, Count, EndpointId, Name, Replicas, ReplicaState
from schemas.outputs import Action, Held, Mode, Severity, Status
from schemas.units import US, to_us
from streams.rule_tests.expected import Moment, Number, RuleName
from streams.rule_tests.shorthand import FINEST_US, Levels, Rates, States
from streams.rule_tests.shorthand import Replicas as ReplicaSeries
from streams.values import Written
from streams.yaml_lines import Plain

EVERY: Final = Seconds(15)  # how often a collector reports replicas
Often = Annotated[Seconds, Meta(extra={"ge": FINEST_US / US})]


class Start(int, Written):
    """When a test begins, in microseconds since the epoch."""

    __slots__ = ()
    EXPECTED: ClassVar = "a time with an offset from UTC, such as 2024-01-01T00:00:00Z"

    @classmethod
    def written(cls, value: Plain) -> Self:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
        if read is None or read.tzinfo is None or to_us(read) < 0:
            raise ValueError(value)
        return cls(to_us(read))


MONDAY: Final = Start(to_us(datetime(2024, 1, 1, tzinfo=UTC)))


class Entry(Struct, frozen=True):
    """One mapping of the file."""


class RequestSeries(Entry, frozen=True):
    """Requests of one endpoint, in short-hand; `errors` is the share that fails with status 500."""

    endpoint: EndpointId
    series: Rates
    at: Seconds = Seconds(0)
    status: Levels | None = None
    errors: Levels | None = None
    duration_s: Levels | None = None
    queue_depth: Levels | None = None
    region: Name | None = None
    input_tokens: Levels | None = None
    output_tokens: Levels | None = None


class ScalingSeries(Entry, frozen=True):
    """Reports of one endpoint's replicas, one `every` so often, in short-hand."""

    endpoint: EndpointId
    series: ReplicaSeries
    at: Seconds = Seconds(0)
    every: Often = EVERY
    min_replicas: Replicas | None = None
    max_replicas: Replicas | None = None
    state: States | None = None
    utilization: Levels | None = None
    region: Name | None = None
    instance: Name | None = None


class BillingSeries(Entry, frozen=True, rename={"from_": "from"}):
    """One line of a bill that the log took `at`; or, with `every`, a line for each such part of the period."""

    endpoint: EndpointId
    to: Seconds
    cost_usd: Levels
    from_: Seconds = Seconds(0)
    at: Seconds | None = None
    every: Often | None = None
    region: Name | None = None
    provider: Name | None = None
    estimated: bool = False

    def __post_init__(self) -> None:
        if self.to < self.from_:
            raise ValueError(f"expected `to` at or after `from` ({self.from_.text}), got {self.to.text}")
        if self.at is not None and self.every is not None:
            raise ValueError("give either `at` or `every`: each line of a series is taken when its period ends")


class RequestEvent(Entry, frozen=True, tag_field="topic", tag="requests"):
    """A request event as it travels; `at` is its time, `logged` when the log took it (at once, if not given)."""

    at: Seconds
    endpoint: EndpointId
    logged: Seconds | None = None
    count: Count = 1
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    duration_s: Annotated[float, Meta(ge=0)] | None = None
    queue_depth: Count | None = None
    region: Name | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0


class ScalingEvent(Entry, frozen=True, tag_field="topic", tag="scaling"):
    """A scaling event as it travels."""

    at: Seconds
    endpoint: EndpointId
    ready_replicas: Replicas
    target_replicas: Replicas
    logged: Seconds | None = None
    min_replicas: Replicas | None = None
    max_replicas: Replicas | None = None
    state: ReplicaState | None = None
    utilization: Annotated[float, Meta(ge=0)] | None = None
    region: Name | None = None
    instance: Name | None = None
    cold_start: bool = False


class BillingEvent(Entry, frozen=True, tag_field="topic", tag="billing"):
    """A billing event as it travels; `at` is when the log took it."""

    at: Seconds
    endpoint: EndpointId
    period_start: Seconds
    period_end: Seconds
    cost_usd: Amount
    region: Name | None = None
    provider: Name | None = None
    estimated: bool = False
    line_id: Annotated[str, Meta(max_length=512)] | None = None


class ExpectedFinding(Entry, frozen=True):
    """The fields of a finding that are to be compared."""

    at: Moment | UnsetType = UNSET
    rule: RuleName | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    endpoint: str | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    opened_at: Moment | UnsetType = UNSET
    score: Number | UnsetType = UNSET
    value: Number | UnsetType = UNSET
    threshold: Number | UnsetType = UNSET
    baseline: Number | UnsetType | None = UNSET
    unit: str | UnsetType = UNSET
    evidence: dict[str, Any] | UnsetType = UNSET


class ExpectedCommand(Entry, frozen=True):
    """The fields of a command that are to be compared; `at` is its `issued_at`."""

    at: Moment | UnsetType = UNSET
    action: Action | UnsetType = UNSET
    endpoint: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    held: Held | UnsetType | None = UNSET
    rule: RuleName | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET
    cost: dict[str, Any] | UnsetType = UNSET
    before: dict[str, Any] | UnsetType = UNSET


class RuleTest(Entry, frozen=True):
    """Events, and what is to come of them."""

    name: Annotated[str, Meta(min_length=1)]
    start: Start = MONDAY
    requests: tuple[RequestSeries, ...] = ()
    scaling: tuple[ScalingSeries, ...] = ()
    billing: tuple[BillingSeries, ...] = ()
    events: tuple[RequestEvent | ScalingEvent | BillingEvent, ...] = ()
    until: Seconds | None = None
    rules: tuple[RuleName, ...] = ()
    updates: bool = False
    findings: tuple[ExpectedFinding, ...] | None = None
    commands: tuple[ExpectedCommand, ...] | None = None

    def __post_init__(self) -> None:
        if not (self.requests or self.scaling or self.billing or self.events):
            raise ValueError("has no events: give requests, scaling, billing or events")
        if self.findings is None and self.commands is None:
            raise ValueError("expects nothing: give findings or commands ([] for none)")

    @property
    def until_us(self) -> int:
        return 0 if self.until is None else self.start + round(self.until * US)


class RuleTests(Entry, frozen=True):
    """The file, apart from its configuration."""

    tests: Annotated[tuple[RuleTest, ...], Meta(min_length=1)]


def given(expected: ExpectedFinding | ExpectedCommand) -> dict[str, object]:
    """The fields that were written, in the order in which they read best."""
    return {name: value for name, value in structs.asdict(expected).items() if value is not UNSET}
