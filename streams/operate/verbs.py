"""`tidegate status`, `pause-actions` and `resume-actions`."""

# ruff: noqa: PLC0415  (Kafka takes a moment to import)

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.orders import Verb
from streams.operate.options import As, KeyFile, Why, end_of, now_us, prepared
from streams.options import ConfigFile, Output, OutputForm

if TYPE_CHECKING:
    from streams.operate.present import Present
    from streams.operate.saying import Target


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,  # noqa: FBT002
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """What is in force now and until when, what it saves, and what waits for whom.

    Also the kill switch, silences, what failed or was refused in the last 24 hours,
    and a warning where a worker or an executor seems to be away. Read from
    control.commands.v1, control.results.v1 and control.approvals.v1 alone.
    [bold]--watch[/bold] keeps the picture up to date on a terminal, writes a line for each
    change into a pipe, and with [bold]-o json[/bold] an object at each change.
    """
    from streams.operate import watching
    from streams.operate.reading import read_present

    loaded = prepared(config)
    if watch:
        watching.watch(loaded, as_objects=output is Output.JSON)
    else:
        watching.tell(loaded, read_present(loaded), as_objects=output is Output.JSON)


def pause_actions(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    why: Why,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Such as 1h; without it, until somebody resumes.")
    ] = None,
    name: As = None,
    key: KeyFile = None,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """The kill switch: from the next command on, all are held back.

    What is in force stays until its end and is not renewed; findings and alerts go on.
    It survives restarts, and is itself an alert. To undo what is in force there is
    [bold]tidegate commands rollback[/bold].
    """
    until = {} if lasting is None else {"until": end_of(lasting, "--for", now_us())}
    _switch(Verb.PAUSE, why, (name, key, config, output), until)


def resume_actions(
    why: Why, name: As = None, key: KeyFile = None, config: ConfigFile = None, output: OutputForm = Output.TABLE
) -> None:
    """Takes the kill switch off. One in the configuration (safety.kill_switch) stays."""
    _switch(Verb.RESUME, why, (name, key, config, output), {})


def _switch(verb: Verb, why: str, options: tuple[Any, Any, Any, Output], fields: dict[str, Any]) -> None:
    from streams.operate.saying import Target, Wish, say

    name, key, config, output = options

    def target(_: Present, __: str) -> Target:
        return Target(None, fields)

    say(prepared(config), Wish(verb, why, name, key, output), target)
