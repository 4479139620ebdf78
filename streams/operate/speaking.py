"""Gives an order, and waits for what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError

from actions.passed_on import refused
from schemas.config import Config
from schemas.orders import Order, Verb, seal
from schemas.outputs import UNSEALED
from schemas.topics import APPROVALS
from schemas.units import from_rfc3339, rfc3339
from streams import broker
from streams.errors import TidegateError, UsageError
from streams.operate.answers import Answer, Question, answer
from streams.operate.identity import Speaker
from streams.operate.reading import Follower, News

ANSWER_S: Final = 10.0  # a worker answers within a second; a group of them that has just lost one takes as long as this
SEND_S: Final = 15.0
NOBODY: Final = b"tidegate"  # the key of what is about no endpoint


class NotHeard(TidegateError):
    """An order was refused, or nobody answered it."""


def new_order(speaker: Speaker, verb: Verb, why: str, now_us: int, **about: Any) -> Order:  # noqa: ANN401 -- fields
    """An order, sealed and signed."""
    if not why.strip():
        raise UsageError(f"{verb}: --why: expected a reason, got nothing")
    blank = Order(id=UNSEALED, verb=verb, who=speaker.name, why=why, at=rfc3339(now_us), **about)
    try:
        order = seal(msgspec.convert(msgspec.to_builtins(blank), Order))  # a struct checks its limits when it is read
    except msgspec.ValidationError as error:
        raise UsageError(f"{verb}: {error}") from error
    return order if speaker.key is None else speaker.key.sign(order)


async def give(config: Config, follower: Follower, question: Question) -> Answer:
    """Write the order down and wait for an answer. Raises NotHeard if there is none in time."""
    order = question.order
    wrong = refused(order, from_rfc3339(order.at), config)
    if wrong is not None:
        raise NotHeard(f"{order.verb}: it would be refused: {wrong[1]}")
    await _write(config, order, None if question.command is None else question.command.endpoint)
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _first_answer(question, follower.batches())
    except TimeoutError:
        raise NotHeard(
            f"{order.verb}: it is written, but no worker answered within {ANSWER_S:g} s; it counts as soon as one runs"
            " (tidegate run)"
        ) from None


async def _first_answer(question: Question, batches: AsyncIterator[list[News]]) -> Answer:
    async for batch in batches:
        for news in batch:
            found = answer(question, news)
            if found is not None:
                return found
    raise AssertionError("the log ended, which it never does")


async def _write(config: Config, order: Order, endpoint: str | None) -> None:
    key = NOBODY if endpoint is None else endpoint.encode()
    producer = broker.new_producer(config.kafka, acks="all")  # a copy of an order is no second word
    try:
        async with asyncio.timeout(SEND_S):
            await producer.start()
            topic = config.kafka.topic_prefix + APPROVALS
            await producer.send_and_wait(topic, msgspec.json.encode(order), key)
    except (KafkaError, TimeoutError) as error:
        raise NotHeard(f"{order.verb}: not written: {type(error).__name__} {error}".rstrip()) from error
    finally:
        await producer.stop()
