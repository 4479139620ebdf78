"""`tidegate explain ID`."""

# ruff: noqa: T201, PLC0415  (printing is what a command line is for; Kafka takes a moment to import)

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from schemas.config import Config, Seconds
from streams import logs
from streams.errors import TidegateError, UsageError
from streams.explain.page import new_console, show
from streams.explain.report import Case, explain
from streams.explain.search import Named, Search, Trail
from streams.explain.settings import plain
from streams.explain.sources import FileSource, Source
from streams.narration import as_json, printable
from streams.options import ConfigFile, Output, OutputForm, load_traced_or_default

SHORTEST: Final = 6  # digits that name an id
MOST_CANDIDATES: Final = 20  # that are listed
_DIGITS: Final = re.compile(rf"[0-9a-f]{{{SHORTEST},32}}")


class UnknownId(TidegateError):
    """Nothing that was read has an id that begins like this."""


class AmbiguousId(TidegateError):
    """Several things have."""


def explain_id(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="Of a finding, a command, an alert or an episode; 6 digits or more.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE", help="What `replay -o json` printed, instead of the topics; - is stdin."
        ),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="Reading the topics may take so long.")] = "2m",
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """Why: what was seen, what was expected, where each number comes from, and what was decided.

    For a finding, a command, an alert or an episode, named by its id or the
    beginning of it, as `replay` and `demo` print it. Read from the beginning of
    control.findings.v1, control.commands.v1 and alerts.v1, or from a file. Settings
    come with the line that gives them, as the configuration is now; if it is not
    the one that the finding was made with, that is said. Exits with 1 if nothing
    has the id, or several things have.
    """
    prefix = _prefix(identity)
    if source is None:
        logs.configure("WARNING")
    loaded, origins = load_traced_or_default(config)
    case = _found(_source(source, loaded, timeout), prefix)
    told = explain(case, loaded, origins)
    if output is Output.JSON:
        print(as_json(plain(told)))
        return
    show(told, new_console())


def _prefix(identity: str) -> str:
    prefix = identity.lower()
    if not _DIGITS.fullmatch(prefix):
        raise UsageError(f"explain: expected {SHORTEST} to 32 hexadecimal digits, got {identity!r}")
    return prefix


def _source(source: str | None, config: Config, timeout: str) -> Source:
    try:
        patience = Seconds.parse(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from error
    if source is not None:
        return FileSource(source)
    from streams.explain.topic_source import TopicSource

    return TopicSource(config.kafka, patience)


def _found(source: Source, prefix: str) -> Case:
    search = Search(prefix)
    read = source.each(search.take)
    if isinstance(source, FileSource) and not search.has_words:
        raise UnknownId(
            f"{source.name} holds no finding, command or alert; expected one object of JSON a line,"
            " as `tidegate replay -o json` prints them"
        )
    named = _only(prefix, search.found, f"{read:,} records of {source.name}")
    trail = Trail(named.episode)
    source.each(trail.take)
    return Case(named, trail, source.name)


def _only(prefix: str, found: dict[str, Named], searched: str) -> Named:
    if not found:
        raise UnknownId(
            f"no finding, command, alert or episode has an id that begins with {prefix}; searched {searched}"
        )
    if len(found) > 1:
        named = [f"  {one.id}  {one.kind:<8}{one.text}" for one in list(found.values())[:MOST_CANDIDATES]]
        more = [f"  and {len(found) - MOST_CANDIDATES:,} more"] if len(found) > MOST_CANDIDATES else []
        raise AmbiguousId("\n".join([f"{len(found):,} ids begin with {prefix}:", *map(printable, named), *more]))
    return next(iter(found.values()))
