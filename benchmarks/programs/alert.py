"""`tidegate alert`, but that its receivers do not hold back: their clock runs an hour ahead at each look.

Run as `python -m benchmarks.programs.alert --config FILE`. PagerDuty and Slack take so many requests and no more, and
tidegate keeps to that by itself; what it could do is seen without.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Final

from actions.receivers import registry
from actions.receivers.interface import Receiver
from actions.receivers.limiter import Clock
from actions.receivers.pagerduty import PagerDuty
from actions.receivers.slack import Slack
from detectors import SETTINGS
from schemas import receivers
from schemas.receivers import AnyReceiver
from streams import configuration, logs
from streams.alert.process import run

HOUR_S: Final = 3600.0


def unlimited(name: str, section: AnyReceiver) -> Receiver:
    clock: Clock = itertools.count(0.0, HOUR_S).__next__
    match section:
        case receivers.PagerDuty():
            return PagerDuty(name, section, clock=clock)
        case receivers.Slack():
            return Slack(name, section, clock=clock)
    return registry.build(name, section)


if __name__ == "__main__":
    logs.configure()
    sys.exit(run(configuration.load(Path(sys.argv[-1]), SETTINGS, os.environ), lambda _: unlimited))
