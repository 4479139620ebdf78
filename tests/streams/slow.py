"""`tidegate run` whose stage of scaling events takes a millisecond for each: `python -m tests.streams.slow CONFIG`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Final

from detectors import SETTINGS
from schemas.config import Config
from schemas.topics import SCALING, Record
from streams import configuration, logs, worker
from streams.stage import Applied, Stage
from streams.stages import build_stage

CAPACITY: Final = 1000  # events a second


def slow(stage: Stage) -> Stage:
    """The stage, but no faster than this."""
    fast = stage.apply

    def apply(records: Sequence[Record]) -> Applied:
        time.sleep(len(records) / CAPACITY)
        return fast(records)

    stage.apply = apply  # type: ignore[method-assign]
    return stage


def main(file: str) -> int:
    """Run until a signal."""
    logs.configure()

    def stages(topic: str, partition: int, config: Config) -> Stage:
        stage = build_stage(topic, partition, config)
        return slow(stage) if topic == SCALING else stage

    return worker.run(configuration.load(file, SETTINGS, os.environ), stages)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
