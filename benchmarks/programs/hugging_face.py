"""Hugging Face's double in a process of its own: endpoints that have more replicas than they should.

Run as `python -m benchmarks.programs.hugging_face ENDPOINTS UPDATE_S`; says its address, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import uvloop

from benchmarks.log import Log, name
from streams.simulator.hosting import Conditions, Hosted
from streams.simulator.hugging_face import HuggingFaceDouble

BARE: Final = "bare/endpoint"  # for who asks it without tidegate
REPLICAS: Final = 12
MOST: Final = 20


async def serve(endpoints: int, update_s: float) -> None:
    log, conditions = Log(endpoints=endpoints), Conditions(start_s=0.0, update_s=update_s)
    names = [BARE, *(name(log, number).decode() for number in range(endpoints))]
    hosted = [Hosted(each, 1.0, most=MOST, wanted=REPLICAS, conditions=conditions) for each in names]
    double = HuggingFaceDouble([each.warm(time.monotonic()) for each in hosted], time.monotonic)
    async with double.serving() as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2])))
