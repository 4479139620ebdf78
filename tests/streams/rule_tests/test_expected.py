"""What is met by what: as exact as it is written."""

from __future__ import annotations

from typing import Any

import pytest

from streams.rule_tests.expected import Moment, Number, RuleName, is_met
from streams.values import MismatchError


@pytest.mark.parametrize(
    ("written", "met", "missed"),
    [
        (50.8, [50.8, 50.80001], [50.81, 51]),
        (0, [0, 0.0], [1e-9, 1]),
        (1_000_000, [1_000_000.5], [1_000_002]),
        ("~50.8", [50.75, 50.85, 50.8], [50.74, 50.86]),
        ("~22", [21.5, 22.5], [21.4, 22.6]),
        ("~0.004", [0.0035, 0.0045], [0.0034, 0.0046]),
        ("~2e3", [1500, 2500], [1499, 2501]),
        ("45..55", [45, 50, 55], [44.9, 55.1]),
        ("-5..5", [-5, 0], [-6]),
    ],
)
def test_a_number_is_met_as_exactly_as_it_is_written(written: Any, met: list[float], missed: list[float]) -> None:
    """Within a millionth; with ~ by what rounds to it; a range by what is in it."""
    number = Number.written(written)
    assert [got for got in met if not number.is_met_by(got)] == []
    assert [got for got in missed if number.is_met_by(got)] == []
    assert not number.is_met_by(None)
    assert not number.is_met_by(got=True)


@pytest.mark.parametrize(
    ("written", "met", "missed"),
    [
        ("15m5.1s", [905.1, 905.1004], [905.102, 905]),
        (90, [90], [91]),
        ("~15m5s", [904.5, 905.5], [904.4, 905.6]),
        ("~15m", [870, 930], [869, 931]),
        ("~15m5.1s", [905.06, 905.14], [905.2]),
        ("~500ms", [0.4995, 0.5005], [0.502]),
        ("15m..16m30s", [900, 990], [899, 991]),
    ],
)
def test_a_time_is_met_as_exactly_as_it_is_written(written: Any, met: list[float], missed: list[float]) -> None:
    """Within a millisecond; with ~ by what rounds to its last digit."""
    moment = Moment.written(written)
    assert [got for got in met if not moment.is_met_by(got)] == []
    assert [got for got in missed if moment.is_met_by(got)] == []


@pytest.mark.parametrize("written", ["about 5", "~", "~x", "5..", "6..5", "nan", True, None, "~inf"])
def test_what_is_no_number_is_refused(written: Any) -> None:
    """So that a typing error is no expectation."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the reader says what was expected
        Number.written(written)
    with pytest.raises(ValueError):  # noqa: PT011
        Moment.written(written)


def test_a_rule_must_be_one_that_there_is() -> None:
    """Or the nearest one is named."""
    assert RuleName.written("request_surge") == "request_surge"
    with pytest.raises(MismatchError, match="did you mean 'request_surge'"):
        RuleName.written("request_sruge")


def test_of_evidence_only_what_is_given_counts() -> None:
    """However deep; numbers in it are as exact as they are written, and a list is compared whole."""
    got = {"requests": 508, "window_s": 10.0, "endpoints": [{"name": "a", "usd": 1.25}], "ok": True, "none": None}
    assert is_met({"requests": "~5e2", "endpoints": [{"usd": "1..2"}]}, got)
    assert is_met({"ok": True, "none": None}, got)
    assert not is_met({"requests": 507}, got)
    assert not is_met({"endpoints": []}, got)
    assert not is_met({"endpoints": [{"usd": "~2"}]}, got)
    assert not is_met({"absent": None}, got)
    assert not is_met({"ok": 1}, got)
    assert not is_met({"requests": {"more": 1}}, got)
    assert not is_met({"none": False}, got)
