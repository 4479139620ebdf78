"""Every model over every series, on all cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from benchmarks.quality.models import Model
from benchmarks.quality.series import Series
from detectors.normal_bank import NormalBank
from detectors.table import Floats

Scored = list[tuple[Series, Floats]]


def say(message: str) -> None:
    """Progress is not a result."""
    print(message, file=sys.stderr, flush=True)


def scored(models: Sequence[Model], series: Sequence[Series]) -> dict[str, Scored]:
    """The scores of each model, by its name."""
    longest_first = sorted(range(len(series)), key=lambda i: -len(series[i].times))
    found: dict[str, Scored] = {}
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for model in models:
            say(f"  {model.name}: {len(series)} series")
            scores = list(pool.map(model.scores, [series[i] for i in longest_first]))
            ordered = dict(zip(longest_first, scores, strict=True))
            found[model.name] = [(each, ordered[i]) for i, each in enumerate(series)]
    return found


def scored_together(series: Sequence[Series]) -> Scored:
    """`LearnedNormal`'s scores of series with the same times: a bank of them, a step at a time."""
    bank = NormalBank(series[0].step_s, scored=True)
    bank.add(len(series))
    numbers, teach = np.arange(len(series)), np.ones(len(series), dtype=np.bool_)
    values = np.stack([each.values for each in series])
    times = series[0].times.tolist()
    scores = np.stack([bank.judge(numbers, time_s, values[:, i], teach).score for i, time_s in enumerate(times)])
    return list(zip(series, scores.T, strict=True))
