"""Injected incidents: what is found of them, how soon, and what is found where nothing is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality import datasets, incidents
from benchmarks.quality.models import BASELINES, LEARNED
from benchmarks.quality.scoring import Scored, say, scored, scored_together
from benchmarks.quality.series import runs
from benchmarks.table import Column, Table
from detectors.table import Flags

CANDIDATES: Final = 300
WEEK_S: Final = 7 * 86_400
SHORT: Final = {
    "rolling z-score": "z-score",
    "spectral residual": "spectral",
    "River GaussianScorer": "Gaussian",
    "River HalfSpaceTrees": "HST",
    "River PredictiveAnomalyDetection (HoltWinters)": "HoltWinters",
}


class Found(NamedTuple):
    """Of the incidents of one kind. Delays are steps after the first."""

    incidents: int
    delays: Sequence[int]

    @property
    def recall(self) -> float:
        return len(self.delays) / max(1, self.incidents)

    def delay(self, quantile: float) -> float | None:
        return float(np.quantile(self.delays, quantile)) if self.delays else None


def run(seed: int = 1, *, baselines: bool = True) -> list[Table]:
    say("incidents ...")
    traffic = incidents.clients(datasets.servegen_rates())
    clean = list(incidents.clean(traffic, seed))
    kinds = {kind.name: list(incidents.injected(traffic, kind, seed)) for kind in incidents.KINDS}
    every = [*clean, *(series for each in kinds.values() for series in each)]
    say(f"  {LEARNED.name}: {len(every)} series")
    found = {LEARNED.name: scored_together(every)}
    if baselines:
        found |= scored(BASELINES, every)
    ours = found[LEARNED.name]
    untouched = ours[: len(clean)]
    false = _episodes(untouched, 1.0)
    limits = {name: _limit(each[: len(clean)], false) for name, each in found.items()}
    limits[LEARNED.name] = 1.0
    rows = []
    for place, kind in enumerate(kinds, start=1):
        part = slice(place * len(clean), (place + 1) * len(clean))
        mine, sure = _found(ours[part], 1.0), _found(ours[part], 1.5)
        chance = _by_chance(ours[part], untouched, 1.0)
        others = [_found(found[model.name][part], limits[model.name]).recall for model in BASELINES if baselines]
        delays = (mine.delay(0.5), mine.delay(0.95))
        rows.append((kind, mine.incidents, mine.recall, chance.recall, *delays, sure.recall, *others))
    weeks = sum(len(series.times) * series.step_s for series in clean) / WEEK_S
    sure_false = _episodes(untouched, 1.5)
    note = (
        "by chance: what a score above 1 finds at the same places of the clean traffic. "
        "> 1.5: found by a score above 1.5. p50, p95: delays, in minutes after the first. On the clean traffic "
        f"{false / weeks:.1f} false episodes per endpoint-week above 1, {sure_false / weeks:.2f} above 1.5; the other "
        "detectors have the threshold that gives them as many as LearnedNormal has above 1."
    )
    columns = (
        *(Column("incident"), Column("of"), Column("found", ".2f"), Column("by chance", ".2f")),
        *(Column("p50"), Column("p95"), Column("> 1.5", ".2f")),
        *(Column(SHORT.get(model.name, model.name), ".2f") for model in BASELINES if baselines),
    )
    title = f"Incidents in the traffic of {len(clean)} ServeGen clients, one-minute counts, two weeks"
    return [Table(title, columns, rows, (note,))]


def _found(each: Scored, limit: float) -> Found:
    number, delays = 0, []
    for series, scores in each:
        for start, end in runs(series.labels):
            number += 1
            above = np.flatnonzero(scores[start:end] > limit)
            if len(above):
                delays.append(int(above[0]))
    return Found(number, delays)


def _by_chance(each: Scored, clean: Scored, limit: float) -> Found:
    """What is found where the incidents are, had there been none: of each series its clean one is scored."""
    return _found([(series, scores) for (series, _), (_, scores) in zip(each, clean, strict=True)], limit)


def _episodes(each: Scored, limit: float) -> int:
    return sum(_count(scores > limit) for _, scores in each)


def _count(flags: Flags) -> int:
    return sum(1 for _ in runs(flags))


def _limit(each: Scored, episodes: int) -> float:
    """The lowest threshold down to which there are no more episodes than that: far below, all is one episode."""
    every = np.concatenate([scores for _, scores in each])
    limits = np.quantile(every, 1 - np.geomspace(1 / len(every), 0.5, CANDIDATES))
    allowed = itertools.takewhile(lambda limit: _episodes(each, limit) <= episodes, limits.tolist())
    return float(list(allowed)[-1])
