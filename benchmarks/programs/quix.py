"""The job in Quix Streams: tumbling windows per endpoint and second of event time, final results only.

Run as `python -m benchmarks.programs.quix ADDRESS TOPIC EVENTS STATE_FOLDER` by a Python that has `quixstreams`.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any, Final

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum

from benchmarks.programs.meter import Meter

LATENESS_MS: Final = 10_000


def event_time_ms(value: Any, *_: object) -> int:  # noqa: ANN401 -- decoded JSON
    return int(value["time"] * 1000)


def with_error(value: Any) -> dict[str, float]:  # noqa: ANN401 -- decoded JSON
    return {"error": float(value["status"] >= 500), "duration_s": value["duration_s"]}  # noqa: PLR2004 -- HTTP


def main(address: str, topic: str, events: int, folder: str) -> None:
    app = Application(
        broker_address=address, consumer_group=f"bench-{uuid.uuid4().hex}", auto_offset_reset="earliest",
        state_dir=folder, loglevel="ERROR",
    )  # fmt: skip
    source = app.topic(topic, value_deserializer="json", timestamp_extractor=event_time_ms)
    frame = app.dataframe(source).update(Meter(events).count).apply(with_error)
    windows = frame.tumbling_window(duration_ms=1000, grace_ms=LATENESS_MS)
    windows.agg(count=Count(), errors=Sum("error"), duration_s=Sum("duration_s")).final()
    app.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
