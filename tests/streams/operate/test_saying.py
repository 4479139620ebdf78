"""When an order says that it was given, and what about."""

from __future__ import annotations

import msgspec

from actions import ActionFold
from schemas.config import ApprovalRule, Config, Policy
from schemas.orders import Verb, seal
from schemas.topics import APPROVALS, COMMANDS
from schemas.units import US, from_rfc3339, rfc3339
from streams.operate.options import now_us
from streams.operate.present import Present
from streams.operate.saying import order_time_us
from tests.actions.findings import at, commands, settings, surge
from tests.actions.orders import KEYS, operators, order


def test_the_kill_switch_holds_though_the_last_word_came_from_a_clock_that_is_ahead() -> None:
    """The action stage hears only the newest word, by its own clock: a pause must not be taken for an old one."""
    present, ahead_us = Present(Config(operators=operators("alice"))), now_us() + 240 * US
    given = msgspec.structs.replace(order(Verb.RESUME, "alice", 0), at=rfc3339(ahead_us), signature=None)
    present.take(APPROVALS, msgspec.json.encode(KEYS["alice"].sign(seal(given))), now_us())
    assert order_time_us(Verb.PAUSE, present) == from_rfc3339(rfc3339(ahead_us)) + 1
    assert order_time_us(Verb.APPROVE, present) < ahead_us


def test_what_a_person_is_shown_is_what_the_id_stands_for() -> None:
    """An approval names an id alone: whoever can write commands must not put another content under it."""
    config = settings(approvals=(ApprovalRule(approve=Policy()),))
    [asked] = commands(ActionFold(config).apply(surge("acme/a", 0), at(0)))
    altered = msgspec.structs.replace(asked, parameters={"max_requests_per_second": 1e6})
    present = Present(config)
    for each in (altered, asked):
        present.take(COMMANDS, msgspec.json.encode(each), now_us())
    assert [life.command for life in present.lives.known()] == [asked]
    assert present.unreadable == 1
