"""The ladder of `daily_spend` from replicas to commands: the example of its page, through the two stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from detectors import SETTINGS
from schemas.config import Budget, Config, Endpoint, Mode, Overflow, Provider
from schemas.outputs import Action, Command, Rollup, Status
from schemas.topics import SCALING
from schemas.units import US, from_rfc3339
from streams.configuration import defaults
from streams.control_stages import ActionStage
from streams.stages import BudgetStage

MIDNIGHT_US: Final = from_rfc3339("2026-11-23T05:00:00Z")  # in New York
ENDPOINTS: Final = {
    "acme/llama-70b": Endpoint(critical=True, price_usd_per_hour=20.0),
    "acme/mixtral": Endpoint(price_usd_per_hour=8.0),
    "acme/bert": Endpoint(price_usd_per_hour=0.5),
    "acme/whisper": Endpoint(price_usd_per_hour=2.0),
}
PROVIDER: Final = Provider(name="runpod", price_usd_per_hour=5.0, endpoints=("acme/mixtral",))
BUDGET: Final = Budget(daily_usd=1200.0, endpoints=("acme/*",), timezone="America/New_York")
ALONE: Final = {name: rule(enabled=name == "daily_spend") for name, rule in SETTINGS.items()}
CONFIG: Final[Config] = structs.replace(
    defaults(SETTINGS),
    mode=Mode.AUTO,
    endpoints=ENDPOINTS,
    budgets={"all": BUDGET},
    overflow=Overflow(providers=(PROVIDER,)),
    rules=ALONE,
)
Told = tuple[str, str, str, float, list[tuple[Action, str]]]


def day() -> Iterator[Told]:
    """(time, status, severity, spend, commands but renewals) of each finding that says something new."""
    budgets, actions, seq = BudgetStage(CONFIG, 0), ActionStage(CONFIG, 0), 0
    replicas = {"acme/llama-70b": 4, "acme/mixtral": 10, "acme/bert": 8, "acme/whisper": 2}
    for second in range(0, 24 * 3600 + 300, 10):
        for name in ENDPOINTS:
            seq += 1
            time_us = MIDNIGHT_US + second * US
            for finding in budgets.apply_value(Rollup("all", SCALING, 0, seq, time_us, name, replicas[name])):
                sent = [one for one in actions.apply_value(finding) if isinstance(one, Command) and one.held is None]
                new = [one for one in sent if not one.reason.startswith("renewed")]
                for command in new:
                    most = 0 if command.action is Action.SHUTDOWN else command.parameters.get("max_replicas", 99)
                    replicas[command.endpoint] = min(most, replicas[command.endpoint])
                if new or finding.status is not Status.UPDATE:
                    did = [(command.action, command.endpoint) for command in new]
                    yield finding.at[11:19], finding.status, finding.severity, finding.value, did


def test_a_day_climbs_the_ladder_and_ends() -> None:
    """As docs/rules/daily_spend.md tells it."""
    throttle, restore = Action.THROTTLE, Action.RESTORE
    assert list(day()) == [
        (
            "13:34:20", "open", "warning", 1440.133333333,
            [(throttle, "acme/mixtral"), (throttle, "acme/bert"), (throttle, "acme/whisper")],
        ),
        ("17:33:00", "update", "error", 1800.122222222, [(Action.OVERFLOW, "acme/mixtral")]),
        ("00:10:50", "update", "critical", 2400.1875, [(Action.SHUTDOWN, "acme/mixtral")]),
        (
            "05:01:00", "resolved", "critical", 1.375,
            [(restore, "acme/bert"), (restore, "acme/mixtral"), (restore, "acme/whisper")],
        ),
    ]  # fmt: skip
