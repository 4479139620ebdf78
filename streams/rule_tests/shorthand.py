"""What may be written in short-hand: rates, numbers, replicas and states over time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, sqrt
from typing import ClassVar, Final, NamedTuple, Self, get_args

from schemas.events import ReplicaState
from schemas.units import US
from streams.rule_tests.series import Numbers, Piece, Series, between, parse
from streams.values import MismatchError, Written, nearest, shown
from streams.yaml_lines import Plain

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_DECIMAL: Final = r"(?P<number>\d{1,12}(\.\d{1,12})?)"
_RATE: Final = re.compile(rf"{_DECIMAL}/(?P<unit>[smh])|0", re.ASCII)
_NUMBER: Final = re.compile(rf"{_DECIMAL}(?P<share>%)?", re.ASCII)
_REPLICAS: Final = re.compile(r"(\d{1,6})(?:->(\d{1,6}))?", re.ASCII)
FINEST_US: Final = 1000  # between two events of a series: above 1 000 a second, one event counts several requests
MOST_EVENTS: Final = 5_000_000  # of a series
GOLDEN: Final = 618_034  # millionths: multiples of the golden ratio fall evenly into a range, and never in order
MILLION: Final = 1_000_000


class Tick(NamedTuple):
    """So many requests at one moment, counted from the start of their series."""

    at_us: int
    requests: int


class Rates(Written):
    """Requests over time, evenly spaced: the first at the start, the k-th when k of them are due."""

    EXPECTED: ClassVar = "rates over time, such as '10/s for 15m, then 90/s for 30s'"

    def __init__(self, series: Series[Numbers]) -> None:
        self.series = series

    @classmethod
    def written(cls, value: Plain) -> Self:
        made = cls(parse(_text(value), _rate, endless=False))
        if made.total() > MOST_EVENTS:
            raise MismatchError(f"expected at most {MOST_EVENTS} requests, got {int(made.total())}")
        return made

    def total(self) -> Fraction:
        return sum((_due(piece) for piece in self.series.pieces), Fraction())

    def ticks(self) -> Iterator[Tick]:
        """Every request; those within one millisecond as one event where there are more than 1 000 a second."""
        due = Fraction()  # before the piece
        for start_us, piece in self.series.starts():
            after = due + _due(piece)
            times = _times_us(piece, range(ceil(due), ceil(after)), due)
            yield from (Tick(start_us + at_us, requests) for at_us, requests in _counted(times, piece))
            due = after


def _due(piece: Piece[Numbers]) -> Fraction:
    """How many requests a piece adds."""
    return (piece.first[0] + piece.last[0]) / 2 * Fraction(piece.length_us or 0, US)


def _times_us(piece: Piece[Numbers], numbers: range, due: Fraction) -> Iterator[int]:
    """When each of the numbered requests comes, from the start of the piece.

    At t seconds r t + s t^2 / 2 are due, r the first rate and s its slope.
    """
    first, slope = float(piece.first[0]), 0.0
    if piece.first != piece.last:
        slope = float((piece.last[0] - piece.first[0]) * US / (piece.length_us or US))
    offset = float(numbers.start - due)
    for place in range(len(numbers)):
        wanted = offset + place
        root = sqrt(max(0.0, first * first + 2 * slope * wanted)) if slope else first
        yield round(2 * wanted / (first + root) * US) if wanted else 0


def _counted(times_us: Iterator[int], piece: Piece[Numbers]) -> Iterator[tuple[int, int]]:
    if max(piece.first[0], piece.last[0]) * FINEST_US <= US:
        yield from ((at_us, 1) for at_us in times_us)
        return
    begun_us, count = -1, 0
    for at_us in times_us:
        slot_us = at_us - at_us % FINEST_US
        if slot_us != begun_us and count:
            yield begun_us, count
            count = 0
        begun_us, count = slot_us, count + 1
    if count:
        yield begun_us, count


class Levels(Written):
    """A number over time: one number, a range `0.2..0.9` whose values come evenly, or a series of these."""

    EXPECTED: ClassVar = "a number, a range such as 0.2..0.9, or these over time, such as '3 for 5m, then 15 for 40s'"

    def __init__(self, series: Series[Numbers]) -> None:
        self.series = series

    @classmethod
    def written(cls, value: Plain) -> Self:
        return cls(parse(_text(value), _level, endless=True))

    def values(self, times_us: Sequence[int]) -> Iterator[float]:
        """The number at each of these times. A range gives each of its parts the same share of them."""
        for number, at_us in enumerate(times_us):
            low, high = between(*self.series.at(at_us))
            yield float(low + (high - low) * Fraction(number * GOLDEN % MILLION, MILLION))


class Replicas(Written):
    """Replicas over time: ready ones, or `ready->target`."""

    EXPECTED: ClassVar = "replicas over time, such as '2 for 10m, then 2->40 for 5m'"

    def __init__(self, series: Series[Numbers]) -> None:
        self.series = series

    @classmethod
    def written(cls, value: Plain) -> Self:
        return cls(parse(_text(value), _replicas, endless=False))

    def at(self, time_us: int) -> tuple[int, int]:
        ready, target = between(*self.series.at(time_us))
        return round(ready), round(target)


class States(Written):
    """A replica state over time."""

    EXPECTED: ClassVar = "a state over time, such as 'running for 5m, then initializing for 3m'"

    def __init__(self, series: Series[str]) -> None:
        self.series = series

    @classmethod
    def written(cls, value: Plain) -> Self:
        return cls(parse(_text(value), _state, endless=True))

    def at(self, time_us: int) -> str:
        return self.series.at(time_us)[0].first


def _text(value: Plain) -> str:
    if value is None or isinstance(value, bool):
        raise ValueError(value)
    return str(value)


def _rate(word: str) -> Numbers:
    found = _RATE.fullmatch(word)
    if found is None:
        raise MismatchError(f"expected a rate such as 50/s, 3/m or 5/h, got {shown(word)}")
    return (Fraction(found["number"] or 0) / _UNITS[found["unit"] or "s"],)


def _level(word: str) -> Numbers:
    low, dots, high = word.partition("..")
    lowest = _number(low)
    return (lowest, _number(high) if dots else lowest)


def _number(word: str) -> Fraction:
    found = _NUMBER.fullmatch(word)
    if found is None:
        raise MismatchError(f"expected a number such as 3, 0.5 or 2%, or a range such as 0.2..0.9, got {shown(word)}")
    return Fraction(found["number"]) / (100 if found["share"] else 1)


def _replicas(word: str) -> Numbers:
    found = _REPLICAS.fullmatch(word)
    if found is None:
        raise MismatchError(f"expected replicas such as 2, or ready->target such as 2->40, got {shown(word)}")
    ready, target = found.groups()
    return (Fraction(ready), Fraction(target or ready))


def _state(word: str) -> str:
    known = get_args(ReplicaState)
    if word not in known:
        raise MismatchError(f"expected a state, got {shown(word)}{nearest(word, known)}")
    return word
