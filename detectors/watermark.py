"""Event time of one partition: which second is the newest, and up to which all are closed.

A second is closed once the largest event time seen, minus the lateness, has passed its end. This is decided at each
event's own place in the log, never by where a batch ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from msgspec import Struct

from detectors.table import Ints
from schemas.units import US


class Watermark(Struct, array_like=True):
    """`newest_us` is the largest event time seen; all seconds below `open_from` are closed."""

    lateness_s: int
    newest_us: int = -1
    open_from: int = 0

    def follow(self, time_us: Ints) -> tuple[Ints, Ints]:
        """For each event: the newest second, and the first open one, as of its place. Does not move the watermark."""
        newest = np.maximum.accumulate(np.maximum(time_us, self.newest_us)) // US
        return newest, np.maximum(newest - self.lateness_s, self.open_from)

    def observe(self, time_us: int) -> int:
        """One event more; the first open second as of now. The caller closes what lies below, then says so."""
        self.newest_us = max(self.newest_us, time_us)
        return max(self.newest_us // US - self.lateness_s, self.open_from)


def spans(open_from: Ints, steps_s: Iterable[int]) -> list[tuple[int, int]]:
    """[start, end) of the stretches of a batch in which no second closes that ends a multiple of a step.

    >>> spans(np.array([8, 9, 9, 10, 14, 14, 15]), [5, 10])
    [(0, 3), (3, 6), (6, 7)]
    """
    moves = np.flatnonzero(np.diff(open_from)) + 1
    before, after = open_from[moves - 1], open_from[moves]
    ended = np.zeros(len(moves), dtype=np.bool_)
    for step_s in steps_s:
        ended |= before // step_s != after // step_s
    return _between(moves[ended], len(open_from))


def cuts(open_from: Ints) -> list[tuple[int, int]]:
    """[start, end) of the stretches of a batch during which no second closes.

    >>> cuts(np.array([3, 3, 4, 4, 4, 7]))
    [(0, 2), (2, 5), (5, 6)]
    """
    return _between(np.flatnonzero(np.diff(open_from)) + 1, len(open_from))


def _between(edges: Ints, length: int) -> list[tuple[int, int]]:
    return [(start, end) for start, end in pairwise([0, *edges.tolist(), length]) if end > start]
