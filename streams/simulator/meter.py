"""What the simulated fleet really ran, and so what it costs: replicas x price, integrated in event time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.units import HOUR_US
from streams.simulator.profiles import Profile


class Credit(NamedTuple):
    """By how much a bill for a period is lower than replicas x price."""

    endpoint: str
    start_us: int
    end_us: int
    usd: float


class Meter:
    """Per endpoint, when its number of ready replicas changed and to what."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._price = {profile.name: profile.price_usd_per_hour for profile in profiles}
        self._times_us: dict[str, list[int]] = {profile.name: [] for profile in profiles}
        self._ready: dict[str, list[int]] = {profile.name: [] for profile in profiles}
        self._credits: list[Credit] = []

    def note(self, endpoint: str, time_us: int, ready: int) -> None:
        """From `time_us` on, which is not before the last call's, `ready` replicas run."""
        if not self._ready[endpoint] or self._ready[endpoint][-1] != ready:
            self._times_us[endpoint].append(time_us)
            self._ready[endpoint].append(ready)

    def cost_usd(self, endpoint: str, start_us: int, end_us: int) -> float:
        """Replicas x price from `start_us` to `end_us`; nothing is known before the first report."""
        times, ready = self._times_us[endpoint], self._ready[endpoint]
        first = max(bisect_right(times, start_us) - 1, 0)
        replica_us = 0
        for i in range(first, bisect_right(times, end_us)):
            until_us = min(times[i + 1], end_us) if i + 1 < len(times) else end_us
            replica_us += ready[i] * max(until_us - max(times[i], start_us), 0)
        return replica_us / HOUR_US * self._price[endpoint]

    def credit(self, credit: Credit) -> None:
        """Take a bill into account."""
        self._credits.append(credit)

    def spend_usd(self, endpoints: Iterable[str], start_us: int, end_us: int) -> float:
        """What endpoints cost together, with bills in the place of estimates where there are any."""
        names = set(endpoints)
        estimate = sum(self.cost_usd(name, start_us, end_us) for name in names)
        return estimate - sum(_within(c, start_us, end_us) for c in self._credits if c.endpoint in names)


def _within(credit: Credit, start_us: int, end_us: int) -> float:
    """The part of a credit that falls into a span."""
    overlap_us = min(credit.end_us, end_us) - max(credit.start_us, start_us)
    return credit.usd * max(overlap_us, 0) / (credit.end_us - credit.start_us)
