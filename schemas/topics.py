"""The names of the topics (contract section 2), and a record as it lies in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

REQUESTS: Final = "inference.requests.v1"
SCALING: Final = "inference.scaling.v1"
BILLING: Final = "inference.billing.v1"
INPUTS: Final = (REQUESTS, SCALING, BILLING)
ROLLUPS: Final = "tidegate.rollups.v1"
FINDINGS: Final = "control.findings.v1"
COMMANDS: Final = "control.commands.v1"
RESULTS: Final = "control.results.v1"
APPROVALS: Final = "control.approvals.v1"
ALERTS: Final = "alerts.v1"
STATE: Final = ".state"  # suffix: snapshots of the stage that reads the topic, compacted
DEAD_LETTERS: Final = ".dlq"  # suffix: what could not be read


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
