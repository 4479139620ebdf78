"""Sentences for the terminal."""

from __future__ import annotations

from actions import ActionFold
from schemas.units import from_rfc3339
from streams.narration import sentence
from tests.actions.findings import commands, settings, surge


def test_a_name_writes_nothing_but_its_line() -> None:
    """A name with control characters could clear the screen or forge a line."""
    told = sentence(surge("acme/\x1b[2J\nfaké", 0))
    assert told.isprintable()
    assert "acme/\\x1b[2J\\nfaké" in told


def test_a_line_names_what_it_tells_of() -> None:
    """The first eight digits of the id, which `tidegate explain` takes."""
    found = surge("acme/a", 0)
    (command,) = commands(ActionFold(settings()).apply(found, from_rfc3339(found.at)))
    assert sentence(found).startswith(f"{found.at}  finding  {found.id[:8]}  critical: request_surge on acme/a")
    assert sentence(command).startswith(
        f"{command.issued_at}  command  {command.id[:8]}  Command sent: throttle acme/a"
    )
