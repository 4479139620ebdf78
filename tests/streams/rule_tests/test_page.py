"""docs/rule-tests.md is true: its example does what it says, and every key that it names is known."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.rule_tests.reading import read
from streams.rule_tests.shorthand import Rates

PAGE: Final = (Path(__file__).parents[3] / "docs" / "rule-tests.md").read_text()
YAML: Final = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CONSOLE: Final = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_passes_and_fails_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line."""
    monkeypatch.chdir(tmp_path)
    passing, failing = CONSOLE
    for text, told in ((YAML[0], passing.split("\n", 1)[1]), (YAML[0].replace("~16m26s", "16m"), failing)):
        Path("surge.yaml").write_text(text)
        assert CliRunner().invoke(app, ["test", "rules", "surge.yaml"]).stdout == told


@pytest.mark.parametrize("block", [block for block in YAML if re.match(r"requests|events", block)])
def test_what_it_shows_of_a_test_can_be_read(block: str, tmp_path: Path) -> None:
    """Each block of events is a part of a test."""
    file = tmp_path / "it.yaml"
    file.write_text(f"tests:\n  - name: it\n    findings: []\n{textwrap.indent(block, '    ')}")
    assert read(str(file), {}).problems == ()


def test_every_rate_that_it_shows_is_one() -> None:
    """The block of short-hand."""
    (block,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    totals = [Rates.written(re.split(r"\s{2,}", line)[0]).total() for line in block.splitlines()]
    assert totals == [9000 + 2700, 3600, 0, 24 * 420]
