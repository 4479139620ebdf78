"""What an endpoint reported of its replicas, as state keeps it."""

from __future__ import annotations

from msgspec import Struct

from schemas.events import Scaling


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
    )
