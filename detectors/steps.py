"""Counts of long windows: per endpoint and step of several seconds, in small integers.

A window moves by whole steps. Requests are counted into their step as they come, or second by second, which is cheaper
where a row of the ring has the numbers already; a step is read once all its seconds are closed, and never changes then.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.rollup import FIRST_CAPACITY
from detectors.table import Ints

MOST: Final = 2**31 - 1  # what a small cell can hold
NONE: Final = -1  # the step of a row that was never used

Cells = list[int]  # of one endpoint, one after the other: a step, and its column or columns


class StepRing:
    """`columns` numbers for each endpoint and each of the last `steps` steps of `step_s` seconds.

    Cells have 32 bits, until a step has so many requests that one of them might overflow: then 64.
    """

    def __init__(self, step_s: int, steps: int, columns: int) -> None:
        self.step_s = step_s
        self.newest = NONE  # the last step that has anything in it
        self._size = 0  # endpoints
        self._counted = range(0)  # the steps that `places` was last asked for
        self._held: Ints = np.full(steps, NONE)  # which step a row holds
        self._sums = [[0] * columns for _ in range(steps)]  # no column of a row has more than this, in all endpoints
        self._cells: NDArray[Any] = np.zeros((steps, columns, FIRST_CAPACITY), dtype=np.int32)

    def add_endpoints(self, count: int) -> None:
        """The next numbers get empty columns."""
        self._size += count
        steps, columns, capacity = self._cells.shape
        if self._size > capacity:
            wider = np.zeros((steps, columns, max(self._size, 2 * capacity)), dtype=self._cells.dtype)
            for row in self._used():
                wider[row, :, :capacity] = self._cells[row]
            self._cells = wider

    def keep(self, endpoints: Ints) -> None:
        """Only these remain, numbered in this order."""
        self._size = len(endpoints)
        steps, columns, _ = self._cells.shape
        narrower = np.zeros((steps, columns, max(self._size, FIRST_CAPACITY)), dtype=self._cells.dtype)
        for row in self._used():
            narrower[row, :, : self._size] = self._cells[row][:, endpoints]
        self._cells = narrower
        filled = [row for row in self._used() if narrower[row].any()]
        self.newest = max((int(self._held[row]) for row in filled), default=NONE)

    def places(self, endpoint: Ints, second: Ints) -> Ints:
        """Where to count these requests; there is at least one, and none without a number to count."""
        step = second // self.step_s
        first, last = int(step.min()), int(step.max())
        for begun in range(first, last + 1):
            self._begin(begun)
        self._counted = range(first, last + 1)
        self.newest = max(self.newest, last)
        _, columns, capacity = self._cells.shape
        places: Ints = (step % len(self._held)) * (columns * capacity) + endpoint
        return places

    def add(self, column: int, places: Ints, numbers: Ints) -> None:
        """Add numbers to a column, at some of the places just asked for."""
        self._note(column, int(numbers.sum()))
        np.add.at(self._column(column), places, numbers.astype(self._cells.dtype, copy=False))

    def add_second(self, second: int, numbers: Ints) -> None:
        """Add the numbers of all endpoints ([columns, endpoints]) in one second to the first columns of its step."""
        sums = numbers.sum(axis=1).tolist()
        if not any(sums):
            return
        step = second // self.step_s
        self._begin(step)
        self._counted, self.newest = range(step, step + 1), max(self.newest, step)
        for column, number in enumerate(sums):
            self._note(column, number)
        self._cells[step % len(self._held), : len(numbers), : self._size] += numbers

    def raise_to(self, column: int, places: Ints, numbers: Ints) -> None:
        """Where a column is less than these numbers, set it to them."""
        self._note(column, int(numbers.max(initial=0)))
        np.maximum.at(self._column(column), places, numbers.astype(self._cells.dtype, copy=False))

    def has_any(self, column: int, last: int, steps: int) -> bool:
        """Whether a column might have anything, of any endpoint, in the steps that end with `last`."""
        return any(self._sums[row][column] for row in self._rows(last, steps).tolist())

    def sums(self, last: int, steps: int) -> Ints:
        """[columns, endpoints]: the sums of the steps that end with `last`."""
        sums: Ints = self._cells[self._rows(last, steps), :, : self._size].sum(axis=0, dtype=np.int64)
        return sums

    def sums_of(self, endpoint: int, last: int, steps: int) -> list[int]:
        """The same of one endpoint, a number for each column."""
        sums: list[int] = self._cells[self._rows(last, steps), :, endpoint].sum(axis=0, dtype=np.int64).tolist()
        return sums

    def history(self, column: int, last: int, steps: int, endpoints: Ints) -> Ints:
        """[steps, endpoints]: a column of the steps that end with `last` one by one, oldest first."""
        found = np.zeros((steps, len(endpoints)), dtype=np.int64)
        rows = self._rows(last, steps)
        found[self._held[rows] - last + steps - 1] = self._cells[rows[:, None], column, endpoints]
        return found

    def of(self, endpoints: Ints) -> list[Cells]:
        """What is not zero, of each of these endpoints."""
        held = self._cells[:, :, endpoints]
        which, rows = np.nonzero(held.any(axis=1).T)
        cells = np.column_stack([self._held[rows], held[rows, :, which]])
        ends = cells.shape[1] * np.searchsorted(which, np.arange(len(endpoints) + 1))
        flat, bounds = cells.ravel().tolist(), ends.tolist()
        return [flat[start:end] for start, end in pairwise(bounds)]

    def put(self, endpoints: Ints, cells: Sequence[Cells]) -> None:
        """The inverse, for a ring in which nothing was counted. Steps that it can no longer hold are left out."""
        width = 1 + self._cells.shape[1]
        which = np.repeat(endpoints, [len(each) // width for each in cells])
        table = np.array([number for each in cells for number in each], dtype=np.int64).reshape(-1, width)
        if not len(table):
            return
        newest = int(table[:, 0].max())
        fits = table[:, 0] > newest - len(self._held)
        which, table = which[fits], table[fits]
        places = self.places(which, table[:, 0] * self.step_s)
        for column in range(width - 1):
            self.add(column, places, table[:, 1 + column])

    def _rows(self, last: int, steps: int) -> Ints:
        """The rows that hold any of the steps that end with `last`."""
        return np.flatnonzero((self._held > last - steps) & (self._held <= last) & (self._held >= 0))

    def _used(self) -> list[int]:
        """The rows in which something was counted. The others are not even touched, and take no memory until then."""
        return [row for row, sums in enumerate(self._sums) if any(sums)]

    def _begin(self, step: int) -> None:
        row = step % len(self._held)
        if self._held[row] != step:
            self._held[row] = step
            self._sums[row] = [0] * len(self._sums[row])
            self._cells[row] = 0

    def _note(self, column: int, number: int) -> None:
        for step in self._counted:
            sums = self._sums[step % len(self._held)]
            sums[column] += number
            if sums[column] > MOST and self._cells.dtype == np.int32:
                self._cells = self._cells.astype(np.int64)

    def _column(self, column: int) -> NDArray[Any]:
        return self._cells.reshape(-1)[column * self._cells.shape[2] :]
