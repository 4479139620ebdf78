"""The worker itself, all of it: decode, roll-up, rules, checkpoints, metrics; it stops once it has read the log.

Run as `python -m benchmarks.programs.worker CONFIG EVENTS`; prints one JSON object. CPU and wall time are those from
the first batch of requests to the checkpoint after the last, in the whole process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from detectors import SETTINGS
from schemas.config import Config
from schemas.topics import REQUESTS, Record
from streams import configuration, logs
from streams.stage import Applied, Stage
from streams.stages import RequestStage, build_stage
from streams.worker import run


class Meter:
    """Notes the first and the last batch, and ends the worker once all events were read."""

    def __init__(self, events: int) -> None:
        self._events, self._seen = events, 0
        self._begun: tuple[float, float] | None = None

    def stage(self, topic: str, partition: int, config: Config) -> Stage:
        """A stage as the worker has it, counted."""
        return _Metered(config, partition, self) if topic == REQUESTS else build_stage(topic, partition, config)

    def begin(self) -> None:
        self._begun = self._begun or (time.process_time(), time.perf_counter())

    def count(self, records: int) -> None:
        self._seen += records
        if self._seen >= self._events:
            os.kill(os.getpid(), signal.SIGTERM)

    def report(self) -> dict[str, float]:
        if self._begun is None:
            raise SystemExit("the worker read nothing")
        cpu, wall = self._begun
        return {"events": self._seen, "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


class _Metered(RequestStage):
    def __init__(self, config: Config, partition: int, meter: Meter) -> None:
        super().__init__(config, partition)
        self._meter = meter

    def apply(self, records: Sequence[Record]) -> Applied:
        self._meter.begin()
        applied = super().apply(records)
        self._meter.count(len(records))
        return applied


def main(config: Path, events: int) -> int:
    logs.configure("WARNING")
    meter = Meter(events)
    loaded = configuration.load(config, SETTINGS, os.environ)
    code = run(loaded, meter.stage)
    print(orjson.dumps(meter.report()).decode())
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
