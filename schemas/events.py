"""What comes in: the three kinds of event, as they are written on the wire (contract section 3).

A field that is out of range cannot be decoded; an event that exists is valid.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas.units import HOUR_US, LATEST_S, to_us

LONGEST_PERIOD_DAYS: Final = 31  # a month: of more, a budget would have to remember for as long

Time = Annotated[
    Annotated[float, Meta(ge=0, le=LATEST_S)] | Annotated[datetime, Meta(tz=True)],
    Meta(description="RFC 3339 with an offset, or seconds since the epoch"),
]
EndpointId = Annotated[str, Meta(min_length=1, max_length=255)]
Name = Annotated[str, Meta(max_length=255)]  # bounded: state and findings keep it
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Replicas = Annotated[int, Meta(ge=0, le=1_000_000)]
Amount = Annotated[float, Meta(ge=-1e9, le=1e9)]  # a billion: its nano-dollars still fit into 64 bits
ReplicaState = Literal[
    "pending", "initializing", "updating", "updateFailed", "running", "paused", "failed", "scaledToZero"
]


class Request(Struct, frozen=True, gc=False):
    """`count` requests that one endpoint answered at `time` with the HTTP status `status`."""

    endpoint: EndpointId
    time: Time
    count: Count = 1
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    duration_s: Annotated[float, Meta(ge=0)] | None = None
    queue_depth: Count | None = None
    region: Name | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0


class Scaling(Struct, frozen=True, gc=False):
    """How many replicas an endpoint has and wants at `time`."""

    endpoint: EndpointId
    time: Time
    ready_replicas: Replicas
    target_replicas: Replicas
    min_replicas: Replicas | None = None
    max_replicas: Replicas | None = None
    state: ReplicaState | None = None
    utilization: Annotated[float, Meta(ge=0)] | None = None
    region: Name | None = None
    instance: Name | None = None
    cold_start: bool = False


class Billing(Struct, frozen=True, gc=False):
    """One line of a bill: what an endpoint cost in a period of at most 31 days; a credit is negative."""

    endpoint: EndpointId
    period_start: Time
    period_end: Time
    cost_usd: Amount
    region: Name | None = None
    provider: Name | None = None
    estimated: bool = False
    line_id: Annotated[str, Meta(max_length=512)] | None = None

    def __post_init__(self) -> None:
        length_us = to_us(self.period_end) - to_us(self.period_start)
        if length_us < 0:
            msg = f"Expected `period_end` at or after `period_start` ({self.period_start}), got {self.period_end}"
            raise ValueError(msg)
        if length_us > LONGEST_PERIOD_DAYS * 24 * HOUR_US:
            msg = (
                f"Expected `period_end` at most {LONGEST_PERIOD_DAYS} days after `period_start`"
                f" ({self.period_start}), got {self.period_end}: split the line"
            )
            raise ValueError(msg)

    @property
    def time(self) -> float | datetime:
        """When the line begins to matter: the start of its period."""
        return self.period_start


Event = Request | Scaling | Billing


class Why(StrEnum):
    """Why an event was not read: header `error.type` of the dead letter, and the metric's label."""

    EMPTY = "empty"
    MALFORMED = "malformed"
    INVALID = "invalid"
    KEY = "key"
    CLOUDEVENT = "cloudevent"
    FUTURE = "future"
    TOO_LARGE = "too_large"
    SKIPPED = "skipped"


class BadEvent(Struct, frozen=True, gc=False):
    """An event that could not be read: its bytes as they came, and the reason."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    why: Why
    message: str
