"""`Tail`s of many series, as columns: a tail called `upper` is in the columns `upper`, `upper_xi`, `upper_stretch`."""

from __future__ import annotations

import numpy as np

from detectors.table import Flags, Floats, Rows
from detectors.tail import TAIL_FLOOR, next_xi, stretch


def reach(rows: Rows, name: str, low: float, high: float) -> Floats:
    """`Tail.reach`."""
    reached: Floats = np.minimum(high, np.maximum(low, rows[name] * rows[f"{name}_stretch"]))
    return reached


def learn_tail(  # noqa: PLR0913, PLR0917 -- columns of one length, and what `Tail.learn` takes
    rows: Rows, name: str, residual: Floats, learns: Flags, p: float, rise: Floats | float, fall: Floats | float
) -> None:
    """`Tail.learn`, of the rows that do."""
    start = rows[name]
    beyond = residual > start
    after = np.where(beyond, start * rise, np.maximum(TAIL_FLOOR, start * fall))
    for i in np.flatnonzero(beyond & learns).tolist():  # one in a hundred
        xi = next_xi(float(rows[f"{name}_xi"][i]), float(residual[i]), float(start[i]))
        rows[f"{name}_xi"][i], rows[f"{name}_stretch"][i] = xi, stretch(xi, p)
    rows[name] = np.where(learns, after, start)
