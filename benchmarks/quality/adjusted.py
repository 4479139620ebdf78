"""F1 with the usual adjustment: an incident that is seen early enough is seen, all of it; else none of it is.

A labelled run of points counts as found if one of its first points is flagged: of the first 3, or of the first 7 in a
series of one-minute steps. Then all its points count as true positives, else as false negatives. A flagged point
outside of all runs is a false positive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality.series import MINUTE_S, Series, runs
from detectors.table import Flags, Floats

EARLY: Final = 3  # steps
EARLY_MINUTES: Final = 7  # the same for one-minute series


class Tally(NamedTuple):
    """Points, and labelled runs; sums of them are those of several series, pooled."""

    true: int = 0
    false: int = 0
    missed: int = 0
    found: int = 0
    runs: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true else 0.0

    @property
    def recall(self) -> float:
        return self.true / (self.true + self.missed) if self.true else 0.0

    @property
    def f1(self) -> float:
        """1 where nothing is labelled and nothing flagged.

        >>> Tally(true=3, false=1, missed=2).f1
        0.6666666666666666
        """
        total = 2 * self.true + self.false + self.missed
        return 2 * self.true / total if total else 1.0


def pooled(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total = total.plus(tally)
    return total


def early_steps(step_s: float) -> int:
    return EARLY_MINUTES if step_s <= MINUTE_S else EARLY


def tally(series: Series, flagged: Flags) -> Tally:
    """What these flags are worth."""
    early, total = early_steps(series.step_s), Tally(false=int(np.count_nonzero(flagged & ~series.labels)))
    for start, end in runs(series.labels):
        found = bool(flagged[start : min(end, start + early)].any())
        size = end - start
        total = total.plus(Tally(size * found, 0, size * (not found), int(found), 1))
    return total


def best_threshold(scored: Iterable[tuple[Series, Floats]], candidates: int = 400) -> tuple[float, Tally]:
    """The one threshold for all series that would have been best, in hindsight: baselines get it, nobody has it."""
    kept = list(scored)
    every = np.concatenate([scores[np.isfinite(scores)] for _, scores in kept])
    # the upper half decides, and of that the outermost most
    places = 1 - np.geomspace(1 / len(every), 0.5, candidates)
    limits = np.nextafter(np.unique(np.quantile(every, places)), -np.inf)  # so that the largest, however many, pass
    best = max(limits, key=lambda limit: pooled(tally(series, scores > limit) for series, scores in kept).f1)
    return float(best), pooled(tally(series, scores > best) for series, scores in kept)
