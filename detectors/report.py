"""What an endpoint reported of its replicas, as state keeps it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.events import Scaling
from schemas.units import US

HOLD_US: Final = 600 * US  # for so long a report stands for what nobody reported since; after that nothing is known


class Report(Struct, frozen=True, array_like=True, order=True):
    """A scaling event without what no rule needs. Ordered by time; of two at one time the larger is the later."""

    time_us: int
    ready_replicas: int
    target_replicas: int
    min_replicas: int = -1  # -1: not reported
    max_replicas: int = -1
    state: str = ""
    region: str = ""
    instance: str = ""
    utilization: float = -1.0  # -1: not reported
    cold_start: bool = False

    @property
    def replicas(self) -> int:
        """What there is or shall be: a replica that starts costs money, too, and so does one that is to go."""
        return max(self.ready_replicas, self.target_replicas)

    @property
    def scaling(self) -> dict[str, int]:
        """The scaling to put back, as far as it was reported."""
        known = {"ready_replicas": self.ready_replicas, "target_replicas": self.target_replicas}
        known |= {"min_replicas": self.min_replicas, "max_replicas": self.max_replicas}
        return {name: number for name, number in known.items() if number >= 0}


def to_report(event: Scaling, at_us: int) -> Report:
    """The event, which happened at `at_us`."""
    return Report(
        at_us,
        event.ready_replicas,
        event.target_replicas,
        -1 if event.min_replicas is None else event.min_replicas,
        -1 if event.max_replicas is None else event.max_replicas,
        event.state or "",
        event.region or "",
        event.instance or "",
        -1.0 if event.utilization is None else event.utilization,
        event.cold_start,
    )
