"""What goes out: findings, commands, alerts and roll-ups (contract section 5).

Ids are derived from content, never drawn: the same input gives the same ids, so whatever is written
again after a crash is recognised as the same.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, structs


class Severity(StrEnum):
    """PagerDuty's four words, mildest first in `rank`."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Status(StrEnum):
    """What a finding says of its episode."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVED = "resolved"


class Action(StrEnum):
    """What a command tells the outside to do."""

    THROTTLE = "throttle"
    OVERFLOW = "overflow"
    SHUTDOWN = "shutdown"
    RESTORE = "restore"


class Mode(StrEnum):
    """How much tidegate may do by itself."""

    SHADOW = "shadow"
    APPROVE = "approve"
    AUTO = "auto"


class Held(StrEnum):
    """Why a command was held back: the log field, the metric's label and the command's `held`."""

    KILL_SWITCH = "kill_switch"
    EVIDENCE_TOO_OLD = "evidence_too_old"
    PROTECTED = "protected"
    REFUSED = "refused"
    TELEMETRY_GAP = "telemetry_gap"
    NO_PROVIDER = "no_provider"
    ALREADY_IN_FORCE = "already_in_force"
    COOLDOWN = "cooldown"
    MAX_ACTIONS_PER_HOUR = "max_actions_per_hour"
    MAX_ACTIONS_PER_ENDPOINT = "max_actions_per_endpoint"
    BLAST_RADIUS = "blast_radius"
    SHADOW = "shadow"
    AWAITING_APPROVAL = "awaiting_approval"


class State(StrEnum):
    """Where a command is in its life. `actions/lifecycle.py` has the table of what may follow what."""

    PROPOSED = "proposed"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    ISSUED = "issued"
    APPLYING = "applying"  # an executor has read how things were, and begins
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    EXPIRED = "expired"
    REPLACED = "replaced"
    RESTORED = "restored"
    REJECTED = "rejected"


class Refusal(StrEnum):
    """Why an executor does not even try, or what an operator said is not heard. Changes no command's state."""

    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_EXECUTOR = "wrong_executor"
    MISPLACED = "misplaced"  # not where the records of its endpoint lie: a copy
    HELD = "held"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    FROM_THE_FUTURE = "from_the_future"
    NOT_ALLOWED = "not_allowed"  # by a person who may not say so
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LATE = "too_late"


Id = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Timestamp = Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
Evidence = dict[str, Any]


def derive_id(*parts: str | int) -> str:
    """32 hexadecimal digits that depend on the parts alone.

    >>> derive_id("episode", "request_surge", "acme/bert", 1)
    '08774976812b1bf46b46d8627f85a8a2'
    """
    return blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


UNSEALED: Final = "0" * 32  # stands for an id that is not derived yet


def content_id(kind: str, value: Struct) -> str:
    """The id that depends on all of a value but its `id`."""
    blank = structs.replace(value, id=UNSEALED)
    return derive_id(kind, msgspec.json.encode(blank, order="deterministic").decode())


class Finding(Struct, frozen=True, omit_defaults=False):
    """What a detector says about a subject. `score` > 1 means anomalous, for every rule."""

    id: Id
    episode: Id
    rule: str
    subject: str
    endpoint: str | None
    status: Status
    severity: Severity
    opened_at: Timestamp
    at: Timestamp
    score: Annotated[float, Meta(description="above 1 is anomalous")]
    value: float
    threshold: float
    baseline: float | None
    unit: str
    evidence: Evidence
    config_version: str


class Cost(Struct, frozen=True):
    """The money behind a command; None where it is not known (an endpoint without a price)."""

    spend_usd: float | None = None
    budget_usd: float | None = None
    rate_usd_per_hour: float | None = None
    saves_usd_per_hour: float | None = None


class Approval(Struct, frozen=True):
    """What a command waits for: so many different persons, until then, and what comes of it if they say nothing."""

    persons: int
    until: Timestamp
    otherwise: Literal["reject", "issue"]


class Command(Struct, frozen=True):
    """An instruction to the outside. Executors carry out only what is not `held`, and is signed and meant for them.

    A command that was held back is published too, with the reason in `held`, and then never in mode `auto`. One that
    awaited approval and got it is published anew, not held, in mode `approve`; `proposal` is the id that it had.
    """

    id: Id
    action: Action
    endpoint: str
    parameters: dict[str, Any]
    mode: Mode
    held: Held | None
    finding_id: Id
    episode: Id
    rule: str
    issued_at: Timestamp
    expires_at: Timestamp | None
    reason: str
    cost: Cost
    before: dict[str, Any]
    restores: Id | None = None
    executor: str | None = None  # by its name in the configuration; None: none of these takes it
    approval: Approval | None = None  # of what awaits one
    proposal: Id | None = None
    approved_by: tuple[str, ...] = ()
    signature: str | None = None  # `schemas/signatures.py`; no part of what the id is derived from


class Result(Struct, frozen=True):
    """What became of a command, or why somebody's word about one was not heard (`refusal`; `state` is None then).

    `executor`: who says so; None: the action stage. `before` of an `applying` is how things were, to come back to;
    `after` is what was read back.
    """

    id: Id
    command_id: Id | None
    state: State | None
    refusal: Refusal | None
    endpoint: str | None
    action: Action | None
    executor: str | None
    at: Timestamp
    reason: str = ""
    by: tuple[str, ...] = ()  # persons
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


class Alert(Struct, frozen=True):
    """A notification to a person, about a finding or a command. `dedup_key` is the episode's id."""

    id: Id
    dedup_key: Id
    status: Literal["firing", "resolved"]
    severity: Severity
    summary: Annotated[str, Meta(max_length=1024)]
    rule: str
    subject: str
    endpoint: str | None
    at: Timestamp
    finding_id: Id | None  # None: it is about tidegate itself
    command_id: Id | None
    details: dict[str, Any]


class Bill(Struct, frozen=True):
    """A billing event in the ledger's units."""

    start_us: int
    end_us: int
    cost_nano: Annotated[int, Meta(description="1e-9 US dollars")]
    estimated: bool
    line_id: str | None


class Rollup(Struct, frozen=True, omit_defaults=True):
    """One step in the life of one budget, as one partition of one input topic saw it.

    A scaling event tells the `replicas` of an endpoint and its region, a billing event a `bill`. A second in which its
    endpoints had requests is one roll-up; the last one of a minute tells what they were: endpoint -> [count, errors].

    Within (`source`, `partition`) the `seq` never falls, so a reader drops what it has seen. `time_us` moves the
    budget's clock; only of a source `clock/TOPIC` it is the wall clock's, and moves nothing: by then all that this
    partition of TOPIC held was read and told, but for requests since the last full minute, which came until `heard_us`.
    """

    budget: str
    source: str
    partition: int
    seq: int
    time_us: Annotated[int, Meta(description="microseconds since the epoch")]
    endpoint: str | None = None
    replicas: int | None = None
    bill: Bill | None = None
    region: str | None = None
    requests: dict[str, tuple[int, int]] | None = None
    heard_us: int | None = None


Output = Finding | Command | Result | Alert | Rollup
