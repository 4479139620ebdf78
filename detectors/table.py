"""Rows of numbers, one for each endpoint of a partition: as columns, so that NumPy takes all endpoints at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.void]  # structured: a field is a column

NOBODY: Final = np.zeros(0, dtype=np.int64)


class Table:
    """A row of `dtype` for each number from 0 on; a new one is `blank`. Room grows by doubling."""

    def __init__(self, dtype: np.dtype[np.void], blank: tuple[Any, ...]) -> None:
        self._blank = np.array(blank, dtype=dtype)
        self._cells: Rows = np.zeros(0, dtype=dtype)
        self._size = 0

    @property
    def rows(self) -> Rows:
        """A view of all rows."""
        return self._cells[: self._size]

    def take(self, numbers: Ints) -> Rows:
        """A copy of these rows."""
        taken: Rows = self._opaque()[numbers].view(self._cells.dtype)
        return taken

    def put(self, numbers: Ints, rows: Rows) -> None:
        """The inverse."""
        self._opaque()[numbers] = rows.view(self._opaque().dtype)

    def add(self, count: int) -> None:
        """The next numbers get blank rows."""
        size = self._size + count
        if size > len(self._cells):
            wider = np.zeros(max(size, 2 * len(self._cells)), dtype=self._cells.dtype)
            wider[: self._size] = self.rows
            self._cells = wider
        self._cells[self._size : size] = self._blank
        self._size = size

    def keep(self, numbers: Ints) -> None:
        """Only these rows remain, numbered in this order."""
        self._cells = self.take(numbers)
        self._size = len(numbers)

    def _opaque(self) -> Rows:
        """The rows without their fields: NumPy copies these as blocks, ten times faster."""
        opaque: Rows = self.rows.view(f"V{self._cells.dtype.itemsize}")
        return opaque
