"""Which record the core fails at.

A batch that failed has left its stage in no usable state. So another stage is restored from the facts, folds the
log up to the batch, and then the batch one record at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from schemas.config import Kafka
from schemas.topics import STATE, Record
from streams import facts
from streams.broker import new_consumer
from streams.outbox import MAX_BYTES
from streams.skipping import Apply
from streams.stage import Stage


class Scene(NamedTuple):
    """Where it happened: a partition, by its full name, and how to get a new stage for it and its `apply`."""

    kafka: Kafka
    tp: TopicPartition
    new_stage: Callable[[], Stage]
    apply_of: Callable[[Stage], Apply]


async def find(scene: Scene, batch: Sequence[Record]) -> int | None:
    """The offset of the first record of the batch that cannot be folded; None: each of them can be, by itself."""
    found = await facts.read(scene.kafka, scene.tp.topic + STATE, scene.tp.partition)
    stage = scene.new_stage()
    if found.position is not None:
        stage.restore(found.position, found.facts)
    apply = scene.apply_of(stage)
    async for records in _log(scene, found.next, batch[0].offset):
        apply(records)
    for record in batch:
        try:
            apply([record])
        except Exception:  # noqa: BLE001 -- whatever it is: it is what is looked for, and was reported already
            return record.offset
    return None


async def _log(scene: Scene, start: int, end: int) -> AsyncIterator[list[Any]]:
    """The records from `start` up to `end`."""
    if start >= end:
        return
    settings = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "max_partition_fetch_bytes": MAX_BYTES}
    consumer = new_consumer(scene.kafka, group_id=None, **settings)
    try:
        await consumer.start()
        consumer.assign([scene.tp])
        consumer.seek(scene.tp, start)
        while await consumer.position(scene.tp) < end:
            for records in (await consumer.getmany(scene.tp, timeout_ms=facts.POLL_MS)).values():
                if wanted := [record for record in records if record.offset < end]:
                    yield wanted
    finally:
        await consumer.stop()
