"""What a test expects: values as they are written, and whether what came is one of them.

A number is met within a millionth of itself, a time within a millisecond. With `~` before it, anything will do that
rounds to what is written: `~50.8` is met from 50.75 to 50.85, `~15m5s` from 15m4.5s to 15m5.5s; and `45..55` is met by
anything between the two.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from detectors import SETTINGS
from schemas.config import Seconds
from streams.values import MismatchError, Written, nearest, shown
from streams.yaml_lines import Plain

ABOUT: Final = "~"
RANGE: Final = ".."
CLOSE: Final = 1e-6  # of the number itself
TINY: Final = 1e-12  # where the number is 0
INSTANT_S: Final = 0.0005
_LAST: Final = re.compile(r"\d+(?:\.(\d+))?(ms|[dhms])", re.ASCII)
_UNITS_S: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Within(Written):
    """What was written, and from where to where it reaches."""

    def __init__(self, text: str, low: float, high: float) -> None:
        self.text, self.low, self.high = text, low, high

    @classmethod
    def written(cls, value: Plain) -> Self:
        if value is None or isinstance(value, bool):
            raise ValueError(value)
        text = str(value)
        low, dots, high = text.partition(RANGE)
        if dots:
            return cls._from_to(text, cls._read(low), cls._read(high))
        number = cls._read(text.removeprefix(ABOUT))
        reach = cls._unit(text) / 2 * (1 + CLOSE) if text.startswith(ABOUT) else cls._close(number)
        return cls(text, number - reach, number + reach)

    @classmethod
    def _from_to(cls, text: str, low: float, high: float) -> Self:
        if low > high:
            raise MismatchError(f"expected a range from the smaller to the larger, got {shown(text)}")
        return cls(text, low, high)

    def is_met_by(self, got: object) -> bool:
        return isinstance(got, (int, float)) and not isinstance(got, bool) and self.low <= got <= self.high

    def __str__(self) -> str:
        return self.text

    @classmethod
    @abstractmethod
    def _read(cls, text: str) -> float:
        """Read a single value. Raises ValueError."""

    @classmethod
    @abstractmethod
    def _unit(cls, text: str) -> float:
        """How much the last digit is worth."""

    @classmethod
    @abstractmethod
    def _close(cls, number: float) -> float:
        """How far what comes may be from a number that is written without `~`."""


class Number(Within):
    """`50.8`, `~50.8` or `45..55`."""

    EXPECTED: ClassVar = "a number, ~ and a number for what rounds to it, such as ~50.8, or a range such as 45..55"

    @classmethod
    def _read(cls, text: str) -> float:
        return _finite(text)

    @classmethod
    def _unit(cls, text: str) -> float:
        exponent: Any = Decimal(text.removeprefix(ABOUT)).as_tuple().exponent
        return float(10.0**exponent)

    @classmethod
    def _close(cls, number: float) -> float:
        return max(CLOSE * abs(number), TINY)


class Moment(Within):
    """A time after the start of the test: `15m5s`, `~15m5s` or `15m..16m`."""

    EXPECTED: ClassVar = (
        "a time after the start, such as 15m5s, ~15m for what rounds to it, or a range such as 15m..16m"
    )

    @classmethod
    def _read(cls, text: str) -> float:
        return _finite(text) if _LAST.search(text) is None else Seconds.parse(text)

    @classmethod
    def _unit(cls, text: str) -> float:
        decimals, unit = (_LAST.findall(text) or [("", "s")])[-1]
        return float(_UNITS_S[unit] / 10 ** len(decimals))

    @classmethod
    def _close(cls, number: float) -> float:  # noqa: ARG003 -- a clock is as exact at noon as in the morning
        return INSTANT_S


class RuleName(str, Written):
    """A rule that there is."""

    __slots__ = ()
    EXPECTED: ClassVar = "the name of a rule"

    @classmethod
    def written(cls, value: Plain) -> Self:
        if value not in SETTINGS:
            raise MismatchError(f"expected {cls.EXPECTED}, got {shown(value)}{nearest(str(value), SETTINGS)}")
        return cls(value)


def is_met(expected: object, got: object) -> bool:
    """Whether what came is what was expected; of a mapping, only the keys that are given count."""
    if isinstance(expected, Within):
        return expected.is_met_by(got)
    if isinstance(expected, Mapping):
        return isinstance(got, Mapping) and all(key in got and is_met(one, got[key]) for key, one in expected.items())
    if isinstance(expected, list):
        return isinstance(got, (list, tuple)) and len(got) == len(expected) and all(map(is_met, expected, got))
    number = number_in(expected)
    return expected == got if number is None else number.is_met_by(got)


def number_in(expected: object) -> Number | None:
    """A number where anything may stand: in evidence and parameters."""
    if isinstance(expected, str) and not expected.startswith(ABOUT) and RANGE not in expected:
        return None
    if not isinstance(expected, (str, int, float)):
        return None
    try:
        return Number.written(expected)
    except ValueError:
        return None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number
