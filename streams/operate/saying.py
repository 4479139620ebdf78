"""From a verb of the command line to an order, and from its answer to an exit code."""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from schemas.config import Config
from schemas.orders import Order, Verb
from schemas.outputs import Command
from schemas.topics import ALERTS
from streams.narration import as_json, printable
from streams.operate.answers import Answer, Question
from streams.operate.identity import identify
from streams.operate.options import now_us
from streams.operate.present import Present
from streams.operate.reading import Follower
from streams.operate.speaking import NotHeard, give, new_order
from streams.options import Output


class Wish(NamedTuple):
    """What somebody wants, before it is known what it is about."""

    verb: Verb
    why: str
    name: str | None
    key_file: Path | None
    output: Output


class Target(NamedTuple):
    """What an order is about: the command, and the order's fields."""

    command: Command | None
    fields: dict[str, Any]


def say(config: Config, wish: Wish, target: Callable[[Present, str], Target]) -> None:
    """Give the order about what `target` finds for a person's name in the present. Exits with 1 if it was refused."""
    speaker = identify(config, wish.name, wish.key_file)
    for warning in speaker.warnings:
        print(f"tidegate: warning: {warning}", file=sys.stderr)

    async def run() -> tuple[Order, Answer]:
        async with Follower(config, ALERTS) as follower:
            command, fields = target(follower.present, speaker.name)
            order = new_order(speaker, wish.verb, wish.why, now_us(), **fields)
            return order, await give(config, follower, Question(order, command))

    order, answer = asyncio.run(run())
    if wish.output is Output.JSON:
        print(as_json({"order": order.id, "verb": order.verb, "done": answer.was_done, "text": answer.text}))
    elif answer.was_done:
        print(printable(answer.text))
    if not answer.was_done:
        raise NotHeard(printable(f"{order.verb}: {answer.text}"))
