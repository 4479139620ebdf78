"""When an order says that it was given."""

from __future__ import annotations

import msgspec

from schemas.config import Config
from schemas.orders import Verb, seal
from schemas.topics import APPROVALS
from schemas.units import US, from_rfc3339, rfc3339
from streams.operate.options import now_us
from streams.operate.present import Present
from streams.operate.saying import order_time_us
from tests.actions.orders import KEYS, operators, order


def test_the_kill_switch_holds_though_the_last_word_came_from_a_clock_that_is_ahead() -> None:
    """The action stage hears only the newest word, by its own clock: a pause must not be taken for an old one."""
    present, ahead_us = Present(Config(operators=operators("alice"))), now_us() + 240 * US
    given = msgspec.structs.replace(order(Verb.RESUME, "alice", 0), at=rfc3339(ahead_us), signature=None)
    present.take(APPROVALS, msgspec.json.encode(KEYS["alice"].sign(seal(given))), now_us())
    assert order_time_us(Verb.PAUSE, present) == from_rfc3339(rfc3339(ahead_us)) + 1
    assert order_time_us(Verb.APPROVE, present) < ahead_us
