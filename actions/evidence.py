"""Reading a finding's evidence, which may lack anything: what is absent or of another type is None."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas.outputs import Finding

MOST: Final = sys.float_info.max  # JSON may hold an integer beyond it, which `isfinite` cannot take


class Spender(NamedTuple):
    """One endpoint in the evidence of a budget: what it costs now."""

    endpoint: str
    replicas: int
    price_usd_per_hour: float  # per replica
    expensive: bool | None = None  # for its budget; None: the rule does not say

    @property
    def usd_per_hour(self) -> float:
        return self.replicas * self.price_usd_per_hour


def number(evidence: Mapping[str, Any], name: str) -> float | None:
    """A finite number, or None."""
    value = evidence.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST <= value <= MOST:
        return None
    return value


def count(told: Mapping[str, Any], name: str) -> int | None:
    """A whole number of things, or None."""
    value = number(told, name)
    return None if value is None or value < 0 else int(value)


def before(finding: Finding) -> dict[str, Any]:
    """How the endpoint was scaled before anything was done to it, as far as the finding tells."""
    told = finding.evidence.get("before")
    return dict(told) if isinstance(told, Mapping) else {}


def spenders(finding: Finding) -> list[Spender]:
    """The endpoints of a budget, dearest first; equally dear ones by name.

    One without a price cannot be weighed.
    """
    told = finding.evidence.get("endpoints")
    rows = told if isinstance(told, list) else []
    known = [spender for row in rows if isinstance(row, Mapping) and (spender := _spender(row)) is not None]
    return sorted(known, key=lambda spender: (-spender.usd_per_hour, spender.endpoint))


def mentioned(finding: Finding) -> list[tuple[str, int | None]]:
    """Every endpoint that a finding or its evidence names, with its replicas where they are told."""
    told = finding.evidence.get("endpoints")
    rows = [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
    named = [(row.get("endpoint"), count(row, "replicas")) for row in rows]
    named.insert(0, (finding.endpoint, count(before(finding), "ready_replicas")))
    return [(name, replicas) for name, replicas in named if isinstance(name, str)]


def _spender(row: Mapping[str, Any]) -> Spender | None:
    endpoint, replicas = row.get("endpoint"), number(row, "replicas")
    price = number(row, "price_usd_per_hour")
    if not isinstance(endpoint, str) or replicas is None or price is None:
        return None
    expensive = row.get("expensive")
    return Spender(endpoint, int(replicas), price, expensive if isinstance(expensive, bool) else None)
