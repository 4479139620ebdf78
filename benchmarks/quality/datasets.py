"""Where the labelled data is: archives in `TIDEGATE_DATA`, unpacked into a folder that is not under version control."""

from __future__ import annotations

import csv
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.quality.scoring import say
from benchmarks.quality.series import Series, read_labelled, seconds_of, step_of
from detectors.table import Floats

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache" / "quality"
Window = tuple[float, float]


class DataMissing(Exception):
    """An archive is not where it should be; what needs it is skipped."""


def unpack(name: str) -> Path:
    """The folder with what an archive holds."""
    folder = CACHE / name
    if not folder.exists():
        archive = Path(os.environ.get("TIDEGATE_DATA", ROOT.parent / "shared" / "data")) / f"{name}.tar.xz"
        if not archive.is_file():
            raise DataMissing(f"{archive.name} is not in {archive.parent} (TIDEGATE_DATA)")
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = CACHE / f"{name}.{os.getpid()}"
        with tarfile.open(archive) as packed:
            packed.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    return folder


def labelled(folder: Path) -> Iterator[Series]:
    """Each CSV file below a folder that has values."""
    for file in sorted(folder.rglob("*.csv")):
        series = read_labelled(file, file.relative_to(folder).with_suffix("").as_posix())
        if len(series.times):
            yield series
        else:
            say(f"skipped: {file} has no values")


def microsoft() -> list[Series]:
    """Cloud monitoring: request rates, failures, latencies and crash rates; a label for each point."""
    return list(labelled(unpack("ms_cloud_monitoring") / "ms_cloud_monitoring" / "data"))


def nab() -> list[tuple[Series, list[Window]]]:
    """The Numenta Anomaly Benchmark: each series with its windows. Times repeat and have gaps, and stay as they are."""
    folder = unpack("nab") / "NAB"
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return [_nab_series(folder / "data", name, limits) for name, limits in sorted(windows.items())]


def _nab_series(folder: Path, name: str, limits: list[list[str]]) -> tuple[Series, list[Window]]:
    with (folder / name).open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    times = np.array([seconds_of(row[0]) for row in rows])
    spans = [(seconds_of(start), seconds_of(end)) for start, end in limits]
    labels = np.zeros(len(times), dtype=np.bool_)
    for start, end in spans:
        labels |= (times >= start) & (times <= end)
    series = Series(name, step_of(times), times, np.array([float(row[1]) for row in rows]), labels)
    return series, spans


def azure_requests() -> dict[str, Floats]:
    """When each request came, in seconds, of two services over one hour."""
    folder = unpack("azure_llm_2023") / "azure_llm_2023"
    return {kind: _moments(folder / f"AzureLLMInferenceTrace_{kind}.csv") for kind in ("conv", "code")}


def _moments(file: Path) -> Floats:
    with file.open(newline="") as lines:
        # seven digits of a second, more than a datetime takes
        return np.array([seconds_of(row["TIMESTAMP"][:26]) for row in csv.DictReader(lines)])


def servegen_rates() -> dict[str, Floats]:
    """Requests a second of each client, a value for every ten minutes of some days, the busiest first."""
    folder = unpack("servegen_requests") / "alibaba_servegen" / "data"
    rates = {
        file.relative_to(folder).with_suffix("").as_posix(): np.loadtxt(file, delimiter=",", usecols=1)
        for file in sorted(folder.rglob("chunk-*.csv"))
    }
    return dict(sorted(rates.items(), key=lambda item: -float(item[1].mean())))
