"""`hourly_spend`: a budget's spend of the last 60 minutes is above its allowance, a 24th of its daily amount.

    critical  spend of the last 60 minutes > daily_usd / 24
    warning   replicas x price > daily_usd / 24 an hour, and has been for `for` (60 s): the hour will not last

The spend is exact (`detectors/ledger.py`), and so is the moment: it is asked at each second of event time. The
evidence of a warning says when the allowance will have run out.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from detectors import spenders
from detectors.episodes import Reading
from detectors.ledger import Ledger
from detectors.rule import BudgetRule
from schemas.config import Config, Lasting, RuleSettings, Seconds
from schemas.outputs import Severity
from schemas.units import HOUR_US, US, rfc3339, to_nano, to_usd

HOURS: Final = 24  # of a day's amount, one hour's allowance
NEVER: Final = 10**24  # nano-dollars: the allowance of a budget that is not judged


class Settings(RuleSettings, frozen=True, rename={"for_": "for"}):
    """`for` is a word of Python's, so in code it is `for_`."""

    for_: Lasting = Seconds(60)  # how long the rate must have been too high


class HourlySpend(BudgetRule[Settings]):
    """The spend of the last hour against the hour's allowance."""

    rule: ClassVar = "hourly_spend"
    unit: ClassVar = "USD"
    Settings: ClassVar = Settings

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._above_since_us: dict[str, int] = {}  # since when the rate has been too high

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        kept = {name: since for name, since in self._above_since_us.items() if name in config.budgets}
        self._above_since_us = kept

    def observe(self, budget: str, ledger: Ledger) -> None:
        if ledger.rate_nano <= self._allowance(budget):
            self._above_since_us.pop(budget, None)
        else:
            self._above_since_us.setdefault(budget, ledger.now_us)

    def is_due(self, budget: str, ledger: Ledger) -> bool:
        return ledger.upper_nano > self._allowance(budget) or self._is_rate_too_high(budget, ledger)

    def read(self, budget: str, ledger: Ledger) -> Reading:
        allowance, spend = self._allowance(budget), ledger.spend()
        expected = max(spend, ledger.rate_nano) if self._is_rate_too_high(budget, ledger) else spend
        settings = self.settings(budget=budget)

        def evidence() -> dict[str, Any]:
            return {**_money(ledger, spend, allowance), **self._endpoints(ledger)}

        return Reading(
            value=to_usd(spend),
            threshold=to_usd(allowance),
            severity=Severity.CRITICAL if spend > allowance else Severity.WARNING,
            low=spend <= settings.resolve_below * allowance and ledger.rate_nano <= allowance,
            score=expected / allowance,
            evidence=evidence,
        )

    def snapshot(self, budget: str) -> Any:  # noqa: ANN401 -- plain data
        return self._above_since_us.get(budget)

    def restore(self, budget: str, state: msgspec.Raw) -> None:
        since = msgspec.msgpack.decode(state, type=int | None)
        if since is not None:
            self._above_since_us[budget] = since

    def _endpoints(self, ledger: Ledger) -> dict[str, Any]:
        rows = [spender.row for spender in spenders.dearest(ledger, self.config)]
        return {"endpoints": rows, "endpoints_total": len(ledger.accounts)}

    def _allowance(self, budget: str) -> int:
        if not self.settings(budget=budget).enabled:
            return NEVER
        return max(1, to_nano(self.config.budgets[budget].daily_usd) // HOURS)

    def _is_rate_too_high(self, budget: str, ledger: Ledger) -> bool:
        since = self._above_since_us.get(budget)
        return since is not None and ledger.now_us - since >= self.settings(budget=budget).for_ * US


def _money(ledger: Ledger, spend: int, allowance: int) -> dict[str, Any]:
    return {
        "spend_usd": to_usd(spend),
        "allowance_usd_per_hour": to_usd(allowance),
        "rate_usd_per_hour": to_usd(ledger.rate_nano),
        "runs_out_at": _runs_out_at(ledger, spend, allowance),
    }


def _runs_out_at(ledger: Ledger, spend: int, allowance: int) -> str | None:
    """When, within the hour, the allowance will have been spent at the present rate.

    Later than that, what leaves the window counts for more than what comes.
    """
    if spend > allowance or ledger.rate_nano <= 0 or allowance - spend > ledger.rate_nano:
        return None
    return rfc3339(ledger.now_us + (allowance - spend) * HOUR_US // ledger.rate_nano)
