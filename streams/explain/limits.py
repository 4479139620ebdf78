"""What makes a rule fire, in its own words, and which of the numbers was the limit.

A rule's specification is the docstring of its file (`detectors/rules/`): the first sentence says what is wrong, the
first indented lines are the formula.
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
from schemas.outputs import Finding
from streams.explain.settings import Setting

_CLOSE: Final = 1e-6  # of the threshold: numbers in evidence are rounded
_HOURS: Final = 24
_WORD: Final = re.compile(r"\w+")


class Specification(NamedTuple):
    """What a rule says of itself; empty for one that is not known here."""

    says: str = ""
    fires_when: str = ""

    def names(self, key: str) -> bool:
        """Whether the formula has this word in it."""
        return key in _WORD.findall(self.fires_when)


def specification(rule: str) -> Specification:
    known = RULES.get(rule)
    text = None if known is None else sys.modules[known.__module__].__doc__
    paragraphs = inspect.cleandoc(text or "").split("\n\n")  # without docstrings (python -OO) there is nothing to say
    says = " ".join(paragraphs[0].split()).partition(": ")[2]
    formulas = (paragraph for paragraph in paragraphs if paragraph.startswith("    "))
    return Specification(says, inspect.cleandoc("\n" + next(formulas, "")))


def limit(finding: Finding, settings: Sequence[Setting], facts: Sequence[Setting]) -> str | None:
    """What the threshold is made of, such as `ratio x normal`; None where no simple product gives it."""
    spec = specification(finding.rule)
    told = [one for one in (*settings, *facts) if spec.names(one.name)]
    own = [(one.name, one.value) for one in told if _is_number(one.value)]
    daily = next((one.value for one in facts if one.name == "daily_usd"), None)
    for text, value in _candidates(finding, own, daily):
        if isclose(value, finding.threshold, rel_tol=_CLOSE):
            return text
    return None


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


def _is_number(value: Any) -> bool:  # noqa: ANN401 -- a setting may be of any type
    return isinstance(value, int | float) and not isinstance(value, bool)
