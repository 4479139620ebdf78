"""`tidegate run` with a bug in one of its stages: `python -m tests.streams.buggy TOPIC CONFIG`.

It fails half-way through a batch, at the record that holds `POISON[TOPIC]`, whatever the batch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from detectors import SETTINGS
from schemas.config import Config
from schemas.topics import FINDINGS, REQUESTS, ROLLUPS, SCALING, Record
from streams import configuration, logs, worker
from streams.stage import Applied, Stage
from streams.stages import build_stage

NAME: Final = "acme/poison"
_EVENT: Final = b'"endpoint":"%s"' % NAME.encode()
_OPENS: Final = b'"subject":"%s",%s,"status":"open"' % (NAME.encode(), _EVENT)
POISON: Final = {REQUESTS: _EVENT, SCALING: _EVENT, ROLLUPS: _EVENT, FINDINGS: _OPENS}


def with_bug(stage: Stage, poison: bytes) -> Stage:
    """The stage, but it fails at any record that holds the poison, once those before it are folded."""
    sound = stage.apply

    def apply(records: Sequence[Record]) -> Applied:
        for i, record in enumerate(records):
            if poison in (record.value or b""):
                sound(records[:i])
                raise ZeroDivisionError("a bug of the core")
        return sound(records)

    stage.apply = apply  # type: ignore[method-assign]
    return stage


def main(topic: str, file: str) -> int:
    """Run until a signal, or the poison."""
    logs.configure()

    def stages(name: str, partition: int, config: Config) -> Stage:
        stage = build_stage(name, partition, config)
        return with_bug(stage, POISON[topic]) if name == topic else stage

    return worker.run(configuration.load(file, SETTINGS, os.environ), stages)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
