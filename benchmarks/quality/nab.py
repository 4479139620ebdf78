"""NAB: 58 series, 116 windows, three profiles of what a miss and a false report cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.quality import datasets
from benchmarks.quality.models import BASELINES, LEARNED, Model, windowed_gaussian
from benchmarks.quality.nab_score import PROFILES, Points, best, points_of
from benchmarks.quality.reports import reported
from benchmarks.quality.scoring import say, scored
from benchmarks.table import Column, Row, Table
from detectors.table import Floats

GAUSSIAN: Final = Model("windowed Gaussian (NAB's own)", windowed_gaussian)
PUBLISHED: Final = (
    ("published: ARTime", 74.85, 65.15, 80.36),
    ("published: numentaTM", 64.55, 56.66, 69.19),
    ("published: windowed Gaussian", 39.65, 20.87, 47.41),
)
COLUMNS: Final = (Column("detector"), *(Column(profile.name, ".2f") for profile in PROFILES))

Judged = list[tuple[Points, Floats]]


def run(models: Sequence[Model] = (LEARNED, *BASELINES, GAUSSIAN)) -> list[Table]:
    say("nab ...")
    data = datasets.nab()
    found = scored(models, [series for series, _ in data])
    points = [points_of(series, windows) for series, windows in data]
    judged = {
        name: [(at, scores) for at, (_, scores) in zip(points, each, strict=True)] for name, each in found.items()
    }
    note = "Each at the threshold that is best for the profile, as NAB chooses it."
    plain = [*(_row(name, each) for name, each in judged.items()), *PUBLISHED]
    shown = {name: _reported(name, each) for name, each in judged.items()}
    rows = [_row(f"{LEARNED.name}, shipped threshold", shown[LEARNED.name], 1.0)]
    rows += [_row(name, each) for name, each in shown.items()]
    return [
        Table("NAB, every score", COLUMNS, plain, (note,)),
        Table("NAB, with the reporting view of benchmarks/quality/reports.py", COLUMNS, rows, (note,)),
    ]


def _reported(name: str, judged: Judged) -> Judged:
    """Scores in units of the threshold: the shipped one, or what was best for this detector."""
    unit = 1.0 if name == LEARNED.name else best(judged, PROFILES[0])[1]
    return [(points, reported(scores / unit)) for points, scores in judged]


def _row(name: str, judged: Judged, limit: float | None = None) -> Row:
    return (name, *(best(judged, profile, limit)[0] for profile in PROFILES))
