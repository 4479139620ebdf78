"""What operators say, on `control.approvals.v1`: approvals and rejections, the kill switch, silences."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, structs

from schemas.outputs import Id, Timestamp, content_id


class Verb(StrEnum):
    """What an operator wants."""

    APPROVE = "approve"
    REJECT = "reject"
    ROLLBACK = "rollback"
    PAUSE = "pause"  # the kill switch: no new command comes into force ...
    RESUME = "resume"  # ... until then
    SILENCE = "silence"
    UNSILENCE = "unsilence"


Person = Annotated[str, Meta(min_length=1, max_length=200)]


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One word of one operator. The id is derived from all of it but the signature."""

    id: Id
    verb: Verb
    who: Person
    why: Annotated[str, Meta(min_length=1, max_length=1000)]
    at: Timestamp
    command_id: Id | None = None  # of approve, reject and rollback
    until: Timestamp | None = None  # of pause and silence; None: until it is taken back
    matchers: tuple[str, ...] = ()  # of silence, as Alertmanager writes them: `rule="latency"`, `endpoint=~"acme/.*"`
    silence_id: Id | None = None  # of unsilence: the id of the order that it ends
    signature: str | None = None


def seal(order: Order) -> Order:
    """The order with the id that its content gives."""
    return structs.replace(order, id=content_id("order", structs.replace(order, signature=None)))
