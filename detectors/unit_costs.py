"""`UnitCosts`: what an endpoint's requests cost, full hour by full hour of event time.

Requests come once a minute, from the partition that the endpoint's requests are in; within a partition they come in
order. So an hour of an endpoint is complete once the clock of its own partition has passed the hour's end by
`GRACE_US`, however far ahead other partitions have been read: an hour is never half counted. The hour of an endpoint
without requests is complete by the budget's clock.

The cost is what the ledger says when the hour is complete. Bills that come later, and replicas that are reported
later, do not change it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Struct, field

from detectors.account import Account
from detectors.ledger import Ledger
from schemas.outputs import Rollup
from schemas.topics import REQUESTS
from schemas.units import HOUR_US, US

GRACE_US: Final = 300 * US  # as late as the ledger takes a report for good
REACH_US: Final = 2 * HOUR_US  # the ledger is exact so far back; an older hour is left out
NOWHERE: Final = -1  # the partition of an endpoint that had no request


class Hour(NamedTuple):
    """A full hour of one endpoint."""

    endpoint: str
    end_us: int
    requests: int
    cost_nano: int
    replica_us: int  # replicas x microseconds


class Tally(Struct, array_like=True):
    """What is kept of an endpoint: where its requests are, and how many came in each hour that is not complete."""

    partition: int
    hours: dict[int, int] = field(default_factory=dict)  # since the epoch


class UnitCosts:
    """Roll-ups in, full hours out. Endpoints of which something else is kept are added to `changed`."""

    def __init__(self, changed: set[str]) -> None:
        self._changed = changed
        self._complete: dict[int, int] = {}  # partition -> the first hour that is not complete
        self._tallies: dict[str, Tally] = {}

    def observe(self, rollup: Rollup, ledger: Ledger) -> Iterator[Hour]:
        """The hours that are complete with this roll-up, by endpoint."""
        if rollup.requests:
            self._count(rollup, ledger)
        if rollup.source == REQUESTS:
            yield from self._advance(rollup.partition, rollup.time_us, ledger)
        yield from self._advance(NOWHERE, ledger.now_us, ledger)

    def _count(self, rollup: Rollup, ledger: Ledger) -> None:
        """An endpoint without an account costs nothing that is known, and nothing is kept of it."""
        hour = (rollup.time_us - 1) // HOUR_US
        for endpoint, (count, _) in (rollup.requests or {}).items():
            if endpoint in ledger.accounts:
                tally = self._tallies.setdefault(endpoint, Tally(rollup.partition))
                tally.partition = rollup.partition
                tally.hours[hour] = tally.hours.get(hour, 0) + count
                self._changed.add(endpoint)

    def _advance(self, partition: int, clock_us: int, ledger: Ledger) -> Iterator[Hour]:
        """The clock of a partition has moved."""
        open_from = (clock_us - GRACE_US) // HOUR_US
        before = self._complete.setdefault(partition, open_from)
        if open_from > before:
            self._complete[partition] = open_from
            for endpoint in sorted(ledger.accounts):
                tally = self._tallies.get(endpoint)
                if (NOWHERE if tally is None else tally.partition) == partition:
                    yield from self._end(endpoint, tally, open_from, ledger)

    def _end(self, endpoint: str, tally: Tally | None, open_from: int, ledger: Ledger) -> Iterator[Hour]:
        """Hours with requests; and the last one, if there was anything at all."""
        counts = {open_from - 1: 0} if tally is None else {open_from - 1: 0, **tally.hours}
        account, price = ledger.accounts[endpoint], ledger.prices.get(endpoint, 0)
        for hour in sorted(hour for hour in counts if hour < open_from):
            start_us, end_us = hour * HOUR_US, (hour + 1) * HOUR_US
            if tally is not None and tally.hours.pop(hour, None) is not None:
                self._changed.add(endpoint)
            if start_us >= ledger.now_us - REACH_US:
                cost = account.spend(start_us, end_us, price)
                found = Hour(endpoint, end_us, counts[hour], cost, _replica_us(account, start_us, end_us))
                if any(found[2:]):  # else it was not there, or asleep
                    yield found

    def drop(self, endpoint: str) -> None:
        """Forget an endpoint."""
        self._tallies.pop(endpoint, None)

    # -- state -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[int, int]:
        """What belongs to no one endpoint, as plain data."""
        return dict(self._complete)

    def restore(self, complete: dict[int, int]) -> None:
        """The inverse."""
        self._complete = complete

    def snapshot_of(self, endpoint: str) -> Tally | None:
        """What is kept of an endpoint, as plain data."""
        return self._tallies.get(endpoint)

    def adopt(self, endpoint: str, tally: Tally | None) -> None:
        """The inverse."""
        if tally is not None:
            self._tallies[endpoint] = tally


def _replica_us(account: Account, start_us: int, end_us: int) -> int:
    """At a price of a nano-dollar per microsecond the money is the time."""
    return Account(account.steps).spend(start_us, end_us, HOUR_US)


def per_thousand(cost_nano: float, requests: int) -> float:
    """Dollars for a thousand requests."""
    return cost_nano / requests / 1e6
