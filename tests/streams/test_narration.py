"""Sentences for the terminal."""

from __future__ import annotations

from actions import ActionFold
from schemas.units import from_rfc3339
from streams.courses import Turn
from streams.narration import of_finding, sentence
from tests.actions.findings import commands, later, settings, surge


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


def test_a_rise_of_severity_does_not_look_like_an_update() -> None:
    """It is the news; the finding alone cannot say so."""
    update = later(surge("acme/a", 0), 60)
    told = of_finding(update).removeprefix("critical, goes on: ")
    assert of_finding(update, Turn.GOES_ON) == f"critical, goes on: {told}"
    assert of_finding(update, Turn.RISES) == f"now critical: {told}"


def test_a_renewal_does_not_look_like_a_new_command() -> None:
    """The brake is on already."""
    fold, opened = ActionFold(settings()), surge("acme/a", 0)
    (sent,) = commands(fold.apply(opened, from_rfc3339(opened.at)))
    update = later(opened, 450)
    (renewed,) = commands(fold.apply(update, from_rfc3339(update.at)))
    assert renewed.restores == sent.id
    told = sentence(sent).partition("  Command sent: ")[2]
    assert told
    assert sentence(renewed).endswith(f"  {renewed.id[:8]}  Renewed: {told}")
