"""`dlq replay`: sends events again to the partition that they came from, as they came, and marks their letters.

A letter is marked once its event is acknowledged, so a crash in between repeats at most the last BATCH events; a
letter that is marked is passed over. Two replays of one topic at the same time may both send what neither has marked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final, NamedTuple

from aiokafka.errors import KafkaError

from schemas.config import Kafka
from schemas.topics import DEAD_LETTERS
from streams import broker
from streams.dlq.letters import REPLAYED, Letter, Mark, Reader, Selection, mark
from streams.errors import TidegateError
from streams.log_reader import PATIENCE_S, Stretch
from streams.outbox import MAX_BYTES

BATCH: Final = 500  # events sent before their letters are marked
SEND_S: Final = 30.0  # for the acknowledgements of one batch
LINGER_MS: Final = 5


class NotSent(TidegateError):
    """The broker did not take an event; what was sent before it is marked."""


class Job(NamedTuple):
    """What a replay would send: the stretches as they were when it was asked for, and how many letters of what."""

    selection: Selection
    stretches: list[Stretch]
    marked: frozenset[tuple[str, int, int]]
    counts: Counter[tuple[str, str]]  # (topic, why): letters to send
    done: int  # letters that were selected and sent before
    foreign: int  # records that are no letters of tidegate's

    def wants(self, letter: Letter | Mark) -> bool:
        """Whether it is to be sent."""
        if isinstance(letter, Mark) or letter.source is None or letter.place in self.marked:
            return False
        return self.selection.matches(letter)


async def plan(reader: Reader, selection: Selection, *, again: bool) -> Job:
    """Read all there is: what is to be sent. `again`: also what is marked."""
    stretches = await reader.selected(selection)
    selected: dict[tuple[str, int, int], str] = {}
    marked: set[tuple[str, int, int]] = set()
    foreign = 0
    for stretch in stretches:
        async for letter in reader.read(stretch):
            if isinstance(letter, Mark):
                marked.add(letter.letter)
            elif letter.source is None:
                foreign += 1
            elif selection.matches(letter):
                selected[letter.place] = letter.why
    passed = frozenset() if again else frozenset(marked & selected.keys())
    counts = Counter((place[0], why) for place, why in selected.items() if place not in passed)
    return Job(selection, stretches, passed, counts, len(passed), foreign)


async def send(kafka: Kafka, reader: Reader, job: Job, limit: int | None) -> int:
    """Send the letters of a job, topic by topic and oldest first, at most `limit`: how many."""
    producer = broker.new_producer(
        kafka, acks="all", enable_idempotence=True, linger_ms=LINGER_MS, max_request_size=MAX_BYTES
    )
    sent = 0
    try:
        await asyncio.wait_for(producer.start(), PATIENCE_S)
        for stretch in job.stretches:
            waiting: list[Letter] = []
            async for letter in reader.read(stretch):
                if limit is not None and sent + len(waiting) >= limit:
                    break
                if isinstance(letter, Letter) and job.wants(letter):
                    waiting.append(letter)
                if len(waiting) == BATCH:
                    sent += await _send_marked(producer, kafka.topic_prefix, waiting)
                    waiting = []
            sent += await _send_marked(producer, kafka.topic_prefix, waiting)
    except (KafkaError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise NotSent(f"{reason}: stopped after {sent:,} events; replay again to go on from there") from error
    finally:
        await producer.stop()
    return sent


async def _send_marked(producer: Any, prefix: str, letters: list[Letter]) -> int:  # noqa: ANN401 -- aiokafka's
    """Events first; their letters are marked once all of them are acknowledged."""
    events = [await _send_again(producer, prefix, letter) for letter in letters]
    await _acknowledged(events)
    marks = []
    for letter in letters:
        key, headers = mark(letter)
        topic, partition, _ = letter.place
        marks.append(await producer.send(prefix + topic, None, key, partition=partition, headers=list(headers)))
    await _acknowledged(marks)
    return len(letters)


async def _send_again(producer: Any, prefix: str, letter: Letter) -> Any:  # noqa: ANN401 -- aiokafka's
    topic = prefix + letter.place.topic.removesuffix(DEAD_LETTERS)
    partition = None if letter.source is None else letter.source.partition
    headers = [header for header in letter.headers if header[0] != REPLAYED]
    headers.append((REPLAYED, str(letter.place).encode()))
    batch = producer.create_batch() if letter.key is None and letter.value is None else None
    if batch is None:
        return await producer.send(topic, letter.value, letter.key, partition=partition, headers=headers)
    batch.append(timestamp=None, key=None, value=None, headers=headers)  # which `send` refuses
    return await producer.send_batch(batch, topic, partition=partition)


async def _acknowledged(futures: list[Any]) -> None:
    await asyncio.wait_for(asyncio.gather(*futures), SEND_S)
