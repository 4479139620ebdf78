"""Findings that pass on into the action stage's log what operators said and what came of commands.

Whether an operator may say so is decided here, at the door, by the signature and the configuration of that moment; the
action stage obeys what it is told. `at_us` and `offset` are of the record in its own topic.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import structs

from actions import results
from actions.alerts import TIDEGATE
from schemas import signatures
from schemas.config import Config
from schemas.orders import Order, Verb, seal
from schemas.outputs import Action, Finding, Id, Refusal, Result, Severity, State, Status, derive_id
from schemas.signatures import BadKey, PublicKey
from schemas.topics import EXECUTOR, OPERATOR
from schemas.units import US, from_rfc3339, is_time, rfc3339

FRESH_US: Final = 300 * US  # how far the clocks of operators and brokers may be apart, with the way of the order
OF_ALERTING: Final = frozenset({Verb.SILENCE, Verb.UNSILENCE})  # heard by those who deliver alerts
ABOUT_COMMANDS: Final = frozenset({Verb.APPROVE, Verb.REJECT, Verb.ROLLBACK})


def pass_on(order: Order, at_us: int, offset: int, config: Config) -> Finding | Result | None:
    """What the action stage is to hear of an order; why it is not heard; None: it is for others."""
    refusal = refused(order, at_us, config)
    if refusal is not None:
        return results.unheard(order, refusal[0], at_us, refusal[1])
    if order.verb in OF_ALERTING:
        return None
    told = {"order": msgspec.to_builtins(order)}
    return _finding((OPERATOR, order.id), told, (at_us, offset), config.version)


def report(result: Result, at_us: int, offset: int, config: Config) -> Finding | None:
    """What the action stage is to hear of a result: that it begins, failures, refusals, and restores that are done."""
    is_turn = result.state in (State.APPLYING, State.FAILED)
    is_restored = result.action is Action.RESTORE and result.state is State.VERIFIED
    is_refused = result.refusal is not None and result.command_id is not None
    if result.executor is None or not (is_turn or is_refused or is_restored):
        return None
    told = {"result": msgspec.to_builtins(structs.replace(result, before={}, after={}))}  # the outside's: of any depth
    return _finding((EXECUTOR, result.id), told, (at_us, offset), config.version)


def refused(order: Order, at_us: int, config: Config) -> tuple[Refusal, str] | None:
    """Why an order does not count."""
    if not is_time(order.at) or (order.until is not None and not is_time(order.until)):
        return Refusal.UNREADABLE, "expected times in RFC 3339 with an offset"
    if seal(order).id != order.id:
        return Refusal.BAD_SIGNATURE, "the id is not that of its content"
    if order.verb in ABOUT_COMMANDS and order.command_id is None:
        return Refusal.UNREADABLE, "expected command_id"
    late_us = at_us - from_rfc3339(order.at)
    if abs(late_us) > FRESH_US:
        early = late_us < 0
        return (Refusal.FROM_THE_FUTURE if early else Refusal.TOO_LATE), f"it says it was given at {order.at}"
    return _not_allowed(order, config)


def _not_allowed(order: Order, config: Config) -> tuple[Refusal, str] | None:
    """Where no operators are configured, whoever may write to the topic may say anything but yes."""
    if not config.operators:
        return (Refusal.NOT_ALLOWED, "no operators are configured") if order.verb is Verb.APPROVE else None
    person = config.operators.get(order.who)
    if person is None:
        return Refusal.NOT_ALLOWED, f"{order.who} is not among the operators"
    try:
        key = PublicKey.parse(person.public_key)
    except BadKey:
        return Refusal.UNKNOWN_KEY, f"the public key of {order.who} in the configuration is none"
    refusal = signatures.refused(order, [key])
    if refusal is not None:
        return refusal, f"expected the signature of {order.who}"
    if order.verb is Verb.APPROVE and not person.approves:
        return Refusal.NOT_ALLOWED, f"{order.who} may not approve"
    return None


def _finding(source: tuple[str, Id], evidence: dict[str, Any], place: tuple[int, int], config_version: str) -> Finding:
    (rule, source_id), (at_us, offset) = source, place
    return Finding(
        id=derive_id(rule, source_id, offset, config_version),
        episode=derive_id(rule, source_id),
        rule=rule,
        subject=TIDEGATE,
        endpoint=None,
        status=Status.UPDATE,
        severity=Severity.INFO,
        opened_at=rfc3339(at_us),
        at=rfc3339(at_us),
        score=0.0,
        value=float(offset),
        threshold=0.0,
        baseline=None,
        unit="offset",
        evidence=evidence,
        config_version=config_version,
    )
