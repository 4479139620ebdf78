"""What the verbs of operators have in common: who speaks, why, and times."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from schemas.config import Config, Seconds
from schemas.units import US, rfc3339
from streams import logs
from streams.errors import UsageError
from streams.options import load_or_default

Identity = Annotated[
    str,
    typer.Argument(metavar="ID", help="As `commands ls` prints it: the beginning of it is enough, 4 digits or more."),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="For the audit log: everybody can read it.")]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        envvar="TIDEGATE_OPERATOR",
        show_envvar=True,
        help="Who you are; else whose key it is, else the login name.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        envvar="TIDEGATE_OPERATOR_KEY",
        show_envvar=True,
        help="Your private key, as `tidegate keys create` made it.",
    ),
]


def prepared(config: Path | None) -> Config:
    """The configuration, with a log that says only what is wrong."""
    logs.configure("WARNING")
    return load_or_default(config)


def now_us() -> int:
    return time.time_ns() // 1000


def duration(text: str, option: str) -> Seconds:
    """Above zero. Raises UsageError."""
    try:
        length = Seconds.parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    if length <= 0:
        raise UsageError(f"{option}: expected a duration above 0, got {text!r}")
    return length


def end_of(text: str, option: str, begin_us: int) -> str:
    """When a duration is over that begins then."""
    return rfc3339(begin_us + round(duration(text, option) * US))
