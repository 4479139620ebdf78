"""What is let in at the action stage's door."""

from __future__ import annotations

import pytest
from msgspec import structs

from actions.passed_on import refused
from schemas.config import Config
from schemas.orders import Verb, seal
from schemas.outputs import Refusal
from tests.actions.findings import at
from tests.actions.orders import KEYS, operators, order

CONFIG = Config(operators=operators("alice"))


@pytest.mark.parametrize("field", ["at", "until"])
@pytest.mark.parametrize("text", ["", "x", "2026-11-22T10:00:00", "9" * 400, "9999-12-31T23:59:59-23:00"])
def test_a_time_that_is_none_is_refused_and_stops_nobody(field: str, text: str) -> None:
    """An operator's slip, or malice, must not stop the worker: the past and the future are asked for only of times."""
    given = seal(structs.replace(order(Verb.PAUSE, "alice", 0), **{field: text}))
    refusal = refused(KEYS["alice"].sign(given), at(0), CONFIG)
    assert refusal is not None
    assert refusal[0] is Refusal.UNREADABLE
