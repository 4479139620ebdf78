"""Sentences for the terminal."""

from __future__ import annotations

from streams.narration import sentence
from tests.actions.findings import surge


def test_a_name_writes_nothing_but_its_line() -> None:
    """A name with control characters could clear the screen or forge a line."""
    told = sentence(surge("acme/\x1b[2J\nfaké", 0))
    assert told.isprintable()
    assert "acme/\\x1b[2J\\nfaké" in told
