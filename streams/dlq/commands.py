"""`tidegate dlq ls|show|replay`."""

# ruff: noqa: T201, PLC0415  (printing is what a command line is for; Kafka takes a moment to import)

from __future__ import annotations

import asyncio
import sys
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from schemas.config import Config
from schemas.events import Why
from schemas.units import rfc3339
from streams import logs, narration
from streams.errors import UsageError
from streams.options import ConfigFile, Output, OutputForm, load_or_default, since_us
from streams.values import nearest

if TYPE_CHECKING:
    from streams.dlq.letters import Letter, Reader, Selection
    from streams.dlq.resend import Job

T = TypeVar("T")

VALUE_CHARS: Final = 2000  # of a value, that `show` prints for people

dlq_app = typer.Typer(help="The dead letters: events that could not be read.", no_args_is_help=True)

Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", "-t", help="Of this input only, such as inference.requests.v1; repeatable."),
]
Reasons = Annotated[
    list[str] | None, typer.Option("--why", "-w", help=f"With this error.type only ({', '.join(Why)}); repeatable.")
]
Offsets = Annotated[
    list[int] | None, typer.Option("--offset", min=0, help="At this offset of the dead letters only; repeatable.")
]
Since = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Written since: 90s, 1h, 2d ago, or an RFC 3339 time with an offset.")
]


@dlq_app.command("ls")
def list_letters(
    topic: Topics = None, since: Since = None, config: ConfigFile = None, output: OutputForm = Output.TABLE
) -> None:
    """How many there are, by topic and error.type: first and last time, and the offsets of the newest."""
    from streams.dlq.summary import groups

    loaded = _prepared(config)
    selection = _selection(loaded, topic, since=since)

    found, resent = _reading(loaded, lambda reader: groups(reader, selection))
    table = Table("topic", "partition", "error.type", "count", "first", "last", "newest offsets")
    for group in found:
        first, last = rfc3339(group.first_ms * 1000), rfc3339(group.last_ms * 1000)
        newest = list(group.newest)
        if output is Output.JSON:
            fields = {"topic": group.topic, "partition": group.partition, "error_type": group.why}
            print(narration.as_json({**fields, "count": group.count, "first": first, "last": last, "newest": newest}))
        shown = ", ".join(map(str, newest))
        table.add_row(group.topic, str(group.partition), group.why, f"{group.count:,}", first, last, shown)
    if output is Output.TABLE:
        Console(markup=False).print(table if found else "no dead letters")
        if resent:
            print(f"{resent:,} of all were sent again (tidegate dlq replay)")


@dlq_app.command()
def show(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    topic: Topics = None,
    why: Reasons = None,
    offset: Offsets = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 10,
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """The letters themselves: the reason, the place in the input, and key, headers and bytes as they came."""
    from streams.dlq.summary import newest

    loaded = _prepared(config)
    selection = _selection(loaded, topic, why, offset, since)

    for letter in _reading(loaded, lambda reader: newest(reader, selection, limit)):
        if output is Output.JSON:
            print(narration.as_json(_fields(letter)))
        else:
            print("\n".join(_lines(letter)))


@dlq_app.command()
def replay(  # noqa: PLR0913, PLR0917 -- one for each option, as typer has it
    topic: Topics = None,
    why: Reasons = None,
    offset: Offsets = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, topic by topic, the oldest first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,  # noqa: FBT002
    again: Annotated[bool, typer.Option("--again", help="Also what was sent again already.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002
    config: ConfigFile = None,
    output: OutputForm = Output.TABLE,
) -> None:
    """Sends events again to the partition they came from, with their own key, bytes and headers.

    For after a fix: of tidegate, or of [bold]input.max_future[/bold]. Each event gets one header
    more, [bold]tidegate.replayed[/bold], with the place of its letter, and the letter a mark, so that the
    next replay passes it over; a crash in between repeats the last 500 at most.
    An event from further in the past than [bold]input.lateness[/bold] is counted as late when it
    is read: it raises no finding. A late cost still counts. What cannot be read
    this time either becomes a dead letter anew.
    """
    from streams.dlq.resend import plan, send

    loaded = _prepared(config)
    selection = _selection(loaded, topic, why, offset, since)

    job = _reading(loaded, lambda reader: plan(reader, selection, again=again))
    agreed = not dry_run and bool(job.counts) and _agreed(job, limit, yes=yes)
    sent = _reading(loaded, lambda reader: send(loaded.kafka, reader, job, limit)) if agreed else 0
    if output is Output.JSON:
        selected = [{"topic": name, "error_type": kind, "count": n} for (name, kind), n in sorted(job.counts.items())]
        print(narration.as_json({"selected": selected, "sent": sent, "sent_before": job.done, "foreign": job.foreign}))
        return
    if dry_run or not job.counts:
        _show_plan(job, Console(markup=False))
    print(f"{sent:,} sent; {job.done:,} were sent before" + (f"; {job.foreign:,} foreign" if job.foreign else ""))


def _prepared(config: Any) -> Config:  # noqa: ANN401 -- typer's option
    logs.configure("WARNING")
    return load_or_default(config)


def _selection(
    config: Config,
    topics: list[str] | None,
    why: list[str] | None = None,
    offsets: list[int] | None = None,
    since: str | None = None,
) -> Selection:
    from streams.dlq.letters import FOREIGN, Selection, chosen_topics

    for word in why or ():
        if word not in {*Why, FOREIGN}:
            raise UsageError(f"--why: no letter has the error.type '{word}'{nearest(word, Why)}")
    chosen = chosen_topics(topics or (), config.kafka.topic_prefix)
    since_ms = None if since is None else since_us(since, time.time_ns() // 1000) // 1000
    return Selection(chosen, tuple(why or ()), frozenset(offsets or ()), since_ms)


def _reading(config: Config, work: Callable[[Reader], Awaitable[T]]) -> T:
    """Work with a reader, which has a bar on stderr over the records that it reads, on a terminal only."""
    from streams.dlq.letters import Reader
    from streams.log_reader import records_bar

    async def run() -> T:
        with records_bar() as progress:
            async with Reader(config.kafka, progress) as reader:
                return await work(reader)

    return asyncio.run(run())


def _show_plan(job: Job, console: Console) -> None:
    table = Table("topic", "error.type", "to send")
    for (name, kind), count in sorted(job.counts.items()):
        table.add_row(name, kind, f"{count:,}")
    if job.counts:
        console.print(table)


def _agreed(job: Job, limit: int | None, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("dlq replay: there is no terminal to ask at; look with --dry-run, then give --yes")
    _show_plan(job, Console(stderr=True, markup=False))
    total = job.counts.total()
    return typer.confirm(f"Send {total if limit is None else min(limit, total):,} events again?", err=True)


def _fields(letter: Letter) -> dict[str, Any]:
    return {
        "place": str(letter.place),
        "written": rfc3339(letter.written_ms * 1000),
        "error_type": letter.why,
        "error_message": letter.message,
        "source": None if letter.source is None else str(letter.source),
        "key": _exact(letter.key),
        "value": _exact(letter.value),
        "headers": [[name, _exact(content)] for name, content in letter.headers],
    }


def _exact(content: bytes | None) -> str | dict[str, str] | None:
    """Text as it is; what is no UTF-8 in base64, so that no byte is lost."""
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(content).decode()}


def _lines(letter: Letter) -> Iterator[str]:
    yield narration.printable(f"{letter.place}  {rfc3339(letter.written_ms * 1000)}  {letter.why}: {letter.message}")
    if letter.source is not None:
        yield f"  from    {letter.source}"
    yield f"  key     {_printed(letter.key)}"
    for name, content in letter.headers:
        yield f"  header  {narration.printable(name)}: {_printed(content)}"
    yield f"  value   {_printed(letter.value)}"


def _printed(content: bytes | None) -> str:
    if content is None:
        return "(none)"
    text = narration.printable(content[:VALUE_CHARS].decode(errors="backslashreplace"))
    return f"{text} ... ({len(content):,} bytes; --output json has all)" if len(content) > VALUE_CHARS else text
