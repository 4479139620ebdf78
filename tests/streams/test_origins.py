"""A value of the configuration knows the line that gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from detectors import SETTINGS
from streams import configuration
from streams.options import load_traced_or_default
from streams.origins import NO_FILE, Origins
from streams.typed_yaml import KeyPath

FILE: Final = """\
mode: ${MODE:-auto}
endpoints:
  acme/bert:
    expected_max:
      4
    mode: ~
    rules: {request_surge: {ratio: 8}}
  acme/llama:
    <<: {price_usd_per_hour: 2.0}
    expected_max: 8
defaults: {rules: {request_surge: {min_rate: 2}}}
actions:
  hourly_spend:
    warning: throttle
safety:
  protected:
    - acme/llama
    - acme/bert
"""


@pytest.fixture
def origins(tmp_path: Path) -> Origins:
    file = tmp_path / "tidegate.yaml"
    file.write_text(FILE)
    return configuration.load_traced(file, SETTINGS, {})[1]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("mode",), 1),
        (("endpoints", "acme/bert"), 3),
        (("endpoints", "acme/bert", "expected_max"), 5),
        (("endpoints", "acme/bert", "rules", "request_surge", "ratio"), 7),
        (("endpoints", "acme/llama", "price_usd_per_hour"), 9),
        (("endpoints", "acme/llama", "expected_max"), 10),
        (("defaults", "rules", "request_surge", "min_rate"), 11),
        (("actions", "hourly_spend", "warning"), 14),
        (("safety", "protected", 1), 18),
    ],
)
def test_a_value_stands_in_its_line(origins: Origins, path: KeyPath, line: int) -> None:
    """The line of the value itself; of a list or a mapping, that of its key; what is merged stands where it is."""
    found = origins.first([path])
    assert found is not None
    assert (found.line, found.path) == (line, path)
    assert str(found) == f"{origins.file}:{line}"


@pytest.mark.parametrize(
    "path",
    [
        ("safety", "cooldown"),
        ("endpoints", "acme/bert", "mode"),
        ("endpoints", "acme/nobody", "mode"),
        ("endpoints", "acme/llama", "rules", "request_surge", "min_rate"),
    ],
)
def test_what_the_file_does_not_give_has_no_line(origins: Origins, path: KeyPath) -> None:
    """A key without a value is as good as none: the value comes from elsewhere."""
    assert origins.first([path]) is None


def test_the_first_path_that_the_file_gives_counts(origins: Origins) -> None:
    """Layers are asked in the order in which they win."""
    layers: list[KeyPath] = [("endpoints", "acme/bert", "mode"), ("defaults", "mode"), ("mode",)]
    found = origins.first(layers)
    assert found is not None
    assert found.path == ("mode",)


def test_without_a_file_everything_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `replay`, which needs none."""
    monkeypatch.chdir(tmp_path)
    config, origins = load_traced_or_default(None)
    assert origins is NO_FILE
    assert config == configuration.defaults(SETTINGS)
    assert origins.first([("mode",)]) is None
