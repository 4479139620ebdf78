"""Whose word counts: why an order of an operator is not heard.

Where no operators are configured, whoever may write to the topic may say anything but yes. Else an order must bear the
signature of the very person that it names.
"""

from __future__ import annotations

from typing import Final

from schemas import signatures
from schemas.config import Config
from schemas.orders import Order, Verb, seal
from schemas.outputs import Refusal
from schemas.signatures import BadKey, PublicKey
from schemas.units import US, from_rfc3339

FRESH_US: Final = 300 * US  # how far the clocks of operators and brokers may be apart, with the way of the order
ABOUT_COMMANDS: Final = frozenset({Verb.APPROVE, Verb.REJECT, Verb.ROLLBACK})


def refused(order: Order, at_us: int, config: Config) -> tuple[Refusal, str] | None:
    """Why an order does not count; `at_us` is when the log took it."""
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
