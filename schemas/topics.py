"""The names of the topics (contract section 2), and a record as it lies in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, Self

REQUESTS: Final = "inference.requests.v1"
SCALING: Final = "inference.scaling.v1"
BILLING: Final = "inference.billing.v1"
INPUTS: Final = (REQUESTS, SCALING, BILLING)
ROLLUPS: Final = "tidegate.rollups.v1"
CLOCK: Final = "clock"  # rule of a finding, and begin of a roll-up's source, that tell what the wall clock knows
OPERATOR: Final = "operator"  # rule of a finding that passes on what an operator said ...
EXECUTOR: Final = "executor"  # ... or what came of a command, so that the action stage reads one log
EXTERNAL: Final = "external"  # rule of a finding that is another system's alert
PASSED_ON: Final = frozenset({CLOCK, OPERATOR, EXECUTOR})  # rules of what no detector has found
TELEMETRY_GAP: Final = "telemetry_gap"
FINDINGS: Final = "control.findings.v1"
COMMANDS: Final = "control.commands.v1"
RESULTS: Final = "control.results.v1"
APPROVALS: Final = "control.approvals.v1"
ALERTS: Final = "alerts.v1"
STAGES: Final = (
    *INPUTS,
    ROLLUPS,
    FINDINGS,
    APPROVALS,
    RESULTS,
)  # read by a stage, with a state and dead letters beside
STATE: Final = ".state"  # suffix: snapshots of the stage that reads the topic, compacted
DEAD_LETTERS: Final = ".dlq"  # suffix: what could not be read


def clock_of(topic: str) -> str:
    """The source of the roll-ups that say until when a topic was read to its end."""
    return f"{CLOCK}/{topic}"


def topic_of(source: str) -> str:
    """The inverse.

    >>> topic_of(clock_of(REQUESTS)) == REQUESTS
    True
    """
    return source.partition("/")[2]


def is_clock(source: str) -> bool:
    """Whether the wall clock alone accounts for a roll-up of this source."""
    return source.startswith(f"{CLOCK}/")


_PLACE: Final = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>\d+)@(?P<offset>\d+)", re.ASCII)


class Place(NamedTuple):
    """Where a record lies, its topic without prefix; written `inference.requests.v1/2@12345`."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes. Raises ValueError.

        >>> Place.parse("inference.requests.v1/2@12345").offset
        12345
        """
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(f"expected TOPIC/PARTITION@OFFSET, such as {REQUESTS}/2@12345, got {text!r}")
        return cls(found["topic"], int(found["partition"]), int(found["offset"]))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class Record(Protocol):
    """A record of a log: aiokafka's own, or a line of a file."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch: when the log took it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...
