"""NAB's score, from its published formula (Lavin and Ahmad 2015; the profiles are version 1.1's).

A detection within a window earns sigma(y) = 2 / (1 + e^(5 y)) - 1 of its position y, from -1 at the window's beginning
to 0 at its end, relative to sigma(-1); only the window's best one counts. A window without one costs `missed`. A
detection elsewhere costs `false` x sigma(y), y the distance from the end of the window before it in widths of that
window; at -1 where there is none, or more than 3 widths away. The first 15 % of a series (750 points at most) do not
count. The sum is given on a scale on which detecting nothing is 0, and every window at its first point, alone, is 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality.datasets import Window
from benchmarks.quality.series import Series
from detectors.table import Floats, Ints

PROBATION: Final = 0.15
PROBATION_MOST: Final = 5000  # points of which it is a share
FAR: Final = 3.0  # widths of a window


class Profile(NamedTuple):
    """What a window found, one missed, and a detection outside of all are worth."""

    name: str
    found: float
    missed: float
    false: float


PROFILES: Final = (
    Profile("standard", 1.0, 1.0, 0.11),
    Profile("low FP", 1.0, 1.0, 0.22),
    Profile("low FN", 1.0, 2.0, 0.11),
)


class Points(NamedTuple):
    """The points of a series that count: their place, the window they lie in (-1: none), and what sigma is there."""

    place: Ints
    window: Ints
    worth: Floats
    windows: int


def sigma(position: float) -> float:
    """What a detection is worth there.

    >>> sigma(0.0), sigma(4.0)
    (0.0, -1.0)
    """
    return -1.0 if position > FAR else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def points_of(series: Series, windows: Sequence[Window]) -> Points:
    """Windows begin and end at the first point of their time."""
    size = len(series.times)
    window, worth = np.full(size, -1), np.full(size, -1.0)
    edges = [(int(np.searchsorted(series.times, a)), int(np.searchsorted(series.times, b))) for a, b in windows]
    for number, (start, end) in enumerate(edges):
        width = end - start + 1
        window[start : end + 1] = number
        worth[start : end + 1] = [sigma(-(end - i + 1) / width) / sigma(-1.0) for i in range(start, end + 1)]
        after = edges[number + 1][0] if number + 1 < len(edges) else size
        worth[end + 1 : after] = [sigma((i - end) / (width - 1)) for i in range(end + 1, after)]
    first = int(PROBATION * min(size, PROBATION_MOST))
    place = np.arange(first, size)
    return Points(place, window[first:], worth[first:], len(windows))


def best(scored: Iterable[tuple[Points, Floats]], profile: Profile, limit: float | None = None) -> tuple[float, float]:
    """The score at the threshold that is best for this profile, as NAB chooses it, or at `limit`; and that threshold.

    A point is detected if its score is at least the threshold.
    """
    kept = list(scored)
    total = sum(points.windows for points, _ in kept)
    raw, at = _best_raw(kept, profile, limit)
    null, perfect = -profile.missed * total, profile.found * total
    return 100.0 * (raw - null) / (perfect - null), at


def _best_raw(kept: list[tuple[Points, Floats]], profile: Profile, limit: float | None) -> tuple[float, float]:
    scores, window, worth, first = [], [], [], 0
    for points, every in kept:
        scores.append(every[points.place])
        window.append(np.where(points.window < 0, -1, points.window + first))
        worth.append(points.worth)
        first += points.windows
    score, of, value = np.concatenate(scores), np.concatenate(window), np.concatenate(worth)
    order = np.argsort(-score, kind="stable")
    raw = -profile.missed * first
    found = np.full(first, -profile.missed)
    best_raw, best_at, last = raw, math.inf, math.inf
    for i in order.tolist():
        here = float(score[i])
        if limit is not None and here < limit:
            break
        if here != last and limit is None and raw > best_raw:
            best_raw, best_at = raw, last
        last = here
        if of[i] < 0:
            raw += profile.false * float(value[i])
        else:
            better = max(float(found[of[i]]), profile.found * float(value[i]))
            raw += better - float(found[of[i]])
            found[of[i]] = better
    if limit is not None:
        return raw, limit
    return (raw, last) if raw > best_raw else (best_raw, best_at)
