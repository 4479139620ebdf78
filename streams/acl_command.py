"""`tidegate topics acls`: the rights that each process needs, as command lines of Kafka's own tool."""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

from typing import Annotated

import typer

from streams import acl, narration
from streams.acl import Process
from streams.errors import UsageError
from streams.options import ConfigFile, Output, OutputForm, load_or_default

Role = tuple[Process, str | None]


def print_acls(
    config: ConfigFile = None,
    process: Annotated[Process | None, typer.Option(help="Of this one alone.")] = None,
    executor: Annotated[str | None, typer.Option(metavar="NAME", help="Of `execute`, for this executor.")] = None,
    principal: Annotated[
        str | None, typer.Option(metavar="User:NAME", help="Whom to give them; needs --process.")
    ] = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """The least rights in Kafka that each process needs, as kafka-acls commands.

    Names are those of the configuration: kafka.group, kafka.topic_prefix and the
    executors. Users are User:tidegate-PROCESS, one for each executor, unless
    --principal names another. Touches no network. docs/security.md has the table.
    """
    loaded = load_or_default(config)
    wanted = [role for role in acl.roles(loaded) if process in (None, role[0]) and executor in (None, role[1])]
    _require(wanted, process, executor)
    if principal is not None and len(wanted) != 1:
        raise UsageError("topics acls: --principal needs --process, and --executor where there are several")
    for role in wanted:
        granted, to = acl.rights(loaded, *role), principal or acl.principal(*role)
        if output is Output.JSON:
            for right in granted:
                print(narration.as_json({"principal": to, "process": role[0].value, **right._asdict()}))
        else:
            print(f"# {' '.join(filter(None, (role[0].value, role[1])))}")
            print("\n".join(acl.commands(loaded, granted, to)))


def _require(wanted: list[Role], process: Process | None, executor: str | None) -> None:
    """Complain if nothing is asked for."""
    if wanted:
        return
    if executor is not None:
        raise UsageError(f"topics acls: the configuration has no executor {executor!r}")
    raise UsageError(f"topics acls: {process} has no rights here: the configuration has no executors")
