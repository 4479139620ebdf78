"""`Tails`: the upper end of many distributions, in buckets narrow enough for a quantile that is 2 % exact.

A bucket holds the numbers whose floating-point representation begins alike: sign, exponent and `BITS` bits of the
mantissa. That makes 2^BITS buckets between a power of two and the next (as HDR histograms have them), needs no
logarithm, and is the same on every processor. The middle of a bucket is within half its width, 1 / 2^(BITS + 1) or
1.6 %, of every number in it.

Only what is worth keeping is handed over: a distribution whose numbers are all below the caller's bound costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from detectors.table import Floats, Ints

BITS: Final = 5
SHIFT: Final = 52 - BITS  # of a double's 52 bits of mantissa, these are left out
LARGEST: Final = 1e9  # what is beyond counts as this
BUCKET_BITS: Final = 16  # of a key, the others are the number of the endpoint
BUCKETS: Final = (1 << BUCKET_BITS) - 1
NOTHING: Final = np.zeros(0, dtype=np.int64)
UNSORTED: Final = 65_536  # rows of a step that are put together when there are more, and more than are together

Cells = list[int]  # of one endpoint, one after the other: a step, a bucket, and how many
Piece = tuple[Ints, Ints]  # keys, and how many each


class Tails:
    """How many numbers of each endpoint lie in each bucket, step by step."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[Piece]] = {}  # of a step; a single one is sorted, each key once
        self._loose: dict[int, int] = {}  # rows in the pieces of a step that are not yet put together
        self._together: tuple[range, Piece] | None = None  # several steps as one piece, for the next question

    def add(self, step: Ints, endpoint: Ints, values: Floats, counts: Ints) -> None:
        """Count positive numbers, each so many times."""
        keys = (endpoint << BUCKET_BITS) | bucket_of(values)
        first, last = int(step.min()), int(step.max())
        if first == last:
            self._add(first, keys, counts)
            return
        for each in range(first, last + 1):
            rows = step == each
            self._add(each, keys[rows], counts[rows])

    def forget(self, before: int) -> None:
        """Forget all steps before this one."""
        for step in [step for step in self._pieces if step < before]:
            del self._pieces[step], self._loose[step]

    def keep(self, numbers: Ints) -> None:
        """Only these endpoints remain, numbered in this order, which is that of their numbers."""
        self._together = None
        for step in self._pieces:
            keys, counts = self._sorted(step)
            endpoint = keys >> BUCKET_BITS
            kept = np.isin(endpoint, numbers)
            place = np.searchsorted(numbers, endpoint[kept])
            self._pieces[step] = [((place << BUCKET_BITS) | (keys[kept] & BUCKETS), counts[kept])]

    def largest(self, endpoint: int, steps: range, place: int) -> float | None:
        """The number that has `place` - 1 larger ones, within 1.6 %; None if there are not so many.

        The steps are over: nothing is added to them any more.
        """
        keys, counts = self._merged(steps)
        start, end = keys.searchsorted((endpoint << BUCKET_BITS, (endpoint + 1) << BUCKET_BITS)).tolist()
        reached = counts[start:end][::-1].cumsum()
        if not len(reached) or reached[-1] < place:
            return None
        return middle(int(keys[end - 1 - int(reached.searchsorted(place))]) & BUCKETS)

    def of(self, endpoints: Ints) -> list[Cells]:
        """What is there of each of these endpoints, given in the order of their numbers."""
        rows: list[Cells] = [[] for _ in range(len(endpoints))]
        for step in sorted(self._pieces):
            keys, counts = self._sorted(step)
            starts = np.searchsorted(keys, endpoints << BUCKET_BITS)
            ends = np.searchsorted(keys, (endpoints + 1) << BUCKET_BITS)
            buckets = keys & BUCKETS
            cells = np.column_stack([np.full(len(keys), step), buckets, counts]).ravel()
            for i in np.flatnonzero(ends > starts).tolist():
                rows[i] += cells[3 * starts[i] : 3 * ends[i]].tolist()
        return rows

    def put(self, endpoints: Ints, cells: Sequence[Cells]) -> None:
        """The inverse."""
        table = np.array([number for each in cells for number in each], dtype=np.int64).reshape(-1, 3)
        which = np.repeat(endpoints, [len(each) // 3 for each in cells])
        for step in np.unique(table[:, 0]).tolist():
            rows = table[:, 0] == step
            self._add(step, (which[rows] << BUCKET_BITS) | table[rows, 1], table[rows, 2])

    def _add(self, step: int, keys: Ints, counts: Ints) -> None:
        if not len(keys):
            return
        self._pieces.setdefault(step, []).append((keys, counts))
        self._loose[step] = self._loose.get(step, 0) + len(keys)
        if self._loose[step] > max(UNSORTED, len(self._pieces[step][0][0])):
            self._sorted(step)

    def _sorted(self, step: int) -> Piece:
        """All of a step as one piece."""
        if self._loose[step]:
            pieces = self._pieces[step]
            keys, where = np.unique(np.concatenate([keys for keys, _ in pieces]), return_inverse=True)
            counts = np.zeros(len(keys), dtype=np.int64)
            np.add.at(counts, where, np.concatenate([counts for _, counts in pieces]))
            self._pieces[step], self._loose[step] = [(keys, counts)], 0
        return self._pieces[step][0]

    def _merged(self, steps: range) -> Piece:
        """All of several steps, in the order of the keys: questions come for many endpoints at one time."""
        if self._together is None or self._together[0] != steps:
            pieces = [self._sorted(step) for step in steps if step in self._pieces] or [(NOTHING, NOTHING)]
            keys, counts = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
            order = np.argsort(keys, kind="stable")  # fast where sorted runs follow each other
            self._together = steps, (keys[order], counts[order])
        return self._together[1]


def bucket_of(values: Floats) -> Ints:
    """The bucket of each positive number."""
    buckets: Ints = np.minimum(values, LARGEST).view(np.int64) >> SHIFT
    return buckets


def middle(bucket: int) -> float:
    """The number in the middle of a bucket.

    >>> middle(int(bucket_of(np.array([0.5]))[0]))
    0.5078125
    """
    low, high = np.array([bucket << SHIFT, (bucket + 1) << SHIFT]).view(np.float64).tolist()
    return float(low + high) / 2
