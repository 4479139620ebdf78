"""A series of values at times, and where it is labelled as anomalous."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from detectors.table import Flags, Floats

MINUTE_S: Final = 60.0
LEAST_STEP_S: Final = 1.0
MOST_STEP_S: Final = 3600.0


class Series(NamedTuple):
    """`labels` marks the anomalous points; `step_s` is the usual distance of two points."""

    name: str
    step_s: float
    times: Floats
    values: Floats
    labels: Flags

    def half(self, second: bool) -> Series:  # noqa: FBT001 -- the first or the second one
        middle = len(self.times) // 2
        part = slice(middle, None) if second else slice(None, middle)
        return self._replace(times=self.times[part], values=self.values[part], labels=self.labels[part])


def runs(labels: Flags) -> Iterator[tuple[int, int]]:
    """Start and end of each run of marked points.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    padded = np.concatenate(([False], labels, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    yield from list(pairwise(edges))[::2]


def step_of(times: Floats) -> float:
    """The median distance, between a second and an hour."""
    distances = np.diff(times)
    middle = float(np.median(distances[distances > 0])) if (distances > 0).any() else MINUTE_S
    return min(MOST_STEP_S, max(LEAST_STEP_S, middle))


def seconds_of(text: str) -> float:
    """Seconds since the epoch, of a number of these (or of milliseconds) or of a date and time, UTC if it does not say.

    >>> seconds_of("1970-01-02T00:00:00Z"), seconds_of("1970-01-02 00:00:00"), seconds_of("86400")
    (86400.0, 86400.0, 86400.0)
    """
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return number / 1000 if number > 1e11 else number  # noqa: PLR2004 -- the year 5138 in seconds, 1973 in milliseconds


def read_labelled(file: Path, name: str) -> Series:
    """A CSV file with a heading whose first columns are time, value and, if it has it, label (1: anomalous)."""
    with file.open(newline="") as lines:
        rows = csv.reader(lines)
        next(rows, None)
        return of_rows(name, (row for row in rows if row))


def of_rows(name: str, rows: Iterable[list[str]]) -> Series:
    """Sorted by time; of several values at one time the last."""
    points: dict[float, tuple[float, bool]] = {}
    for row in rows:
        label = len(row) > 2 and float(row[2] or 0) > 0  # noqa: PLR2004 -- time, value and label
        points[seconds_of(row[0])] = (float(row[1] or "nan"), label)
    times = sorted(points)
    values = np.array([points[time][0] for time in times])
    labels = np.array([points[time][1] for time in times], dtype=np.bool_)
    return Series(name, step_of(np.array(times)), np.array(times), values, labels)
