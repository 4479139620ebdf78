"""Ids come from content alone, and everything that goes out survives the wire."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import outputs
from schemas.orders import Order
from schemas.outputs import Severity, derive_id
from streams.document_examples import OUTPUTS

PARTS = st.lists(st.text() | st.integers(min_value=-(2**63), max_value=2**63), max_size=5)


@given(PARTS, PARTS)
def test_ids_are_equal_exactly_when_their_parts_are(one: list[str | int], other: list[str | int]) -> None:
    """The same parts give the same id, other parts another."""
    assert (derive_id(*one) == derive_id(*other)) == (one == other)


@given(PARTS)
def test_an_id_is_32_hexadecimal_digits(parts: list[str | int]) -> None:
    """Every id fits the pattern that the schemas demand."""
    assert msgspec.convert(derive_id(*parts), outputs.Id) == derive_id(*parts)


def test_where_a_part_ends_matters() -> None:
    """Parts are not merely joined."""
    assert len({derive_id("ab", "c"), derive_id("a", "bc"), derive_id("abc"), derive_id("ab", "c", "")}) == 4


def test_an_id_is_the_same_in_another_process() -> None:
    """Nothing that differs between processes, such as Python's hash seed, goes into an id."""
    code = "from schemas.outputs import derive_id; print(derive_id('episode', 'request_surge', 'acme/bert', 1))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == derive_id("episode", "request_surge", "acme/bert", 1)
    assert run.stdout.strip() == "08774976812b1bf46b46d8627f85a8a2"


def test_severities_rank_from_mild_to_grave() -> None:
    """`rank` orders PagerDuty's four words."""
    assert sorted(Severity, key=lambda severity: severity.rank) == ["info", "warning", "error", "critical"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_survives_the_wire(name: str) -> None:
    """What was written and is read again is the same."""
    struct = Order if name == Order.__name__ else getattr(outputs, name)
    output = msgspec.convert(OUTPUTS[name], struct)
    assert msgspec.json.decode(msgspec.json.encode(output), type=struct) == output
