"""`tidegate commands ls|show|approve|reject|rollback`."""

# ruff: noqa: T201, PLC0415  (printing is what a command line is for; Kafka takes a moment to import)

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from schemas.orders import Verb
from schemas.outputs import State
from schemas.units import rfc3339
from streams.errors import TidegateError, UsageError
from streams.narration import as_json
from streams.operate.options import As, Identity, KeyFile, Why, now_us, prepared
from streams.options import ConfigFile, Output, OutputForm, since_us
from streams.values import nearest

if TYPE_CHECKING:
    from streams.operate.present import Present
    from streams.operate.saying import Target

commands_app = typer.Typer(help="The commands: what they are, and saying yes or no to them.", no_args_is_help=True)


class ApprovedAlready(TidegateError):
    """Nobody can approve twice: two persons are two identities."""


@commands_app.command("ls")
def list_commands(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", metavar="PATTERN", help="Of these only.")] = None,
    state: Annotated[str | None, typer.Option("--state", "-s", help="In this state only.")] = None,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Issued since: 90s, 1h, 2d ago, or an RFC 3339 time with an offset.")
    ] = "1d",
    every: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--all",
            help="Since the beginning, and the routine, too: renewals, issued proposals.",
        ),
    ] = False,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """What was commanded or held back, the newest last, and what became of it.

    A brake and its renewals are one line. States: proposed, awaiting_approval,
    rejected, held (with the reason), issued, applying, applied, verified, failed,
    expired, replaced, restored.
    """
    from streams.explain.page import new_console
    from streams.operate import listing
    from streams.operate.reading import read_present

    if state is not None and state not in set(State):
        raise UsageError(f"--state: no command is '{state}'{nearest(state, State)}")
    begin = None if every else rfc3339(since_us(since, now_us()))
    selection = listing.Selection(endpoint, None if state is None else State(state), begin, every)
    rows = listing.selected(read_present(prepared(config)), selection)
    if output is Output.TABLE:
        new_console().print(listing.table(rows))
        return
    for row in rows:
        print(as_json(listing.fields(row)))


@commands_app.command()
def show(
    identity: Identity,
    every: Annotated[bool, typer.Option("--all", help="Each renewal, too.")] = False,  # noqa: FBT002
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """The audit trail of a command: who, why, when, for how much money, and what was before and after.

    From the proposal to the restore: every record of its life on control.commands.v1,
    control.results.v1 and control.approvals.v1, with its signature checked against
    the configuration. JSON has one object for each record.
    """
    from streams.explain.page import new_console
    from streams.operate import listing
    from streams.operate.finding import find_command
    from streams.operate.reading import read_present
    from streams.operate.trail import trail_of

    loaded = prepared(config)
    present = read_present(loaded)
    trail = trail_of(present, loaded, find_command(present.lives, identity).life, now_us())
    if output is Output.TABLE:
        new_console().print(listing.story(trail, every=every))
        return
    for entry in trail.entries:
        print(as_json(msgspec.to_builtins(entry)))


@commands_app.command()
def approve(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    identity: Identity, why: Why, name: As = None, key: KeyFile = None, config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:  # fmt: skip
    """Says yes to a command that waits for approval, and waits for what comes of it.

    Your word is signed with your key and counts once; where two persons are needed,
    two must say so. Exits with 1 if it was refused, or nobody answered within 10 s.
    """
    from streams.operate.finding import awaiting
    from streams.operate.saying import Target, Wish, say

    def target(present: Present, who: str) -> Target:
        command = awaiting(present.lives, identity)
        life = present.lives.get(command.id)
        if life is not None and who in life.approvers:
            raise ApprovedAlready(f"{who} has approved it already; another person is needed")
        return Target(command, {"command_id": command.id})

    say(prepared(config), Wish(Verb.APPROVE, why, name, key, output), target)


@commands_app.command()
def reject(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    identity: Identity, why: Why, name: As = None, key: KeyFile = None, config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:  # fmt: skip
    """Says no to a command that waits for approval. One person is enough.

    It is not asked for again in the same episode.
    """
    from streams.operate.finding import awaiting
    from streams.operate.saying import Target, Wish, say

    def target(present: Present, _: str) -> Target:
        command = awaiting(present.lives, identity)
        return Target(command, {"command_id": command.id})

    say(prepared(config), Wish(Verb.REJECT, why, name, key, output), target)


@commands_app.command()
def rollback(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    identity: Identity, why: Why, name: As = None, key: KeyFile = None, config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:  # fmt: skip
    """Takes back what is in force: the endpoint is restored as it was before.

    It is not commanded again in the same episode. Exits with 0 once the restore is
    issued; [bold]tidegate commands show ID[/bold] tells when it is done.
    """
    from streams.operate.finding import in_force
    from streams.operate.saying import Target, Wish, say

    def target(present: Present, _: str) -> Target:
        chain = in_force(present.lives, identity)
        return Target(chain.last, {"command_id": chain.first.id})  # renewals come and go, the first stays

    say(prepared(config), Wish(Verb.ROLLBACK, why, name, key, output), target)
