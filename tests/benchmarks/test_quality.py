"""What judges the detectors is itself right: NAB's formula, the adjusted F1, the incidents, and nobody looks ahead."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from benchmarks.quality import adjusted, datasets, incidents, injected, nab, nab_score, reports, series, surges
from benchmarks.quality.__main__ import app
from benchmarks.quality.adjusted import Tally, best_threshold, tally
from benchmarks.quality.models import MODELS, Model
from benchmarks.quality.nab import GAUSSIAN
from benchmarks.quality.nab_score import PROFILES, Profile, best, points_of, sigma
from benchmarks.quality.scoring import Scored, scored_together
from benchmarks.quality.series import Series
from detectors.table import Floats

STANDARD: Final = PROFILES[0]


def series_of(values: Floats, labelled: slice = slice(0, 0), step_s: float = 60.0) -> Series:
    labels = np.zeros(len(values), dtype=np.bool_)
    labels[labelled] = True
    return Series("made up", step_s, step_s * np.arange(1.0, len(values) + 1), np.asarray(values, dtype=float), labels)


def flagged(size: int, *places: int) -> Floats:
    scores = np.zeros(size)
    scores[list(places)] = 1.0
    return scores


@pytest.mark.parametrize("module", [adjusted, nab_score, series])
def test_the_documented_examples_run(module: ModuleType) -> None:
    """What a docstring shows is what happens."""
    assert doctest.testmod(module).failed == 0


# -- NAB ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_no_detection_is_worth_nothing_and_perfect_ones_a_hundred(profile: Profile) -> None:
    """In each profile: the ends of the scale."""
    one = series_of(np.zeros(1000))
    points = points_of(one, [(one.times[400], one.times[499]), (one.times[700], one.times[799])])
    assert best([(points, np.zeros(1000))], profile)[0] == 0.0
    assert best([(points, flagged(1000, 400, 700))], profile)[0] == pytest.approx(100.0)


def test_each_detection_costs_or_earns_what_the_formula_says() -> None:
    """By hand: one window found in its middle, one false detection far before, one just after."""
    one = series_of(np.zeros(1000))
    points = points_of(one, [(one.times[400], one.times[499])])
    in_the_middle = sigma(-50 / 100) / sigma(-1.0)
    just_after, far = sigma(10 / 99), -1.0
    raw = in_the_middle + 0.11 * (just_after + far)
    scores = flagged(1000, 200, 450, 460, 509)
    assert best([(points, scores)], STANDARD, limit=1.0)[0] == pytest.approx(100 * (raw + 1) / 2)


def test_the_beginning_of_a_series_does_not_count() -> None:
    """Of the first 15 % nothing is judged."""
    one = series_of(np.zeros(1000))
    points = points_of(one, [(one.times[400], one.times[499])])
    assert best([(points, flagged(1000, 3, 149, 400))], STANDARD, limit=1.0)[0] == pytest.approx(100.0)


def test_the_best_threshold_is_taken() -> None:
    """Not the first that finds something."""
    one = series_of(np.zeros(1000))
    points = points_of(one, [(one.times[400], one.times[499])])
    scores = flagged(1000, *range(600, 700))
    scores[400] = 2.0
    score, limit = best([(points, scores)], STANDARD)
    assert score == pytest.approx(100.0)
    assert limit == 2.0


def test_published_scores_are_reproduced_to_the_last_digit() -> None:
    """NAB's windowed Gaussian, rebuilt: 39.65, 20.87 and 47.41, as its table has them."""
    try:
        data = datasets.nab()
    except datasets.DataMissing as missing:
        pytest.skip(str(missing))
    judged = [(points_of(one, windows), GAUSSIAN.scores(one)) for one, windows in data]
    assert [round(best(judged, profile)[0], 2) for profile in PROFILES] == list(nab.PUBLISHED[-1][1:])
    nothing = [(points, np.zeros_like(scores)) for points, scores in judged]
    assert [best(nothing, profile)[0] for profile in PROFILES] == [0.0, 0.0, 0.0]


def test_an_incident_is_reported_once_and_tired_people_less() -> None:
    """The second of two equal scores is not shown; after many reports more is needed."""
    scores = np.zeros(4000)
    scores[100:110] = 1.5
    assert np.count_nonzero(reports.reported(scores)) == 1
    often = np.zeros(4000)
    often[::300] = 1.0
    shown = np.flatnonzero(reports.reported(often))
    assert 0 < len(shown) < 14
    assert shown[0] == 0


# -- adjusted F1 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_s", "place", "found"), [
    (3600.0, 52, True), (3600.0, 53, False), (60.0, 56, True), (60.0, 57, False), (60.0, 49, False),
])  # fmt: skip
def test_a_run_counts_as_found_if_it_is_seen_early(step_s: float, place: int, *, found: bool) -> None:
    """Within its first 3 points, or 7 of a one-minute series; then all of it, else none."""
    one = series_of(np.zeros(100), slice(50, 70), step_s)
    false = int(place < 50)
    assert tally(one, flagged(100, place) > 0) == Tally(20 * found, false, 20 * (not found), int(found), 1)


def test_a_flag_outside_of_all_runs_is_false() -> None:
    """Each point; those inside of a run are not, whenever they come."""
    one = series_of(np.zeros(100), slice(50, 70))
    assert tally(one, flagged(100, 10, 11, 50, 65) > 0) == Tally(20, 2, 0, 1, 1)


def test_the_best_threshold_in_hindsight_separates_what_can_be_separated() -> None:
    """Also where the highest scores are all the same."""
    one = series_of(np.zeros(1000), slice(500, 520))
    scores = np.linspace(0, 0.5, 1000)
    scores[500:520] = 7.0
    _, found = best_threshold([(one, scores)])
    assert found.f1 == 1.0


# -- models and incidents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*MODELS, GAUSSIAN], ids=lambda model: model.name)
def test_no_model_looks_ahead(model: Model) -> None:
    """The score of a point does not change with what comes after it."""
    values = np.random.default_rng(1).poisson(20.0, 700).astype(float)
    values[300] = 90.0
    values[400] = math.nan
    whole, part = series_of(values), series_of(values[:600])
    assert model.scores(whole)[:600] == pytest.approx(model.scores(part), rel=1e-9, abs=1e-9)
    assert np.isfinite(model.scores(whole)).all()


def test_incidents_are_the_same_for_a_seed_and_where_their_labels_say() -> None:
    """Silence is silent exactly where it is labelled."""
    traffic = {"steady": np.full(6 * incidents.DAY, 5.0)}
    (silence,) = [kind for kind in incidents.KINDS if kind.name.startswith("silence")]
    (one,), (again,) = (list(incidents.injected(traffic, silence, 3)) for _ in range(2))
    assert (one.values == again.values).all()
    assert (one.values[one.labels] == 0).all()
    assert (one.values[~one.labels] > 0).all()
    assert list(series.runs(one.labels)) == list(series.runs(again.labels)) != []


def test_together_scores_are_as_one_by_one() -> None:
    """The bank and the scalar are one model."""
    some = [series_of(np.random.default_rng(i).poisson(20.0, 300).astype(float)) for i in range(3)]
    for one, scores in scored_together(some):
        assert (scores == MODELS[0].scores(one)).all()


@pytest.mark.parametrize(("always", "by_chance"), [(True, 1.0), (False, 0.0)])
def test_what_is_found_is_told_beside_what_chance_finds(
    monkeypatch: pytest.MonkeyPatch, *, always: bool, by_chance: float
) -> None:
    """Chance is what is found at the same places where nothing was put in."""

    def together(some: list[Series]) -> Scored:
        return [(one, (one.labels | always) * np.float64(2)) for one in some]

    monkeypatch.setattr(datasets, "servegen_rates", lambda: {name: np.full(2016, 5.0) for name in "ab"})
    monkeypatch.setattr(injected, "scored_together", together)
    (table,) = injected.run(baselines=False)
    rows = table.as_json()["rows"]
    assert [row["incident"] for row in rows] == [kind.name for kind in incidents.KINDS]
    assert {(row["found"], row["by chance"]) for row in rows} == {(1.0, by_chance)}


def test_a_threshold_for_as_many_false_episodes_has_no_more() -> None:
    """And not one so low that everything is one episode."""
    one = series_of(np.zeros(1000))
    scores = flagged(1000, *range(0, 1000, 10)) * np.linspace(1, 2, 1000)
    limit = injected._limit([(one, scores)], 5)
    assert 1 < limit < 2
    assert 1 <= injected._episodes([(one, scores)], limit) <= 5


def test_the_rule_is_judged_by_the_true_crossing() -> None:
    """Steady traffic opens nothing; eightfold opens one episode, when the truth crosses."""
    rng = np.random.default_rng(1)
    before = surges.each_second(np.full(1200, 10.0), rng)
    surged = surges.each_second(np.full(30, 80.0), rng, surges.START_S + 1200)
    both = surges.Arrivals(*(np.concatenate(columns) for columns in zip(before, surged, strict=True)))
    assert surges.opened({"steady": before}) == []
    (found,) = surges.opened({"surged": both})
    crossed = surges._crossing(both, 10.0, surges.START_S)
    assert crossed is not None
    assert surges._delay(surges.Surge(surges.START_S + 1200, surges.START_S + 1230, crossed), "surged", [found])[0] < 1


# -- the program --------------------------------------------------------------------------------------------------


def test_a_folder_of_other_series_can_be_judged(tmp_path: Path) -> None:
    """Time, value, label: a spike that anyone sees is found by the shipped threshold."""
    rows = [f"{1_800_000_000 + 60 * i},{100 + i % 5}.5,{int(i == 400)}" for i in range(500)]
    rows[400] = rows[400].replace("100.5", "900.5")
    (tmp_path / "one.csv").write_text("\n".join(["time,value,label", *rows]))
    ran = CliRunner().invoke(app, ["labelled", str(tmp_path), "--output", "json"])
    assert ran.exit_code == 0, ran.output
    pooled, each = (orjson.loads(line) for line in ran.stdout.splitlines())
    assert pooled["rows"][0] == {
        "detector": "LearnedNormal", "threshold": 1.0, "F1": 1.0, "precision": 1.0, "recall": 1.0, "runs found": 1,
        "of": 1,
    }  # fmt: skip
    assert [row["series"] for row in each["rows"]] == ["one"]


def test_a_file_without_values_is_skipped_and_says_so(tmp_path: Path) -> None:
    """The others are judged; where there is none, nothing is."""
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "heading.csv").write_text("time,value,label\n")
    ran = CliRunner().invoke(app, ["labelled", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    assert "has no CSV files with values" in ran.stderr
    (tmp_path / "one.csv").write_text(
        "\n".join(["time,value", *(f"{1_800_000_000 + 60 * i},{i % 5}" for i in range(99))])
    )
    assert [one.name for one in datasets.labelled(tmp_path)] == ["one"]
    for name in ("empty", "heading"):
        assert f"skipped: {tmp_path / name}.csv has no values" in ran.stderr


def test_what_has_no_data_is_skipped_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no failure."""
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "CACHE", tmp_path / "cache")
    ran = CliRunner().invoke(app, ["microsoft"])
    assert ran.exit_code == 0
    assert "skipped: ms_cloud_monitoring.tar.xz is not in" in ran.stderr
