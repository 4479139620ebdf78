"""What docs/guarantees.md names as its proof is there."""

from __future__ import annotations

import re
from typing import Final

from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[\w/.]+)`", PAGE)))
TESTS: Final = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def test_every_test_that_is_named_is_there() -> None:
    """Whoever reads the page can run it."""
    assert NAMED
    assert [name for name in NAMED if not (ROOT / name).exists()] == []
    functions = re.findall(r"`\w+\.py::(\w+)`", PAGE)
    assert functions
    assert [name for name in functions if f"def {name}(" not in TESTS] == []
