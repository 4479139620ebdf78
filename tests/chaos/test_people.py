from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from actions.passed_on import refused
from schemas.config import Config, Operator
from schemas.orders import Order, Verb
from schemas.outputs import Held, Refusal, Result, State, derive_id
from schemas.topics import APPROVALS, RESULTS
from tests.actions.docket.commands import START_US, command
from tests.chaos.load import Message
from tests.chaos.people import BAD_ORDER, Keys, Replies

COMMANDS = 200


def replies(keys: Keys, held: Held | None, seed: int = 1) -> list[Message]:
    """What is said of many commands, each of which is written twice."""
    people = Replies(keys, seed)
    many = [command(held=held, reason=str(number), finding_id=derive_id(number)) for number in range(COMMANDS)]
    return [message for each in many for written in (each, each) for message in people.to(written, START_US)]


def test_what_is_asked_is_approved_rejected_and_forged(tmp_path: Path) -> None:
    """Each word is heard by whoever knows the persons, but the forged ones."""
    keys = Keys.new(tmp_path)
    config = Config(operators={name: Operator(str(key.public)) for name, key in keys.persons.items()})
    said = replies(keys, Held.AWAITING_APPROVAL)
    assert {message.topic for message in said} == {APPROVALS}
    orders = [msgspec.json.decode(message.value, type=Order) for message in said if message is not BAD_ORDER]
    assert {order.verb for order in orders} == {Verb.APPROVE, Verb.REJECT}
    wrong = Counter(why and why[0] for why in (refused(order, START_US, config) for order in orders))
    assert wrong.keys() == {None, Refusal.BAD_SIGNATURE}
    assert wrong[None] > wrong[Refusal.BAD_SIGNATURE] > 0
    assert max(Counter(message.value for message in said if message is not BAD_ORDER).values()) == 2


def test_what_is_in_force_is_reported_once_and_what_is_held_is_not(tmp_path: Path) -> None:
    """Most of it as verified, some as failed, and the same by the same seed."""
    keys = Keys.new(tmp_path)
    said = replies(keys, None)
    assert said == replies(keys, None) != replies(keys, None, seed=2)
    told = [msgspec.json.decode(message.value, type=Result) for message in said if message.topic == RESULTS]
    states = Counter(one.state for one in {one.id: one for one in told}.values())
    assert states.keys() == {State.VERIFIED, State.FAILED}
    assert states.total() == COMMANDS
    assert replies(keys, Held.COOLDOWN) == []
