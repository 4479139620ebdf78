"""The roll-up: requests folded into columns, per endpoint and second of event time.

This is the only code that touches every request. A ring of rows, one a second; in a row, one number an endpoint. It
holds the seconds that are still open and, before them, those that a window which ends in an open second reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from detectors.table import Flags, Floats, Ints
from schemas.events import Request
from schemas.units import US

COLUMNS: Final = ("count", "errors")
COUNT: Final = 0
ERRORS: Final = 1
SERVER_ERROR: Final = 500  # the lowest HTTP status that counts as an error
FIRST_CAPACITY: Final = 64

Cell = list[int]  # a second, and what one endpoint counted in it: [second, *COLUMNS]


class RequestColumns(NamedTuple):
    """Requests as columns of one length: who, when, and the numbers of `COLUMNS` ([len(COLUMNS), n]).

    `duration_s` and `queue_depth` are what each row reported, NaN where it did not; None if no row of a batch did.
    """

    endpoint: Ints  # number of the endpoint in its partition
    time_us: Ints
    second: Ints
    numbers: Ints
    duration_s: Floats | None = None
    queue_depth: Floats | None = None

    def at(self, rows: slice | Flags | Ints) -> RequestColumns:
        return RequestColumns(
            self.endpoint[rows],
            self.time_us[rows],
            self.second[rows],
            self.numbers[:, rows],
            None if self.duration_s is None else self.duration_s[rows],
            None if self.queue_depth is None else self.queue_depth[rows],
        )


def to_columns(events: Sequence[Request], endpoint: Ints, time_us: Ints) -> RequestColumns:
    """The numbers of each request, times its `count`: a row may stand for many."""
    numbers = np.empty((len(COLUMNS), len(events)), dtype=np.int64)
    counts = [e.count for e in events]
    numbers[COUNT] = 1 if counts.count(1) == len(counts) else counts  # mostly 1, and looking costs a tenth
    status = np.array([e.status for e in events], dtype=np.int64)
    np.multiply(numbers[COUNT], status >= SERVER_ERROR, out=numbers[ERRORS])
    durations, depths = _reported([e.duration_s for e in events]), _reported([e.queue_depth for e in events])
    return RequestColumns(endpoint, time_us, time_us // US, numbers, durations, depths)


def _reported(values: Sequence[float | None]) -> Floats | None:
    if values and values[0] is None and values.count(None) == len(values):  # whoever reports mostly does it always
        return None
    return np.array(values, dtype=np.float64)  # None becomes NaN


class Ring:
    """`len(COLUMNS)` numbers for each of the last `seconds` seconds and each endpoint."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.newest = -1  # the last second that has a row
        self.size = 0  # endpoints
        self._cells = np.zeros((seconds, len(COLUMNS), FIRST_CAPACITY), dtype=np.int64)

    def add_endpoints(self, count: int) -> None:
        """The next numbers get empty columns."""
        self.size += count
        capacity = self._cells.shape[2]
        if self.size > capacity:
            wider = np.zeros((self.seconds, len(COLUMNS), max(self.size, 2 * capacity)), dtype=np.int64)
            wider[:, :, :capacity] = self._cells
            self._cells = wider

    def keep(self, endpoints: Ints) -> None:
        """Only these remain, numbered in this order."""
        self.size = len(endpoints)
        narrower = np.zeros((self.seconds, len(COLUMNS), max(self.size, FIRST_CAPACITY)), dtype=np.int64)
        narrower[:, :, : self.size] = self._cells[:, :, endpoints]
        self._cells = narrower

    def advance(self, second: int) -> None:
        """Begin all seconds up to this one; the oldest rows make place."""
        for new in range(max(self.newest + 1, second - self.seconds + 1), second + 1):
            self._cells[new % self.seconds, :, : self.size] = 0
        self.newest = max(self.newest, second)

    def count(self, columns: RequestColumns) -> None:
        """Count requests of seconds that the ring holds."""
        row = (columns.second % self.seconds) * len(COLUMNS)
        capacity = self._cells.shape[2]
        flat = self._cells.reshape(-1)
        for i, numbers in enumerate(columns.numbers):
            if i == COUNT or numbers.any():  # no errors in most stretches
                np.add.at(flat, (row + i) * capacity + columns.endpoint, numbers)

    def row(self, second: int) -> Ints:
        """[len(COLUMNS), endpoints]: a view of one second; zeros where the ring no longer or not yet has it."""
        if not self.newest - self.seconds < second <= self.newest:
            return np.zeros((len(COLUMNS), self.size), dtype=np.int64)
        return self._cells[second % self.seconds, :, : self.size]

    def window(self, last: int, seconds: int) -> Ints:
        """The requests of each endpoint in the `seconds` that end with second `last`, as far as the ring has them."""
        first, last = max(last - seconds + 1, self.newest - self.seconds + 1), min(last, self.newest)
        counts = self._cells[:, COUNT, : self.size]
        if first > last:
            return np.zeros(self.size, dtype=np.int64)
        start, end = first % self.seconds, last % self.seconds + 1
        pieces = [counts[start:end]] if start < end else [counts[start:], counts[:end]]
        summed: Ints = sum((piece.sum(axis=0) for piece in pieces), np.zeros(self.size, dtype=np.int64))
        return summed

    def of(self, endpoints: Ints) -> list[list[Cell]]:
        """What is not zero, of each of these endpoints."""
        held = self._cells[:, :, endpoints]
        which, places = np.nonzero(held.any(axis=1).T)
        first = self.newest - self.seconds + 1
        seconds = first + (places - first) % self.seconds
        cells = np.column_stack([seconds, held[places, :, which]]).tolist()
        ends = np.searchsorted(which, np.arange(1, len(endpoints) + 1)).tolist()
        return [cells[start:end] for start, end in pairwise([0, *ends])]

    def put(self, endpoint: Ints, cells: Sequence[Cell]) -> None:
        """The inverse: `cells[i]` is of `endpoint[i]`. Seconds that the ring does not hold are over, and left out."""
        rows = np.array(cells, dtype=np.int64).reshape(len(cells), 1 + len(COLUMNS))
        held = (rows[:, 0] > self.newest - self.seconds) & (rows[:, 0] <= self.newest)
        self._cells[rows[held, 0] % self.seconds, :, endpoint[held]] = rows[held, 1:]
