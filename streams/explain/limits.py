"""What makes a rule fire, in its own words, and which of the numbers was the limit.

A rule's specification is the docstring of its file (`detectors/rules/`): the first sentence says what is wrong, the
rest what exactly fires. Its indented lines are formulas; these, and what stands in backticks, name the settings.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from math import isclose
from typing import Any, Final, NamedTuple

from actions.evidence import number
from detectors import RULES
from schemas.config import Seconds
from schemas.outputs import Finding
from streams.explain.settings import Setting

_CLOSE: Final = 1e-6  # of the threshold: numbers in evidence are rounded
_HOURS: Final = 24
_WORD: Final = re.compile(r"\w+")
_FORMULA: Final = re.compile(r"^ {4}.*$|`[^`]+`", re.MULTILINE)


class Specification(NamedTuple):
    """What a rule says of itself; empty for one that is not known here."""

    says: str = ""
    exactly: str = ""

    @property
    def names(self) -> set[str]:
        """The words that its formulas are made of."""
        return set(_WORD.findall(" ".join(_FORMULA.findall(self.exactly))))


class Passed(NamedTuple):
    """A step of a ladder: what it is made of, and its amount in the unit of the finding."""

    limit: str
    amount: float


def specification(rule: str) -> Specification:
    known = RULES.get(rule)
    text = None if known is None else sys.modules[known.__module__].__doc__
    first, _, rest = inspect.cleandoc(text or "").partition("\n\n")  # python -OO leaves nothing to say
    return Specification(" ".join(first.split()).partition(": ")[2], rest)


def limit(finding: Finding, settings: Sequence[Setting], facts: Sequence[Setting]) -> str | None:
    """What the threshold is made of, such as `ratio x normal`; None where no simple product gives it."""
    names = specification(finding.rule).names
    told = [(one.name, _amount(one.value, finding.unit)) for one in (*settings, *facts) if one.name in names]
    own = [(name, amount) for name, amount in told if amount is not None]
    for text, value in _candidates(finding, own, _daily(facts)):
        if isclose(value, finding.threshold, rel_tol=_CLOSE):
            return text
    return None


def passed(finding: Finding, settings: Sequence[Setting], facts: Sequence[Setting]) -> Passed | None:
    """The step of the day's amount that gave the severity, if it is not the threshold; None where they disagree."""
    daily = _daily(facts)
    if daily is None or limit(finding, settings, facts) is None:
        return None
    for one in settings:
        amount = _amount(one.value, finding.unit)
        if one.name == finding.severity and amount is not None and amount * daily > finding.threshold:
            return Passed(f"{one.name} x daily_usd", amount * daily)
    return None


def _daily(facts: Sequence[Setting]) -> float | None:
    return next((one.value for one in facts if one.name == "daily_usd"), None)


def _candidates(finding: Finding, own: Sequence[tuple[str, float]], daily: float | None) -> Iterator[tuple[str, float]]:
    yield from own
    if finding.baseline is not None:
        yield from ((f"{name} x normal", value * finding.baseline) for name, value in own)
    yield from _highs(finding)
    if daily is not None:
        yield "daily_usd / 24", daily / _HOURS
        yield from ((f"{name} x daily_usd", value * daily) for name, value in own)


def _highs(finding: Finding) -> Iterable[tuple[str, float]]:
    normal = finding.evidence.get("normal")
    found = [number(finding.evidence, "high_rps"), number(normal, "high") if isinstance(normal, dict) else None]
    return [("high (the upper end of normal)", high) for high in found if high is not None]


def _amount(value: Any, unit: str) -> float | None:  # noqa: ANN401 -- a setting may be of any type
    """A setting's number in the unit of the finding; a duration is none but in seconds."""
    if isinstance(value, str) and unit == "s":
        try:
            return Seconds.parse(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value * 100 if unit == "%" else value
