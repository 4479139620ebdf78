"""The roll-up: requests folded into columns, per endpoint and second of event time.

This is the only code that touches every request. A ring of rows, one a second; in a row, one number an endpoint. It
holds the seconds that are still open and, before them, those that a window which ends in an open second reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.events import Request
from schemas.units import US

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

COLUMNS: Final = ("count", "errors", "input_tokens", "output_tokens")
SERVER_ERROR: Final = 500  # the lowest HTTP status that counts as an error
FIRST_CAPACITY: Final = 64


class RequestColumns(NamedTuple):
    """Requests as columns of one length: who, when, and the numbers of `COLUMNS` ([len(COLUMNS), n])."""

    endpoint: Ints  # number of the endpoint in its partition
    time_us: Ints
    second: Ints
    numbers: Ints

    def at(self, rows: slice | Flags) -> RequestColumns:
        return RequestColumns(self.endpoint[rows], self.time_us[rows], self.second[rows], self.numbers[:, rows])


def to_columns(events: Sequence[Request], endpoint: Ints, time_us: Ints) -> RequestColumns:
    """The numbers of each request, times its `count` where it counts requests: a row may stand for many."""
    count = np.array([e.count for e in events], dtype=np.int64)
    status = np.array([e.status for e in events], dtype=np.int64)
    tokens_in = np.array([e.input_tokens for e in events], dtype=np.int64)
    tokens_out = np.array([e.output_tokens for e in events], dtype=np.int64)
    numbers = np.stack([count, count * (status >= SERVER_ERROR), tokens_in, tokens_out])
    return RequestColumns(endpoint, time_us, time_us // US, numbers)


class Ring:
    """`len(COLUMNS)` numbers for each of the last `seconds` seconds and each endpoint."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.newest = -1  # the last second that has a row
        self._cells = np.zeros((seconds, len(COLUMNS), FIRST_CAPACITY), dtype=np.int64)

    def fit(self, endpoints: int) -> None:
        """Make room for so many endpoints."""
        capacity = self._cells.shape[2]
        if endpoints > capacity:
            wider = np.zeros((self.seconds, len(COLUMNS), max(endpoints, 2 * capacity)), dtype=np.int64)
            wider[:, :, :capacity] = self._cells
            self._cells = wider

    def advance(self, second: int) -> None:
        """Begin all seconds up to this one; the oldest rows make place."""
        for new in range(max(self.newest + 1, second - self.seconds + 1), second + 1):
            self._cells[new % self.seconds] = 0
        self.newest = max(self.newest, second)

    def add(self, columns: RequestColumns) -> None:
        """Count requests of seconds that the ring holds."""
        row = (columns.second % self.seconds) * len(COLUMNS)
        capacity = self._cells.shape[2]
        flat = self._cells.reshape(-1)
        for i, numbers in enumerate(columns.numbers):
            if i and not numbers.any():
                continue  # no errors in most stretches, no tokens from many senders
            np.add.at(flat, (row + i) * capacity + columns.endpoint, numbers)

    def row(self, second: int, endpoints: int) -> Ints:
        """[len(COLUMNS), endpoints]: a view of one second; zeros where the ring no longer or not yet has it."""
        if not self.newest - self.seconds < second <= self.newest:
            return np.zeros((len(COLUMNS), endpoints), dtype=np.int64)
        return self._cells[second % self.seconds, :, :endpoints]

    def of(self, endpoint: int, since: int) -> list[tuple[int, list[int]]]:
        """An endpoint's rows that are not all zero, from the second `since` on."""
        rows = []
        for second in range(max(since, self.newest - self.seconds + 1), self.newest + 1):
            numbers = self._cells[second % self.seconds, :, endpoint]
            if numbers.any():
                rows.append((second, numbers.tolist()))
        return rows

    def put(self, endpoint: int, rows: Sequence[tuple[int, Sequence[int]]]) -> None:
        """The inverse of `of`: rows of seconds that the ring does not hold are over, and are left out."""
        for second, numbers in rows:
            if self.newest - self.seconds < second <= self.newest:
                self._cells[second % self.seconds, :, endpoint] = numbers
