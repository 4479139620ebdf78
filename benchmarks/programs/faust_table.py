"""The job in vanilla Faust: a windowed table per endpoint and second of event time.

Run as `python -m benchmarks.programs.faust_table ADDRESS TOPIC EVENTS PARTITIONS STATE_FOLDER`.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any, Final

import faust

from benchmarks.programs.meter import Meter

WINDOW_S: Final = 1.0
LATENESS_S: Final = 10.0


class Request(faust.Record):
    """The fields that the job needs; Faust leaves out the others."""

    endpoint: str
    time: float
    status: int
    duration_s: float


def build(address: str, topic: str, events: int, partitions: int, folder: str) -> Any:  # noqa: ANN401 -- a Faust app
    """An app that prints its figures and ends once it has seen `events`."""
    app = faust.App(
        f"bench-{uuid.uuid4().hex}", broker=f"kafka://{address}", store="memory://", web_enabled=False,
        topic_partitions=partitions, datadir=folder,
    )  # fmt: skip
    source = app.topic(topic, value_type=Request, key_type=bytes, key_serializer="raw")
    event_time: Any = Request.time  # a field's descriptor, whatever its annotation says
    seconds = app.Table("seconds", default=lambda: [0, 0, 0.0], partitions=partitions)
    table = seconds.tumbling(WINDOW_S, expires=LATENESS_S).relative_to_field(event_time)

    @app.agent(source)
    async def count(requests: Any) -> None:  # noqa: ANN401 -- a Faust stream
        meter = Meter(events)
        async for request in requests:
            count, errors, duration_s = table[request.endpoint].value()
            table[request.endpoint] = [
                count + 1, errors + (request.status >= 500), duration_s + request.duration_s  # noqa: PLR2004 -- HTTP
            ]  # fmt: skip
            meter.count()

    return app


if __name__ == "__main__":
    address, topic, events, partitions, folder = sys.argv[1:]
    app = build(address, topic, int(events), int(partitions), folder)
    worker = faust.Worker(app, loglevel="ERROR", redirect_stdouts=False, quiet=True)
    worker.spinner = None  # it would write where the figures go
    worker.execute_from_commandline()
