"""The rules' own scenarios, `tests/rules/*.yaml`: events in, findings and commands out, as people read them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from detectors import RULES
from streams.cli import app

FOLDER: Final = Path(__file__).parent / "rules"
FILES: Final = sorted(FOLDER.glob("*.yaml"))
PAGES: Final = FOLDER.parent.parent / "docs" / "rules"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_rule_does_what_its_scenarios_say(file: Path) -> None:
    """By `tidegate test rules`; what differs is told as it is told to everyone."""
    result = CliRunner().invoke(app, ["test", "rules", str(file)])
    assert result.exit_code == 0, result.stdout or result.exception


def test_every_rule_has_its_scenarios() -> None:
    """A file each, named after the rule."""
    assert RULES.keys() <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_rule_s_page_leads_to_its_scenarios(file: Path) -> None:
    """By a link."""
    assert f"(../../tests/rules/{file.name})" in (PAGES / f"{file.stem}.md").read_text()
