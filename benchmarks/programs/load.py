"""Live load: request events at a steady rate, their time the present, over endpoints of a namespace of their own.

Run as `python -m benchmarks.programs.load ADDRESS TOPIC PARTITIONS RATE SECONDS`; prints one JSON object at its end.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import orjson

from benchmarks.log import VALUE, Batches
from schemas.config import Kafka

TURN_S: Final = 0.02
ENDPOINTS: Final = 1_000


async def load(kafka: Kafka, topic: str, partitions: int, rate: int, seconds: int) -> dict[str, float]:
    """How many were sent, in how many seconds, at what CPU time."""
    keys = [[b"load/endpoint-%05d" % n for n in range(p, ENDPOINTS, partitions)] for p in range(partitions)]
    begun, sent = time.perf_counter(), 0
    async with Batches(kafka, topic, partitions) as batches:
        while (elapsed := time.perf_counter() - begun) < seconds:
            due = int(elapsed * rate)
            now_s = time.time()
            for n in range(sent, due):
                partition, names = n % partitions, keys[n % partitions]
                key = names[n // partitions % len(names)]
                value = VALUE % (key, now_s, 200, 0.4)
                if not batches.append(partition, key, value):
                    await batches.hand_over(partition)
                    batches.append(partition, key, value)
            for partition in range(partitions):
                await batches.hand_over(partition)
            sent = due
            await asyncio.sleep(max(0.0, TURN_S - (time.perf_counter() - begun - elapsed)))
    return {"events": sent, "wall_s": time.perf_counter() - begun, "cpu_s": time.process_time()}


if __name__ == "__main__":
    address, topic, *numbers = sys.argv[1:]
    done = asyncio.run(load(Kafka(bootstrap_servers=address), topic, *map(int, numbers)))
    print(orjson.dumps(done).decode())
