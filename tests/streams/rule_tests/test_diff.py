"""The difference: every expected and every actual one, in order, each next to the one that it was meant to be."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.rule_tests.diff import differences


def finding(at: int, status: str = "open", rule: str = "a", value: int = 1) -> dict[str, Any]:
    return {"at": at, "rule": rule, "status": status, "value": value}


def outcomes(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> list[Any]:
    """`+` for what was not expected, `-` for what did not come, else the fields that differ."""
    return [
        "+" if found.expected is None else "-" if found.got is None else list(found.fields)
        for found in differences(expected, got)
    ]


def test_what_came_as_expected_has_no_difference() -> None:
    """Only the fields that are given are compared."""
    assert outcomes([{"at": 1}, {"status": "resolved"}], [finding(1), finding(9, "resolved")]) == [[], []]


def test_fields_that_differ_are_named() -> None:
    """The two stand side by side."""
    assert outcomes([finding(1), finding(5, "resolved")], [finding(1), finding(6, "resolved", value=2)]) == [
        [],
        ["at", "value"],
    ]


def test_one_too_many_and_one_too_few_are_told_from_the_others() -> None:
    """One that is missing at the beginning does not make all that follow look wrong."""
    three = [finding(1), finding(2, "resolved"), finding(3)]
    assert outcomes(three, three[1:]) == ["-", [], []]
    assert outcomes(three[1:], three) == ["+", [], []]
    assert outcomes([], three) == ["+", "+", "+"]
    assert outcomes(three, []) == ["-", "-", "-"]


def test_another_rule_or_status_is_another_finding() -> None:
    """Two lines that have nothing in common are not compared field by field."""
    assert sorted(outcomes([finding(1, rule="a")], [finding(1, rule="b")])) == ["+", "-"]
    assert sorted(outcomes([finding(1)], [finding(1, "resolved")])) == ["+", "-"]


def test_the_order_counts() -> None:
    """Two that came the other way round are two differences."""
    assert outcomes([finding(1), finding(2, "resolved")], [finding(2, "resolved"), finding(1)]) != [[], []]


@given(
    expected=st.lists(st.builds(finding, st.integers(0, 3)), max_size=6),
    got=st.lists(st.builds(finding, st.integers(0, 3)), max_size=6),
)
def test_nothing_is_left_out(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> None:
    """And all is well only if there is nothing to tell."""
    found = differences(expected, got)
    assert [one.expected for one in found if one.expected is not None] == expected
    assert [one.got for one in found if one.got is not None] == got
    assert all(one.is_same for one in found) == (expected == got)
