"""The endpoints that the evidence of a budget lists: those that cost the most now.

At most 50 critical ones and 50 others, dearest first: critical ones must not crowd out those that may be braked.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from detectors.ledger import Ledger
from schemas.config import Config
from schemas.units import to_usd

MOST: Final = 50  # critical ones, and others


class Spender(NamedTuple):
    """An endpoint, by the newest reports."""

    endpoint: str
    replicas: int
    price_nano: int  # per replica and hour
    critical: bool

    @property
    def nano_per_hour(self) -> int:
        return self.replicas * self.price_nano

    @property
    def row(self) -> dict[str, Any]:
        """As evidence tells it."""
        return {
            "endpoint": self.endpoint,
            "replicas": self.replicas,
            "price_usd_per_hour": to_usd(self.price_nano),
            "usd_per_hour": to_usd(self.nano_per_hour),
        }


def dearest(ledger: Ledger, config: Config) -> list[Spender]:
    listed: list[Spender] = []
    room = {True: MOST, False: MOST}
    for name, replicas, price in ledger.dearest():
        is_critical = bool(config.endpoint(name).critical)
        if room[is_critical]:
            room[is_critical] -= 1
            listed.append(Spender(name, replicas, price, is_critical))
    return listed
