"""From a verb of the command line to an order, and from its answer to an exit code."""

# ruff: noqa: T201  (printing is what a command line is for)

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas.config import Config
from schemas.orders import Order, Verb
from schemas.outputs import Command
from schemas.topics import ALERTS
from schemas.units import from_rfc3339
from streams.narration import as_json, printable
from streams.operate.answers import Answer, Question
from streams.operate.identity import identify
from streams.operate.options import now_us
from streams.operate.present import Present
from streams.operate.reading import Follower
from streams.operate.speaking import NotHeard, give, new_order
from streams.options import Output

OF_THE_SWITCH: Final = frozenset({Verb.PAUSE, Verb.RESUME})


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
            order = new_order(speaker, wish.verb, wish.why, order_time_us(wish.verb, follower.present), **fields)
            return order, await give(config, follower, Question(order, command))

    order, answer = asyncio.run(run())
    if wish.output is Output.JSON:
        print(as_json({"order": order.id, "verb": order.verb, "done": answer.was_done, "text": answer.text}))
    elif answer.was_done:
        print(printable(answer.text))
    if not answer.was_done:
        raise NotHeard(printable(f"{order.verb}: {answer.text}"))


def order_time_us(verb: Verb, present: Present) -> int:
    """Now; for the kill switch later than the last word about it, though that was given by a clock that is ahead."""
    newest = present.newest_turn() if verb in OF_THE_SWITCH else None
    return now_us() if newest is None else max(now_us(), from_rfc3339(newest.at) + 1)
