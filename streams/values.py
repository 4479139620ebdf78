"""Turns one value of the configuration into the type that is wanted, or says in words what was expected.

Types are msgspec's own descriptions of them (`msgspec.inspect`). Nothing is guessed: `yes` is no boolean,
`5` is no text; a whole number is a number, and a duration may be written in words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Self

from msgspec import inspect

from schemas.config import Seconds, Secret
from streams.yaml_lines import Plain

MOST_NAMES: Final = 20  # that a message lists
LONGEST: Final = 60  # characters of a value that a message quotes
CENTURY_S: Final = 36525 * 86400
Bounds = Mapping[str, float]


class MismatchError(ValueError):
    """The value is not what is wanted; the message says what would have been."""


class Written:
    """A type of one's own for a value that is written in words of its own; `EXPECTED` says which."""

    EXPECTED: ClassVar[str]

    @classmethod
    def written(cls, value: Plain) -> Self:
        """Read what was written. Raises ValueError, or MismatchError where there is more to say than `EXPECTED`."""
        raise NotImplementedError


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known."""
    names = {name.lower(): name for name in sorted(known)}
    close = get_close_matches(word.lower(), names, n=1)
    if close:
        return f"; did you mean '{names[close[0]]}'?"
    return f"; known are {', '.join(names.values())}" if 0 < len(names) <= MOST_NAMES else ""


def shown(value: object) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def convert(value: Plain, kind: inspect.Type) -> Any:
    """The value as `kind`. Raises MismatchError."""
    inner, bounds = _unwrap(kind)
    try:
        converted = _converter(inner)(value, inner)
    except (ValueError, OverflowError) as error:
        raise MismatchError(str(error) if isinstance(error, MismatchError) else _expected(value, kind)) from None
    if isinstance(converted, (int, float)) and not _within(converted, bounds):
        raise MismatchError(_expected(value, kind))
    return converted


def _expected(value: Plain, kind: inspect.Type) -> str:
    hint = " (put it in quotes)" if isinstance(kind, inspect.StrType) and value is not None else ""
    hint = "" if isinstance(value, str) else hint
    return f"expected {describe(kind)}, got {shown(value)}{hint}"


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, Bounds]:
    """The type without its annotations, and the range it must be in."""
    if isinstance(kind, inspect.Metadata):
        inner, bounds = _unwrap(kind.type)
        return inner, {**bounds, **(kind.extra or {})}
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        names = ("gt", "ge", "lt", "le", "multiple_of")
        return kind, {name: bound for name in names if (bound := getattr(kind, name)) is not None}
    return kind, {}


def _sort(kind: inspect.Type) -> type:
    return kind.cls if isinstance(kind, inspect.CustomType) else type(kind)


_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
    "multiple_of": lambda value, bound: value % bound == 0,
}


def _within(value: float, bounds: Bounds) -> bool:
    return all(_COMPARE[name](value, bound) for name, bound in bounds.items())


def _whole(value: Plain, _: inspect.Type) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def _number(value: Plain, _: inspect.Type) -> float:
    if type(value) not in (int, float) or not math.isfinite(number := float(value or 0)):
        raise ValueError
    return number


def _boolean(value: Plain, _: inspect.Type) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - a value of the wrong type is what this module is about
    return value


def _text(value: Plain, kind: inspect.Type) -> str:
    if not isinstance(value, str) or not isinstance(kind, inspect.StrType):
        raise ValueError  # noqa: TRY004
    long_enough = len(value) >= (kind.min_length or 0)
    short_enough = kind.max_length is None or len(value) <= kind.max_length
    if not (long_enough and short_enough) or (kind.pattern and not re.search(kind.pattern, value)):
        raise ValueError
    return value


def words(kind: inspect.Type) -> dict[str, Any]:
    """The words a value may be, and what each stands for."""
    if isinstance(kind, inspect.EnumType):
        return {str(member.value): member for member in kind.cls}
    return {str(value): value for value in kind.values} if isinstance(kind, inspect.LiteralType) else {}


def _word(value: Plain, kind: inspect.Type) -> Any:
    known = words(kind)
    if value in known:
        return known[str(value)]
    message = f"expected {describe(kind)}, got {shown(value)}"
    close = nearest(str(value), known)
    raise MismatchError(message + (close if "did you mean" in close else ""))


def _seconds(value: Plain, kind: inspect.Type) -> Seconds:
    seconds = Seconds.parse(value) if isinstance(value, str) else Seconds(_number(value, kind))
    if not 0 <= seconds <= CENTURY_S:
        raise ValueError
    return seconds


def _date(value: Plain, _: inspect.Type) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError
    return date.fromisoformat(value)


_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CONVERTERS: Final[Mapping[type, Callable[[Plain, inspect.Type], Any]]] = {
    inspect.IntType: _whole,
    inspect.FloatType: _number,
    inspect.BoolType: _boolean,
    inspect.StrType: _text,
    inspect.LiteralType: _word,
    inspect.EnumType: _word,
    inspect.DateType: _date,
    Seconds: _seconds,
}


def _converter(kind: inspect.Type) -> Callable[[Plain, inspect.Type], Any]:
    sort = _sort(kind)
    return (lambda value, _: sort.written(value)) if issubclass(sort, Written) else _CONVERTERS[sort]


def is_scalar(kind: inspect.Type) -> bool:
    sort = _sort(_unwrap(kind)[0])
    return sort in _CONVERTERS or issubclass(sort, Written)


def is_secret(kind: inspect.Type) -> bool:
    return _sort(kind) is Secret


_NAMES: Final[Mapping[type, str]] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.NoneType: "nothing",
    inspect.StructType: "a mapping",
    inspect.DictType: "a mapping",
    inspect.VarTupleType: "a list",
    inspect.ListType: "a list",
    inspect.DateType: "a date (such as 2026-11-01)",
    Seconds: "a duration (such as 30s or 1h30m)",
    Secret: "text",
}


def describe(kind: inspect.Type) -> str:
    """What may be written, in words: `a whole number from 0 to 65535`."""
    inner, bounds = _unwrap(kind)
    if isinstance(inner, inspect.UnionType):
        return " or ".join(describe(one) for one in inner.types if not isinstance(one, inspect.NoneType))
    if known := words(inner):
        return "one of " + ", ".join(known)
    if issubclass(sort := _sort(inner), Written):
        return sort.EXPECTED
    if isinstance(inner, inspect.StrType):
        if inner.pattern:
            return f"text that matches {inner.pattern}"
        return "text" if not inner.min_length else "text that is not empty"
    unit = (lambda bound: Seconds(bound).text) if sort is Seconds else str
    return " ".join(filter(None, (_NAMES[sort], _range(bounds, unit))))


def _range(bounds: Bounds, unit: Callable[[float], str]) -> str:
    at = {name: unit(bound) for name, bound in bounds.items()}
    step = f"in steps of {at['multiple_of']}" if "multiple_of" in at else ""
    if "ge" in at and "le" in at:
        return ", ".join(filter(None, (f"from {at['ge']} to {at['le']}", step)))
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    limits = " and ".join(f"{words[name]} {at[name]}" for name in words if name in at)
    return ", ".join(filter(None, (limits, step)))
