"""What several verbs of the command line have in common: their options, and how the configuration is found."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from detectors import SETTINGS
from schemas.config import Config, Seconds
from schemas.units import US, to_us
from streams import configuration
from streams.errors import UsageError
from streams.origins import NO_FILE, Origins

DEFAULT_CONFIG: Final = "tidegate.yaml"


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="TIDEGATE_CONFIG",
        show_envvar=True,
        help=f"The configuration; {DEFAULT_CONFIG} where none is named.",
    ),
]
OutputForm = Annotated[
    Output, typer.Option("--output", "-o", help="table: for people; json: one object a line, for programs.")
]


def config_path(config: Path | None) -> Path:
    return Path(DEFAULT_CONFIG) if config is None else config


def reloaded(path: Path) -> Config | None:
    """The configuration read again; None, and every problem in the log, if it is bad."""
    loaded, problems = configuration.read(path, SETTINGS, os.environ)
    log = structlog.get_logger("tidegate.config")
    for problem in problems:
        log.warning("configuration", problem=str(problem))
    if loaded is None:
        log.error("configuration kept: the new one has errors", file=str(path))
    return loaded


def load_or_default(config: Path | None) -> Config:
    """The configuration; the defaults where none was named and there is none."""
    return load_traced_or_default(config)[0]


def load_traced_or_default(config: Path | None) -> tuple[Config, Origins]:
    """The same, and where each of its values comes from."""
    path = config_path(config)
    if config is None and not path.exists():
        print(f"tidegate: no {DEFAULT_CONFIG} here, using the defaults", file=sys.stderr)  # noqa: T201 -- to a person
        return configuration.defaults(SETTINGS), NO_FILE
    return configuration.load_traced(path, SETTINGS, os.environ)


def since_us(text: str, now_us: int) -> int:
    """The moment that `--since` means: `90s`, `1h` or `2d` before now, or an RFC 3339 time. Raises UsageError."""
    try:
        return now_us - round(Seconds.parse(text) * US)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(f"--since: expected 90s, 1h or 2d, or an RFC 3339 time with an offset, got {text!r}")
    return to_us(moment)
