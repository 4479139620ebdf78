"""Series with a label for each point: Microsoft's, or a folder of your own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.quality import datasets
from benchmarks.quality.adjusted import Tally, best_threshold, pooled, tally
from benchmarks.quality.models import MODELS, Model
from benchmarks.quality.scoring import Scored, say, scored
from benchmarks.table import Column, Table

SHIPPED: Final = 1.0
UNFINDABLE: Final = "mongo-03"  # its one label, 43 % of all, begins 20 minutes before anything shows
COLUMNS: Final = (
    Column("detector"),
    Column("threshold", ".3g"),
    Column("F1", ".3f"),
    Column("precision", ".3f"),
    Column("recall", ".3f"),
    Column("runs found", ".0f"),
    Column("of", ".0f"),
)
NOTE: Final = (
    "LearnedNormal at its shipped threshold; every other detector at the one threshold for all series that is best in "
    "hindsight."
)


def microsoft() -> list[Table]:
    say("microsoft ...")
    series = datasets.microsoft()
    found = scored(MODELS, series)
    without = {name: [one for one in each if UNFINDABLE not in one[0].name] for name, each in found.items()}
    return [
        _table(f"Microsoft cloud monitoring, {len(series)} series, pooled", found),
        _table(f"The same without {UNFINDABLE}", without),
        _halves(without),
    ]


def folder(place: Path, models: Sequence[Model] = MODELS) -> list[Table]:
    """Each CSV file below it: time, value, label."""
    series = list(datasets.labelled(place))
    if not series:
        raise datasets.DataMissing(f"{place} has no CSV files with values")
    say(f"{place}: {len(series)} series ...")
    found = scored(models, series)
    tables = [_table(f"{place}, {len(series)} series, pooled", found)]
    if len(series) > 1:
        tables.append(_halves(found))
    return [*tables, _each(found[MODELS[0].name])]


def _table(title: str, found: dict[str, Scored]) -> Table:
    rows = [_row(name, *_judged(name, each)) for name, each in found.items()]
    return Table(title, COLUMNS, rows, (NOTE,))


def _judged(name: str, each: Scored) -> tuple[float, Tally]:
    if any(model.shipped for model in MODELS if model.name == name):
        return SHIPPED, _at(each, SHIPPED)
    return best_threshold(each)


def _at(each: Scored, limit: float) -> Tally:
    return pooled(tally(series, scores > limit) for series, scores in each)


def _row(name: str, limit: float, total: Tally) -> tuple[str | float, ...]:
    return (name, limit, total.f1, total.precision, total.recall, total.found, total.runs)


def _halves(found: dict[str, Scored]) -> Table:
    """Every other series: a threshold that was chosen on one half is judged on the other."""
    rows = []
    for name, each in found.items():
        even, odd = each[0::2], each[1::2]
        on_even, on_odd = _at(even, _judged(name, odd)[0]), _at(odd, _judged(name, even)[0])
        rows.append((name, on_even.f1, on_odd.f1, on_even.plus(on_odd).f1))
    columns = (Column("detector"), Column("even series", ".3f"), Column("odd series", ".3f"), Column("both", ".3f"))
    return Table("F1 out of sample: thresholds chosen on the other half of the series", columns, rows)


def _each(scored_series: Scored) -> Table:
    rows = [
        (series.name, series.step_s, float(len(series.times)), *_row("", SHIPPED, tally(series, scores > SHIPPED))[2:])
        for series, scores in scored_series
    ]
    columns = (Column("series"), Column("step, s", ",.0f"), Column("points"), *COLUMNS[2:])
    return Table(f"{MODELS[0].name}, series by series", columns, rows)
