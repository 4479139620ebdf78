"""Commands and orders as they may come: any text, number and nesting that JSON has."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas.orders import Order, Verb
from schemas.outputs import Action, Approval, Command, Cost, Held, Mode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES: st.SearchStrategy[Any] = st.none() | st.booleans() | NUMBERS | TEXT
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
MAPPINGS = st.dictionaries(TEXT, ANYTHING, max_size=4)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
MONEY = st.none() | st.floats(0, 1e9)

COMMANDS = st.builds(
    Command,
    id=IDS,
    action=st.sampled_from(Action),
    endpoint=TEXT,
    parameters=MAPPINGS,
    mode=st.sampled_from(Mode),
    held=st.none() | st.sampled_from(Held),
    finding_id=IDS,
    episode=IDS,
    rule=TEXT,
    issued_at=TEXT,
    expires_at=st.none() | TEXT,
    reason=TEXT,
    cost=st.builds(Cost, MONEY, MONEY, MONEY, MONEY),
    before=MAPPINGS,
    restores=st.none() | IDS,
    executor=st.none() | TEXT,
    approval=st.none()
    | st.builds(Approval, persons=st.integers(1, 10), until=TEXT, otherwise=st.sampled_from(["reject", "issue"])),
    proposal=st.none() | IDS,
    approved_by=st.lists(TEXT, max_size=3).map(tuple),
    signature=st.none(),
)
ORDERS = st.builds(
    Order,
    id=IDS,
    verb=st.sampled_from(Verb),
    who=WORDS,
    why=WORDS,
    at=TEXT,
    command_id=st.none() | IDS,
    until=st.none() | TEXT,
    matchers=st.lists(TEXT, max_size=3).map(tuple),
    silence_id=st.none() | IDS,
    signature=st.none(),
)
