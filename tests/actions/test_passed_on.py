"""What is let in at the action stage's door."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from actions import ActionFold
from actions.passed_on import pass_on, refused, report
from schemas.config import Config
from schemas.orders import Verb, seal
from schemas.outputs import Finding, Refusal, Result, State
from streams.core_stage import encode
from tests.actions import lives
from tests.actions.findings import at, commands, settings, surge
from tests.actions.orders import KEYS, failed, operators, order

CONFIG = Config(operators=operators("alice"))


@pytest.mark.parametrize("field", ["at", "until"])
@pytest.mark.parametrize("text", ["", "x", "2026-11-22T10:00:00", "9" * 400, "9999-12-31T23:59:59-23:00"])
def test_a_time_that_is_none_is_refused_and_stops_nobody(field: str, text: str) -> None:
    """An operator's slip, or malice, must not stop the worker: the past and the future are asked for only of times."""
    given = seal(structs.replace(order(Verb.PAUSE, "alice", 0), **{field: text}))
    refusal = refused(KEYS["alice"].sign(given), at(0), CONFIG)
    assert refusal is not None
    assert refusal[0] is Refusal.UNREADABLE


def test_what_is_passed_on_again_under_another_configuration_has_another_id() -> None:
    """An id never has two meanings; after a crash, records are read again with what was reloaded meanwhile."""
    given, broken = order(Verb.PAUSE, "alice", 0), lives.result(lives.command(), State.FAILED)
    found = [
        heard
        for version in ("one", "two")
        for config in [structs.replace(CONFIG, version=version)]
        for heard in (pass_on(given, at(0), 7, config), report(broken, at(0), 7, config))
        if isinstance(heard, Finding)
    ]
    assert len({heard.id for heard in found}) == len(found) == 4


def test_what_the_outside_said_stays_behind() -> None:
    """How things were may be nested deeper than the action stage's log can hold: it would stop the worker for good."""
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"deeper": deep}
    [command] = commands(ActionFold(settings()).apply(surge("acme/a", 0), at(0)))
    told = msgspec.convert(failed(command, 5).evidence["result"], Result)
    finding = report(structs.replace(told, before=deep, after=deep), at(5), 0, CONFIG)
    assert finding is not None
    assert encode(finding)
