"""`tidegate silence add|ls|expire`."""

# ruff: noqa: T201, PLC0415  (printing is what a command line is for; Kafka takes a moment to import)

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from schemas.orders import Verb
from schemas.units import rfc3339
from streams.alerting_checks import wrong_matcher
from streams.errors import UsageError
from streams.narration import as_json
from streams.operate.options import As, KeyFile, Why, end_of, now_us, prepared
from streams.options import ConfigFile, Output, OutputForm

if TYPE_CHECKING:
    from streams.operate.present import Present
    from streams.operate.saying import Target

silence_app = typer.Typer(help="Alerts that are not to be sent for a while.", no_args_is_help=True)


@silence_app.command()
def add(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    matchers: Annotated[
        list[str], typer.Argument(metavar="MATCHER...", help="""As Alertmanager has them: 'endpoint=~"acme/.*"'.""")
    ],
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="Such as 2h.")],
    why: Why,
    name: As = None,
    key: KeyFile = None,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """No notification is sent of alerts that match all of the matchers.

    A silence ends by itself: an alert that still fires then is sent. What was told
    before is still told to be over. Commands are given all the same.
    """
    from streams.operate.saying import Target, Wish, say

    for matcher in matchers:
        if (wrong := wrong_matcher(matcher)) is not None:
            raise UsageError(f"silence add: {wrong}")
    begin_us = now_us()
    fields = {"matchers": tuple(matchers), "until": end_of(lasting, "--for", begin_us)}

    def target(_: Present, __: str) -> Target:
        return Target(None, fields)

    say(prepared(config), Wish(Verb.SILENCE, why, name, key, output), target)


@silence_app.command("ls")
def list_silences(
    every: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,  # noqa: FBT002
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """The silences that last, by their end."""
    from streams.explain.page import new_console
    from streams.operate.page import silence_table
    from streams.operate.reading import read_present
    from streams.operate.status import silence_of

    present, at_us = read_present(prepared(config)), now_us()
    found = tuple(map(silence_of, present.all_silences() if every else present.silences(at_us)))
    if output is Output.TABLE:
        new_console().print(silence_table(found, rfc3339(at_us)) if found else "no silences")
        return
    for silence in found:
        print(as_json(msgspec.to_builtins(silence)))


@silence_app.command()
def expire(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `silence ls` prints it; 4 digits or more.")],
    why: Why,
    name: As = None,
    key: KeyFile = None,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """Ends a silence now."""
    from streams.operate.finding import find_silence
    from streams.operate.saying import Target, Wish, say

    def target(present: Present, _: str) -> Target:
        return Target(None, {"silence_id": find_silence(present.silences(now_us()), identity).id})

    say(prepared(config), Wish(Verb.UNSILENCE, why, name, key, output), target)
