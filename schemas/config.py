"""The configuration: one frozen value, with every default named here or beside the rule that it belongs to.

How a rule is tuned is the rule's own affair: each detector brings `Settings`, a subclass of `RuleSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field, structs

from schemas.executors import AnyExecutor
from schemas.outputs import Action, Mode, Severity
from schemas.receivers import Alerting, AnyReceiver
from schemas.section import (
    Amount,
    Lasting,
    Lateness,
    Pattern,
    Port,
    Price,
    Seconds,
    Secret,
    Section,
    Share,
    Silence,
    matches,
)
from schemas.topics import Place


class Security(Section, frozen=True):
    """How to reach the brokers; words as in Kafka's own clients."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: Secret | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Kafka(Section, frozen=True):
    """Which cluster. `topic_prefix` goes before the name of every topic, `group` is the consumer group.

    `lean_fetch: false` reads records by aiokafka's own means: slower, the same records.
    """

    bootstrap_servers: Pattern = "localhost:9092"
    security: Security = Security()
    group: Pattern = "tidegate"
    topic_prefix: str = ""
    session_timeout: Lasting = Seconds(10)
    checkpoint_every: Lasting = Seconds(10)
    lean_fetch: bool = True


class Http(Section, frozen=True):
    """Where `/metrics`, `/-/healthy` and `/-/ready` are served; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Port = 9464


class Input(Section, frozen=True):
    """How events are read: how late one may be, and how far ahead of the log's clock its time may lie.

    And how long it is remembered of whom they told: see "What is forgotten, and when" in docs/guarantees.md.
    """

    lateness: Lateness = Seconds(10)
    max_future: Seconds = Seconds(300)
    skip: tuple[Pattern, ...] = ()  # places of records (`Place`) that no stage is to read
    forget_after: Silence = Seconds(8 * 86400)  # of silence; a week, so that weekly jobs keep what is known of them
    max_endpoints: Annotated[int, Meta(ge=1)] = 100_000  # of one partition; beyond, the longest silent are forgotten

    def skipped(self, topic: str, partition: int) -> frozenset[int]:
        """The offsets of a partition that are to be passed over."""
        places = map(Place.parse, self.skip)
        return frozenset(place.offset for place in places if (place.topic, place.partition) == (topic, partition))


class RuleSettings(Section, frozen=True):
    """What every rule has: a rule's own `Settings` inherit from this.

    `SAME_EVERYWHERE` names the fields that no endpoint and no budget may override.
    """

    SAME_EVERYWHERE: ClassVar[frozenset[str]] = frozenset()

    enabled: bool = True
    resolve_after: Seconds = Seconds(60)  # how long the value must stay low for the episode to end
    resolve_below: Share = 0.8  # of the threshold: what counts as low


Response = Literal["none", "throttle", "overflow", "shutdown"]


class Endpoint(Section, frozen=True):
    """What is known of an endpoint; what is None comes from `defaults`."""

    critical: bool | None = None
    expected_max: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_replicas: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None  # the most that there can be: a quota's, say
    price_usd_per_hour: Price | None = None  # per replica
    price_as_of: date | None = None  # when somebody last looked the price up
    model_gb: Annotated[float, Meta(gt=0, le=100_000)] | None = None  # what a replica loads before it is ready
    region: str | None = None
    team: Pattern | None = None  # a label of its alerts, to route by
    model: Pattern | None = None  # endpoints of one model are compared with each other
    legal: tuple[Pattern, ...] | None = None  # regions where it may run; none are named: anywhere
    mode: Mode | None = None
    actions: Mapping[str, Response] = field(default_factory=dict)  # rule -> what to do, before the global one
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)  # rule -> settings, before the global ones


class Budget(Section, frozen=True):
    """A daily amount of money over the endpoints that any of the patterns matches (`*`, `?`, `[a-z]`)."""

    daily_usd: Amount
    endpoints: Annotated[tuple[Pattern, ...], Meta(min_length=1)]
    timezone: str = "UTC"
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)

    def covers(self, endpoint: str) -> bool:
        return matches(endpoint, self.endpoints)


class Schedule(Section, frozen=True, rename={"for_": "for"}):
    """A planned launch: from each moment that `cron` names, `for` so long, more is expected of these endpoints.

    Meanwhile replicas up to `expected_max` are no runaway, and `expected_ratio` times the normal is what is normal;
    the normal itself learns nothing. `for` is a word of Python's, so in code it is `for_`.
    """

    cron: Pattern  # five fields: minute, hour, day of the month, month, day of the week
    for_: Lasting
    endpoints: Annotated[tuple[Pattern, ...], Meta(min_length=1)] = ("*",)
    expected_max: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    expected_ratio: Annotated[float, Meta(ge=1, le=1000)] | None = None
    timezone: str = "UTC"

    def covers(self, endpoint: str) -> bool:
        return matches(endpoint, self.endpoints)


class Provider(Section, frozen=True):
    """Where requests may overflow to, for the endpoints that any of the patterns matches."""

    name: Pattern
    price_usd_per_hour: Price
    endpoints: tuple[Pattern, ...] = ("*",)


class Overflow(Section, frozen=True):
    """Where requests go that an endpoint shall not take."""

    providers: tuple[Provider, ...] = ()


class Policy(Section, frozen=True):
    """Who must agree: so many different persons, within a time; and what comes of it if they do not answer."""

    persons: Annotated[int, Meta(ge=1, le=10)] = 1
    within: Lasting = Seconds(600)
    otherwise: Literal["reject", "issue"] = "reject"


class ApprovalRule(Section, frozen=True):
    """For commands of these rules, actions and endpoints. The first that fits says; where none does, the mode.

    `approve: auto` lets a command go at once; `approve: {persons: 2, within: 10m, otherwise: reject}` makes it wait.
    """

    rules: tuple[Pattern, ...] = ("*",)
    actions: tuple[Pattern, ...] = ("*",)
    endpoints: tuple[Pattern, ...] = ("*",)
    approve: Literal["auto", "approve"] | Policy = "approve"

    def fits(self, rule: str, action: Action, endpoint: str) -> bool:
        return matches(rule, self.rules) and matches(action, self.actions) and matches(endpoint, self.endpoints)


class Operator(Section, frozen=True):
    """A person whose orders are heard: their public key (`tidegate keys create`), and whether they may approve."""

    public_key: Pattern
    approves: bool = True


class Signing(Section, frozen=True):
    """The key that signs commands, in PEM, of the worker alone; and those whose signatures executors take.

    During a rotation `trusted` holds the old and the new one.
    """

    key: Secret | None = None
    key_file: str | None = None
    trusted: tuple[Pattern, ...] = ()


class ExternalAlert(Section, frozen=True):
    """What is done about an alert of another system, by its `alertname`."""

    action: Response = "none"
    severity: Severity | None = None  # None: the alert's own label
    max_replicas: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_requests_per_second: Annotated[float, Meta(gt=0, le=1_000_000_000)] | None = None


class External(Section, frozen=True):
    """Alerts of Prometheus or Alertmanager that are taken as findings of the rule `external`. Off without a token."""

    token: Secret | None = None
    token_file: str | None = None
    endpoint_label: Pattern = "endpoint"
    alerts: Mapping[str, ExternalAlert] = field(default_factory=dict)


class Safety(Section, frozen=True):
    """The limits of what tidegate may do by itself."""

    kill_switch: bool = False
    cooldown: Seconds = Seconds(300)  # between two commands for one endpoint
    max_actions_per_hour: Annotated[int, Meta(ge=0)] = 20
    max_actions_per_endpoint: Annotated[int, Meta(ge=0)] = 6  # in an hour
    max_share_down: Share = 0.25  # of all known endpoints that may be shut down at once
    max_capacity_down: Share = 1.0  # of all known replicas that may be shut down at once
    min_replicas: Annotated[int, Meta(ge=1)] = 1  # no throttle caps an endpoint lower
    poll_interval: Lasting = Seconds(30)  # how often collectors report: part of the worst case that `check` prints
    max_evidence_age: Seconds = Seconds(120)  # a finding older than this when it is read is no ground to act
    expires_after: Seconds = Seconds(900)  # a command that nobody renews ends by itself
    protected: tuple[Pattern, ...] = ()

    def protects(self, endpoint: str) -> bool:
        return matches(endpoint, self.protected)


DEFAULT_ENDPOINT = Endpoint(critical=False, expected_max=10, mode=None)


class Config(Section, frozen=True):
    """Everything. `version` names the part of it that decisions depend on: equal meaning, equal version."""

    kafka: Kafka = Kafka()
    http: Http = Http()
    input: Input = Input()
    mode: Mode = Mode.SHADOW
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    defaults: Endpoint = DEFAULT_ENDPOINT
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)  # every known rule, with its own Settings
    actions: Mapping[str, Response | Mapping[Severity, Response]] = field(default_factory=dict)
    overflow: Overflow = Overflow()
    safety: Safety = Safety()
    approvals: tuple[ApprovalRule, ...] = ()
    operators: Mapping[str, Operator] = field(default_factory=dict)
    signing: Signing = Signing()
    executors: Mapping[str, AnyExecutor] = field(default_factory=dict)
    receivers: Mapping[str, AnyReceiver] = field(default_factory=dict)
    alerting: Alerting = Alerting()
    external: External = External()
    version: str = ""

    def __post_init__(self) -> None:
        completed = {name: self._completed(known) for name, known in self.endpoints.items()}
        structs.force_setattr(self, "endpoints", completed)  # once, here: they are asked for with every event

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint, with what it leaves open filled from `defaults`."""
        return self.endpoints.get(name, self.defaults)

    def _completed(self, known: Endpoint) -> Endpoint:
        filled = {key: value for key, value in structs.asdict(self.defaults).items() if getattr(known, key) is None}
        filled["actions"] = {**self.defaults.actions, **known.actions}
        filled["rules"] = {**self.defaults.rules, **known.rules}
        return structs.replace(known, **filled)

    def rule(self, rule: str, endpoint: str | None = None, budget: str | None = None) -> RuleSettings:
        """The settings of a rule: the endpoint's or the budget's own, else the global ones."""
        if endpoint is not None and rule in (own := self.endpoint(endpoint).rules):
            return own[rule]
        if budget is not None and rule in (own := self.budgets[budget].rules):
            return own[rule]
        return self.rules[rule]

    def mode_of(self, endpoint: str) -> Mode:
        return self.endpoint(endpoint).mode or self.mode

    def approval_of(self, rule: str, action: Action, endpoint: str) -> Policy | None:
        """What a command must wait for; None: it does not. What is in shadow waits for nothing."""
        mode = self.mode_of(endpoint)
        if mode is Mode.SHADOW:
            return None
        fitting = (own.approve for own in self.approvals if own.fits(rule, action, endpoint))
        chosen = next(fitting, mode.value)
        if isinstance(chosen, Policy):
            return chosen
        return None if chosen == Mode.AUTO.value else Policy()

    def executor_for(self, endpoint: str, action: Action) -> str | None:
        """The first by name that takes it."""
        return next((name for name, known in sorted(self.executors.items()) if known.takes(endpoint, action)), None)

    def budgets_of(self, endpoint: str) -> tuple[str, ...]:
        return tuple(name for name, budget in self.budgets.items() if budget.covers(endpoint))


__all__ = [
    "DEFAULT_ENDPOINT",
    "Action",
    "ApprovalRule",
    "Budget",
    "Config",
    "Endpoint",
    "External",
    "ExternalAlert",
    "Http",
    "Input",
    "Kafka",
    "Lasting",
    "Mode",
    "Operator",
    "Overflow",
    "Pattern",
    "Policy",
    "Price",
    "Provider",
    "Response",
    "RuleSettings",
    "Safety",
    "Schedule",
    "Seconds",
    "Secret",
    "Section",
    "Security",
    "Severity",
    "Share",
    "Signing",
    "matches",
]
