"""`daily_spend`: a budget's spend since midnight in its time zone has passed a step above its daily amount.

    warning   spend > 120 % of daily_usd
    error     spend > 150 %
    critical  spend > 200 %

The spend is exact (`detectors/ledger.py`), and so are the steps: at 120 % to the nano-dollar nothing fires. The exact
sum is taken when its bound reaches the next step, when it is due for an update, and when it might be low; the second
in which a step is passed is the same as if it were taken each second.

An endpoint is *expensive* if it costs at least a tenth of the pace now, which is a 24th of the daily amount per hour:
what answers the upper steps begins with these (`actions/budget.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import nextafter
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from detectors import spenders
from detectors.episodes import DECIMALS, Episode, Reading
from detectors.ledger import Ledger
from detectors.rule import BudgetRule
from schemas.config import RuleSettings, Share
from schemas.outputs import Severity
from schemas.units import HOUR_US, rfc3339, to_nano, to_usd

HOURS: Final = 24  # of a day's amount, one hour's pace
NEVER: Final = 10**24  # nano-dollars: every step of a budget that is not judged
SEVERITIES: Final = (Severity.WARNING, Severity.ERROR, Severity.CRITICAL)  # of the steps
Step = Annotated[float, Meta(gt=0, le=1000)]
Ladder = Mapping[Severity, int]  # nano-dollars, beyond which the step is passed; they rise


class Settings(RuleSettings, frozen=True):
    """The steps are shares of `daily_usd`: 1.2 is 120 %."""

    warning: Step = 1.2
    error: Step = 1.5
    critical: Step = 2.0
    expensive_share: Share = 0.1  # of the pace, from which on an endpoint is expensive

    def __post_init__(self) -> None:
        if not self.warning < self.error < self.critical:
            raise ValueError(f"expected steps that rise (warning < error < critical), got {self.steps}")

    @property
    def steps(self) -> tuple[float, float, float]:
        return self.warning, self.error, self.critical


class DailySpend(BudgetRule[Settings]):
    """The spend of the day so far against the day's amount."""

    rule: ClassVar = "daily_spend"
    unit: ClassVar = "USD"
    Settings: ClassVar = Settings

    def observe(self, budget: str, ledger: Ledger) -> None:
        """Nothing to remember: all is in the ledger."""

    def is_due(self, budget: str, ledger: Ledger) -> bool:
        return ledger.day.upper_nano > self._ladder(budget)[Severity.WARNING]

    def is_due_again(self, budget: str, ledger: Ledger, episode: Episode) -> bool:
        ladder, upper_nano = self._ladder(budget), ledger.day.upper_nano
        is_low = upper_nano <= self._low(budget, ladder)
        worse = [limit for severity, limit in ladder.items() if severity.rank > episode.severity.rank]
        return is_low != (episode.low_since_us is not None) or any(upper_nano > limit for limit in worse)

    def read(self, budget: str, ledger: Ledger) -> Reading:
        ladder, spend = self._ladder(budget), ledger.spend_today()
        limit = ladder[Severity.WARNING]
        passed = [severity for severity, step in ladder.items() if spend > step]

        def evidence() -> dict[str, Any]:
            return {**self._money(budget, ledger, spend), **self._endpoints(budget, ledger)}

        return Reading(
            value=to_usd(spend),
            threshold=to_usd(limit),
            severity=passed[-1] if passed else Severity.WARNING,
            low=spend <= self._low(budget, ladder),
            score=max(spend / limit, nextafter(1, 2)) if passed else spend / limit,
            evidence=evidence,
        )

    def snapshot(self, budget: str) -> Any:  # noqa: ANN401, ARG002 -- there is none
        return None

    def restore(self, budget: str, state: msgspec.Raw) -> None:
        """There is nothing to restore."""

    def _ladder(self, budget: str) -> Ladder:
        """A spend of whole nano-dollars is above a step if it is above its whole nano-dollars."""
        settings, daily_nano = self.settings(budget=budget), self._daily(budget)
        if not settings.enabled:
            return dict.fromkeys(SEVERITIES, NEVER)
        steps = zip(SEVERITIES, settings.steps, strict=True)
        return {severity: max(1, int(Decimal(repr(step)) * daily_nano)) for severity, step in steps}

    def _low(self, budget: str, ladder: Ladder) -> int:
        return int(Decimal(repr(self.settings(budget=budget).resolve_below)) * ladder[Severity.WARNING])

    def _daily(self, budget: str) -> int:
        return max(1, to_nano(self.config.budgets[budget].daily_usd))

    def _money(self, budget: str, ledger: Ledger, spend: int) -> dict[str, Any]:
        daily_nano = self._daily(budget)
        return {
            "spend_usd": to_usd(spend),
            "daily_usd": to_usd(daily_nano),
            "share": round(spend / daily_nano, DECIMALS),
            "day_started_at": rfc3339(ledger.day.started_us),
            "rate_usd_per_hour": to_usd(ledger.rate_nano),
            "allowance_usd_per_hour": to_usd(daily_nano // HOURS),
            "next_steps": {
                severity.value: _reached_at(ledger, limit - spend)
                for severity, limit in self._ladder(budget).items()
                if spend <= limit
            },
        }

    def _endpoints(self, budget: str, ledger: Ledger) -> dict[str, Any]:
        share = Decimal(repr(self.settings(budget=budget).expensive_share))
        least_nano = share * self._daily(budget) / HOURS
        rows = [
            {**spender.row, "critical": spender.critical, "expensive": spender.nano_per_hour >= least_nano}
            for spender in spenders.dearest(ledger, self.config)
        ]
        return {"endpoints": rows, "endpoints_total": len(ledger.accounts)}


def _reached_at(ledger: Ledger, left_nano: int) -> str | None:
    """When so much more will have been spent at the present rate, if that is before midnight."""
    if ledger.rate_nano <= 0:
        return None
    at_us = ledger.now_us + left_nano * HOUR_US // ledger.rate_nano
    return rfc3339(at_us) if at_us < ledger.day.ends_us else None
