"""The yardstick: aiokafka's `getmany` and `orjson.loads` on each value, and nothing else.

Run as `python -m benchmarks.programs.bare ADDRESS TOPIC EVENTS`; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition


async def read(address: str, topic: str, events: int) -> dict[str, float]:
    """CPU seconds and wall seconds from the first batch to the last."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        found = await consumer._client.fetch_all_metadata()  # noqa: SLF001 -- `partitions_for_topic` needs a subscription
        consumer.assign([TopicPartition(topic, number) for number in found.partitions_for_topic(topic)])
        seen, loads = 0, orjson.loads
        cpu, wall = time.process_time(), time.perf_counter()
        while seen < events:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                seen += len(batch)
                for record in batch:
                    loads(record.value)  # type: ignore[arg-type]  # the log has no empty values
        return {"events": seen, "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    finally:
        await consumer.stop()


if __name__ == "__main__":
    print(orjson.dumps(asyncio.run(read(sys.argv[1], sys.argv[2], int(sys.argv[3])))).decode())
