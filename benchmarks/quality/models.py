"""What is compared: the shipped `LearnedNormal`, and detectors that others would reach for. All are strictly online.

A model is a function from a series to a score for each point, made of that point and those before it. `LearnedNormal`
is judged at its shipped threshold, a score above 1. The others have none that fits all series, so they get, in
hindsight, the one threshold for all series that is best for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from river import anomaly, preprocessing, time_series

from benchmarks.quality.series import Series
from detectors import LearnedNormal
from detectors.table import Floats

ROLLING: Final = 100  # steps
WARM: Final = 20
DAY_S: Final = 86_400
TREES: Final = 10
TREE_WINDOW: Final = 250
SPECTRUM: Final = 128  # steps whose spectrum is taken
AHEAD: Final = 5  # points that are guessed beyond the last one, and ...
NEIGHBOURS: Final = 21  # ... how many the saliency is compared with
SPECTRAL_BATCH: Final = 4096
GAUSSIAN_WINDOW: Final = 6400
GAUSSIAN_STEP: Final = 100


class Model(NamedTuple):
    """`shipped`: its threshold is 1, whatever the series."""

    name: str
    judge: Callable[[Series], Floats]
    shipped: bool = False

    def scores(self, series: Series) -> Floats:
        """0 where there is no value: nobody is asked about what is missing."""
        there = np.isfinite(series.values)
        scores = np.zeros(len(there))
        scores[there] = self.judge(series._replace(times=series.times[there], values=series.values[there]))
        return np.nan_to_num(scores)


def learned_normal(series: Series) -> Floats:
    normal = LearnedNormal(series.step_s)
    points = zip(series.times.tolist(), series.values.tolist(), strict=True)
    return np.array([normal.update(time_s, value).score for time_s, value in points])


def rolling_z(series: Series) -> Floats:
    """Distance from the mean of the last 100 values in their standard deviations; these do not include the newest."""
    values, scores = series.values, np.zeros(len(series.values))
    for i in range(WARM, min(ROLLING, len(values))):
        scores[i] = _distance(values[i], values[:i].mean(), values[:i].std())
    if len(values) > ROLLING:
        before = sliding_window_view(values, ROLLING)[:-1]
        scores[ROLLING:] = _distance(values[ROLLING:], before.mean(axis=1), before.std(axis=1))
    return scores


def _distance(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    distance: Floats = np.abs(values - mean) / (deviation + 1e-9 * (1 + np.abs(mean)))
    return distance


def gaussian_scorer(series: Series) -> Floats:
    """River's, over the last 1 000 values: the score is how far out in a normal distribution the value lies."""
    scorer = anomaly.GaussianScorer(window_size=1000, grace_period=WARM)
    scores = []
    for value in series.values.tolist():
        scores.append(float(scorer.score_one(None, value)))
        scorer.learn_one(None, value)
    return _sharpened(np.array(scores))


def half_space_trees(series: Series) -> Floats:
    """River's, on values that a running minimum and maximum scale into 0..1, as it wants them."""
    scaler = preprocessing.MinMaxScaler()
    trees = anomaly.HalfSpaceTrees(n_trees=TREES, height=8, window_size=TREE_WINDOW, seed=1)
    scores = []
    for value in series.values.tolist():
        scaler.learn_one({"value": value})
        scaled = scaler.transform_one({"value": value})
        scores.append(float(trees.score_one(scaled)))
        trees.learn_one(scaled)
    scores[:TREE_WINDOW] = [0.0] * min(TREE_WINDOW, len(scores))  # it knows nothing before its first window is over
    return np.array(scores)


def holt_winters(series: Series) -> Floats:
    """River's PredictiveAnomalyDetection of an additive HoltWinters with the season of a day, or of 24 steps."""
    season = max(2, round(DAY_S / series.step_s))
    if 2 * season > len(series.values) or season > 288:  # noqa: PLR2004 -- River adds a whole season up at each step
        season = 24
    forecaster = time_series.HoltWinters(alpha=0.3, beta=0.01, gamma=0.3, seasonality=season)
    detector = anomaly.PredictiveAnomalyDetection(forecaster, horizon=1, n_std=1.0)
    scores = []
    for i, value in enumerate((series.values + 1.0).tolist()):  # it divides by the first values' mean: no zeros
        if i <= season:
            scores.append(0.0)
        else:
            # its own formula, without its cap at 1: all that matters lies beyond
            limit = detector.dynamic_mae.get() + math.sqrt(detector.dynamic_se_variance.get())
            scores.append((forecaster.forecast(1)[0] - value) ** 2 / (limit + 1e-9))
            detector.score_one({}, value)  # it learns how large errors are when it scores
        detector.learn_one(None, value)
    scores[: 2 * season] = [0.0] * min(2 * season, len(scores))
    return np.array(scores)


def spectral_residual(series: Series) -> Floats:
    """Ren et al. 2019: the saliency of the last of 128 values, over the mean of the saliencies before it."""
    values = series.values
    scores = np.zeros(len(values))
    if len(values) <= SPECTRUM:
        return scores
    windows = sliding_window_view(values, SPECTRUM)
    for start in range(0, len(windows), SPECTRAL_BATCH):
        some = windows[start : start + SPECTRAL_BATCH]
        scores[SPECTRUM - 1 + start : SPECTRUM - 1 + start + len(some)] = _saliency(some)
    return scores


def _saliency(windows: Floats) -> Floats:
    # points beyond the last one are guessed from the mean slope to it, as the transform wants it inside
    slopes = (windows[:, -1:] - windows[:, -AHEAD - 1 : -1]) / np.arange(AHEAD, 0, -1)
    guess = windows[:, -AHEAD : -AHEAD + 1] + slopes.mean(axis=1, keepdims=True) * AHEAD
    spectrum = np.fft.rfft(np.hstack([windows, np.repeat(guess, AHEAD, axis=1)]), axis=1)
    logs = np.log(np.abs(spectrum) + 1e-9)
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(3) / 3, mode="same"), 1, logs)
    residual = np.exp(logs - smooth + 1j * np.angle(spectrum))
    saliency = np.abs(np.fft.irfft(residual, n=SPECTRUM + AHEAD, axis=1))
    last, before = saliency[:, SPECTRUM - 1], saliency[:, SPECTRUM - NEIGHBOURS - 1 : SPECTRUM - 1].mean(axis=1)
    found: Floats = np.maximum(0.0, (last - before) / (before + 1e-9))
    return found


def windowed_gaussian(series: Series) -> Floats:
    """NAB's own baseline, to verify the scorer with: how far out in a normal distribution, of the last 6 400 values.

    They are taken in steps of 100 once there are so many. NAB keeps twelve digits of each score.
    """
    values, start, end = series.values, 0, 0  # the window's
    mean, deviation, scores = 0.0, 1.0, []
    for i, value in enumerate(values.tolist()):
        scores.append(round(1 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2)), 12) if end else 0.0)
        if end - start < GAUSSIAN_WINDOW:
            end += 1
        elif i + 1 - end == GAUSSIAN_STEP:
            start, end = start + GAUSSIAN_STEP, end + GAUSSIAN_STEP
        else:
            continue
        mean, deviation = float(values[start:end].mean()), float(values[start:end].std()) or 1e-6
    return np.array(scores)


def _sharpened(scores: Floats) -> Floats:
    """Of probabilities near 1: how many nines they have, so that thresholds between them can be told apart."""
    nines: Floats = -np.log10(np.maximum(1e-16, 1 - scores))
    return nines


LEARNED: Final = Model("LearnedNormal", learned_normal, shipped=True)
BASELINES: Final = (
    Model("rolling z-score", rolling_z),
    Model("River GaussianScorer", gaussian_scorer),
    Model("River HalfSpaceTrees", half_space_trees),
    Model("River PredictiveAnomalyDetection (HoltWinters)", holt_winters),
    Model("spectral residual", spectral_residual),
)
MODELS: Final = (LEARNED, *BASELINES)
