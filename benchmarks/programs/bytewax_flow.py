"""The job in Bytewax: tumbling windows per endpoint and second of event time.

Run as `python -m benchmarks.programs.bytewax_flow ADDRESS TOPIC EVENTS` by a Python that has `bytewax` and
`confluent-kafka`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op
import bytewax.operators.windowing as windows
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.testing import TestingSink, run_main

from benchmarks.programs.meter import Meter

LATENESS: Final = timedelta(seconds=10)
BATCH: Final = 1000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Sums = tuple[int, int, float]


def add(sums: Sums, request: Any) -> Sums:  # noqa: ANN401 -- decoded JSON
    count, errors, duration_s = sums
    return count + 1, errors + (request["status"] >= 500), duration_s + request["duration_s"]  # noqa: PLR2004 -- HTTP


def merge(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def main(address: str, topic: str, events: int) -> None:
    flow = Dataflow("bench")
    messages = op.input("requests", flow, KafkaSource([address], [topic], tail=False, batch_size=BATCH))
    meter = Meter(events)

    def decode(message: Any) -> Any:  # noqa: ANN401 -- a Kafka message, decoded JSON
        meter.count()
        return json.loads(message.value)

    requests = op.map("decode", messages, decode)
    keyed = op.key_on("endpoint", requests, lambda request: request["endpoint"])
    clock = EventClock(lambda request: datetime.fromtimestamp(request["time"], UTC), wait_for_system_duration=LATENESS)
    second = TumblingWindower(timedelta(seconds=1), align_to=EPOCH)
    out = windows.fold_window("seconds", keyed, clock, second, lambda: (0, 0, 0.0), add, merge)
    op.output("out", out.down, TestingSink([]))
    run_main(flow)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
