"""Short-hand for values over time: `10/s for 15m, then 90/s for 30s`.

    series    piece [, then piece] ...
    piece     VALUE for DURATION  |  VALUE to VALUE for DURATION  |  ( series ) x TIMES

`to` is a straight line from one value to the other. Numbers are exact (fractions) as far as time goes, so that a
long series drifts by nothing, and nothing is drawn at random.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Final, Generic, NamedTuple, TypeVar

from schemas.config import Seconds
from schemas.units import US
from streams.values import MismatchError, shown

T = TypeVar("T")
Numbers = tuple[Fraction, ...]

MOST_PIECES: Final = 100_000  # of a series, its repeats written out
_TOKEN: Final = re.compile(r"[(),]|[^\s(),]+")
_TIMES: Final = re.compile(r"x(\d{1,6})?", re.ASCII)


class Piece(NamedTuple, Generic[T]):
    """From `first` to `last` within `length_us`; None: for ever."""

    first: T
    last: T
    length_us: int | None


class Series(Generic[T]):
    """Pieces that follow one another. After the last of them its value holds on."""

    def __init__(self, pieces: Sequence[Piece[T]]) -> None:
        self.pieces = tuple(pieces)
        self._ends_us = list(accumulate(piece.length_us or 0 for piece in pieces))

    @property
    def length_us(self) -> int:
        return self._ends_us[-1]

    def starts(self) -> Iterator[tuple[int, Piece[T]]]:
        """Each piece, with when it begins."""
        return zip([0, *self._ends_us], self.pieces, strict=False)

    def at(self, time_us: int) -> tuple[Piece[T], Fraction]:
        """The piece at a time, and which share of it is over."""
        place = min(bisect_right(self._ends_us, time_us), len(self.pieces) - 1)
        piece, begun_us = self.pieces[place], self._ends_us[place] - (self.pieces[place].length_us or 0)
        return piece, min(Fraction(time_us - begun_us, piece.length_us), Fraction(1)) if piece.length_us else Fraction()


def between(piece: Piece[Numbers], share: Fraction) -> Numbers:
    """The value of a piece of which that share is over."""
    if piece.first == piece.last:
        return piece.first
    return tuple(a + (b - a) * share for a, b in zip(piece.first, piece.last, strict=True))


def parse(text: str, value: Callable[[str], T], *, endless: bool) -> Series[T]:
    """Read the short-hand; `value` reads a word of it. Raises MismatchError, and so does `value`.

    `endless`: whether the last piece may do without a duration.
    """
    parser = _Parser(text, value)
    pieces = parser.whole()
    for number, piece in enumerate(pieces, 1):
        if piece.length_us is None and not (endless and number == len(pieces)):
            raise MismatchError(f"expected 'for' and a duration after each value, got {shown(text)}")
    return Series(pieces)


class _Parser(Generic[T]):
    """Recursive descent over the words."""

    def __init__(self, text: str, value: Callable[[str], T]) -> None:
        self._words = _TOKEN.findall(text)
        self._value = value
        self._place = 0

    def whole(self) -> list[Piece[T]]:
        pieces = self._series()
        if self._place < len(self._words):
            raise self._expected("', then' and a value, or the end")
        return pieces

    def _series(self) -> list[Piece[T]]:
        pieces = self._item()
        while self._takes(",") | self._takes("then"):  # one of them or both
            pieces += self._item()
        return pieces

    def _item(self) -> list[Piece[T]]:
        if self._takes("("):
            inner = self._series()
            if not self._takes(")"):
                raise self._expected("')'")
            return self._repeated(inner)
        first = self._one()
        last = self._one() if self._takes("to") else first
        return [Piece(first, last, self._duration() if self._takes("for") else None)]

    def _repeated(self, pieces: list[Piece[T]]) -> list[Piece[T]]:
        found = _TIMES.fullmatch(self._next())
        times = found and (found[1] or self._next(1))
        if not times or not times.isdecimal() or not 0 < int(times) * len(pieces) <= MOST_PIECES:
            raise self._expected(f"'x' and a number of times after ')', of at most {MOST_PIECES} pieces in all")
        self._place += 1 if found and found[1] else 2
        return pieces * int(times)

    def _one(self) -> T:
        if not self._next():
            raise self._expected("a value")
        value = self._value(self._next())
        self._place += 1
        return value

    def _duration(self) -> int:
        try:
            length_us = round(Seconds.parse(self._next()) * US)
        except ValueError:
            length_us = 0
        if length_us <= 0:
            raise self._expected("a duration such as 1m30s after 'for'")
        self._place += 1
        return length_us

    def _next(self, ahead: int = 0) -> str:
        place = self._place + ahead
        return self._words[place] if place < len(self._words) else ""

    def _takes(self, word: str) -> bool:
        taken = self._next() == word
        self._place += taken
        return taken

    def _expected(self, what: str) -> MismatchError:
        read = " ".join(self._words[: self._place])
        got = f"'{word}'" if (word := self._next()) else "the end"
        return MismatchError(f"expected {what}, got {got}" + (f" after '{read[-40:]}'" if read else ""))
