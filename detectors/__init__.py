"""Pure state machines over the events of one partition: no I/O, no clock, no randomness, no logging.

- `rules/`: one file a rule; `registry.py` finds them, `rule.py` says what a rule is
- `requests.py`, `scaling.py` (with `history.py`), `billing.py`: the endpoint stage, one fold for each kind of event
- `budgets.py`: the budget stage, over `ledger.py`
- `normal.py`: what is normal for a series
"""

from detectors.billing import BillingFold
from detectors.budgets import BudgetFold
from detectors.normal import Judgement, LearnedNormal
from detectors.registry import RULES, SETTINGS, budget_rules, fleet_rules, history_rules, request_rules, scaling_rules
from detectors.requests import RequestFold
from detectors.scaling import ScalingFold

__all__ = [
    "RULES",
    "SETTINGS",
    "BillingFold",
    "BudgetFold",
    "Judgement",
    "LearnedNormal",
    "RequestFold",
    "ScalingFold",
    "budget_rules",
    "fleet_rules",
    "history_rules",
    "request_rules",
    "scaling_rules",
]
