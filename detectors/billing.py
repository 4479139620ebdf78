"""The endpoint stage over one partition of billing events: hand each line on to the budgets of its endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.table import Ints
from detectors.watermark import Watermark
from schemas.config import Config
from schemas.events import Billing
from schemas.outputs import Bill, Rollup
from schemas.topics import BILLING
from schemas.units import to_nano, to_us


class BillingFold:
    """Billing events in, roll-ups out. Its only state is how far it has come."""

    def __init__(self, config: Config, partition: int) -> None:
        self.late = 0  # a late cost is always added
        self._partition = partition
        self.watermark = Watermark(int(config.input.lateness))
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._config = config

    def position(self) -> Watermark:
        return self.watermark

    def heard_us(self, budget: str) -> None:  # noqa: ARG002
        """What it heard it has told."""
        return

    def apply(self, events: Sequence[Billing], offsets: Sequence[int], logged_us: Ints) -> list[Rollup]:
        """Fold events in log order; `logged_us` is when the log took each.

        A bill may reach into the future; the budget's clock must not.
        """
        rollups: list[Rollup] = []
        for event, offset, at_us in zip(events, offsets, logged_us.tolist(), strict=True):
            start_us, end_us = to_us(event.period_start), to_us(event.period_end)
            time_us = min(end_us, max(start_us, at_us))
            self.watermark.observe(time_us)
            bill = Bill(start_us, end_us, to_nano(event.cost_usd), event.estimated, event.line_id)
            rollups += [
                Rollup(
                    budget,
                    BILLING,
                    self._partition,
                    offset,
                    time_us,
                    endpoint=event.endpoint,
                    bill=bill,
                    region=event.region,
                )
                for budget in self._config.budgets_of(event.endpoint)
            ]
        return rollups
