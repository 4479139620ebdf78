"""`tidegate status`: once, or for as long as somebody looks."""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator

import msgspec
from rich.live import Live

from actions.wording import what_was_done
from schemas.config import Config
from schemas.orders import Order
from schemas.outputs import Command, Result
from streams.explain.page import new_console
from streams.narration import as_json, printable, short
from streams.operate.options import now_us
from streams.operate.page import page
from streams.operate.present import Present, Record
from streams.operate.reading import Follower
from streams.operate.status import status_of


def tell(config: Config, present: Present, *, as_objects: bool) -> None:
    """The status of now."""
    status = status_of(present, config, now_us())
    if as_objects:
        print(as_json(msgspec.to_builtins(status)), flush=True)
    else:
        new_console().print(page(status))


def watch(config: Config, *, as_objects: bool) -> None:
    """Until it is interrupted: a picture that moves on a terminal, a line for each change in a pipe."""
    if as_objects:
        asyncio.run(_follow(config, lambda present: tell(config, present, as_objects=True), _silent))
    elif sys.stdout.isatty():
        _watch_live(config)
    else:
        asyncio.run(_follow(config, lambda present: tell(config, present, as_objects=False), _say, first_only=True))


async def _follow(
    config: Config, show: Callable[[Present], None], say: Callable[[Record], None], *, first_only: bool = False
) -> None:
    async with Follower(config) as follower:
        show(follower.present)
        async for batch in follower.batches():
            for news in batch:
                if news.said is not None:
                    say(news.said)
            if batch and not first_only:
                show(follower.present)


def _watch_live(config: Config) -> None:
    """Drawn anew at every change, and every half second: what ends in a minute must be seen to end."""
    console = new_console()

    async def run() -> None:
        async with Follower(config) as follower:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                live.update(page(status_of(follower.present, config, now_us())), refresh=True)
                async for _ in follower.batches():
                    live.update(page(status_of(follower.present, config, now_us())), refresh=True)

    asyncio.run(run())


def _silent(_: Record) -> None: ...


def _say(record: Record) -> None:
    for line in sentences(record):
        print(printable(line), flush=True)


def sentences(record: Record) -> Iterator[str]:
    """A change as one line: time, kind, the beginning of the command's id, and what it says."""
    if isinstance(record, Command):
        yield f"{record.issued_at}  command  {short(record.id)}  {what_was_done(record)}"
    elif isinstance(record, Result):
        about = "-" * 8 if record.command_id is None else short(record.command_id)
        told = record.state if record.refusal is None else f"refused ({record.refusal})"
        who = record.executor or " and ".join(record.by) or "the worker"
        yield f"{record.at}  result   {about}  {told}, by {who}{_because(record.reason)}"
    else:
        yield f"{record.at}  order    {_subject(record)}  {record.verb}, by {record.who}{_because(record.why)}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _subject(order: Order) -> str:
    return "-" * 8 if order.command_id is None else short(order.command_id)
