"""What every rule must do, whatever it watches. A new rule adds one scenario, below."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pytest
from msgspec import structs

from detectors import RULES
from detectors.rule import BudgetRule, FleetRule, HistoryRule, RequestRule, ScalingRule
from schemas.config import Config, RuleSettings, Seconds
from schemas.outputs import Finding, Status
from schemas.topics import REQUESTS, ROLLUPS, SCALING
from schemas.units import US, from_rfc3339
from tests.detectors.logs import (
    ENDPOINT,
    START_S,
    Cut,
    Entry,
    counted,
    findings,
    marked,
    numbered,
    outputs,
    request,
    requests,
    rollup,
    scaled,
    scaling,
    settings,
    stage_of,
)

DAY_S: Final = 86_400
PAGES: Final = Path(__file__).parent.parent.parent / "docs" / "rules"


class Level(Protocol):
    """Writes the seconds from `start` to `end` of a series, calm or high."""

    def __call__(self, start: int, end: int, *, high: bool) -> list[Entry]: ...


class Scenario(NamedTuple):
    """A series that is calm, jumps, and is calm again."""

    topic: str
    level: Level
    warm_s: int
    high_s: int
    calm_s: int

    @property
    def quiet(self) -> list[Entry]:
        return self.level(0, self.warm_s, high=False)

    @property
    def log(self) -> list[Entry]:
        return self.quiet + self.high + self.calm

    @property
    def high(self) -> list[Entry]:
        return self.level(self.warm_s, self.warm_s + self.high_s, high=True)

    @property
    def calm(self) -> list[Entry]:
        return self.level(self.warm_s + self.high_s, self.warm_s + self.high_s + self.calm_s, high=False)

    def prolonged(self, seconds: int) -> list[Entry]:
        """It stays high."""
        return self.level(self.warm_s + self.high_s, self.warm_s + self.high_s + seconds, high=True)


def _requests(start: int, end: int, *, high: bool) -> list[Entry]:
    return [request(second, 40 if high else 2) for second in range(start, end)]


def _replicas(start: int, end: int, *, high: bool) -> list[Entry]:
    return [scaling(second, 2, 40 if high else 2) for second in range(start, end, 5)]


def _wakes(start: int, end: int, *, high: bool) -> list[Entry]:
    return [scaling(second, second % 40 // 20 if high else 1, 1) for second in range(start, end, 20)]


def _swings(start: int, end: int, *, high: bool) -> list[Entry]:
    return [scaling(second, 2 + second % 120 // 60 if high else 2, 2) for second in range(start, end, 20)]


def _idles(start: int, end: int, *, high: bool) -> list[Entry]:
    return [scaling(second, 2, 2, utilization=0.02 if high else 0.5) for second in range(start, end, 20)]


def _spend(start: int, end: int, *, high: bool) -> list[Entry]:
    return [rollup(second, second, 100 if high else 2) for second in range(start, end, 5)]


def _heard(start: int, end: int, *, high: bool) -> list[Entry]:
    """An endpoint with replicas; while it is silent, its input is read to its end all the time."""
    minutes = range(-(-start // 60) * 60, end, 60)
    told = [(scaled(second, 2), marked(second, REQUESTS) if high else counted(second, 600)) for second in minutes]
    return [entry for pair in told for entry in pair]


def _costs(start: int, end: int, *, high: bool) -> list[Entry]:
    """One endpoint jumps, beside a larger one that does not; the budget as a whole is not twice as dear."""
    step = 30 if end - start < 3600 else 600
    each = [
        [rollup(s, 2 * s, 9 if high else 2), rollup(s, 2 * s + 1, 30, "acme/large")] for s in range(start, end, step)
    ]
    return [one for pair in each for one in pair]


def _unit_costs(start: int, end: int, *, high: bool) -> list[Entry]:
    """As many requests as ever, and twice as many replicas."""
    step = 30 if end - start < 3600 else 1800
    each = [
        [rollup(s, s, 4 if high else 2), requests(s + step, s, {ENDPOINT: 10 * step})] for s in range(start, end, step)
    ]
    return [one for pair in each for one in pair]


def _regions(start: int, end: int, *, high: bool) -> list[Entry]:
    """As many requests here as there, and twice as many replicas."""
    step = 30 if end - start < 3600 else 600
    return [
        one
        for s in range(start, end, step)
        for one in (
            rollup(s, 2 * s, 4 if high else 2, region="here"),
            rollup(s, 2 * s + 1, 2, "acme/bert-2", region="there"),
            requests(s + step, s, {ENDPOINT: 10 * step, "acme/bert-2": 10 * step}),
        )
    ]


def _depths(start: int, end: int, *, high: bool) -> list[Entry]:
    return [request(second, 2, queue_depth=15 if high else 2) for second in range(start, end)]


def _durations(start: int, end: int, *, high: bool) -> list[Entry]:
    return [request(second, 2, duration_s=0.9 if high else 0.1) for second in range(start, end)]


def _failures(start: int, end: int, *, high: bool) -> list[Entry]:
    return [request(second, 2, status=503 if high else 200) for second in range(start, end)]


def _day(start: int, end: int, *, high: bool) -> list[Entry]:
    """Fourteen hours before midnight, a budget of a day is spent in minutes."""
    step = 5 if end - start < DAY_S / 2 else 60
    return [rollup(second, second, 5000 if high else 2) for second in range(start, end, step)]


SCENARIOS: Final = {
    "cold_starts": Scenario(SCALING, _wakes, warm_s=600, high_s=460, calm_s=3900),
    "scale_thrash": Scenario(SCALING, _swings, warm_s=600, high_s=460, calm_s=3900),
    "low_utilization": Scenario(SCALING, _idles, warm_s=3900, high_s=3700, calm_s=1500),
    "cost_per_request": Scenario(ROLLUPS, _unit_costs, warm_s=60 * 3600, high_s=10 * 3600, calm_s=24 * 3600),
    "cost_spike": Scenario(ROLLUPS, _costs, warm_s=11 * 3600, high_s=1200, calm_s=1800),
    "regional_cost": Scenario(ROLLUPS, _regions, warm_s=3 * 3600, high_s=2 * 3600, calm_s=3 * 3600),
    "daily_spend": Scenario(ROLLUPS, _day, warm_s=600, high_s=400, calm_s=DAY_S * 14 // 24),
    "telemetry_gap": Scenario(ROLLUPS, _heard, warm_s=28 * 3600, high_s=600, calm_s=240),
    "request_surge": Scenario(REQUESTS, _requests, warm_s=700, high_s=20, calm_s=120),
    "runaway_replicas": Scenario(SCALING, _replicas, warm_s=60, high_s=20, calm_s=120),
    "hourly_spend": Scenario(ROLLUPS, _spend, warm_s=600, high_s=400, calm_s=4200),
    "queue_depth": Scenario(REQUESTS, _depths, warm_s=60, high_s=40, calm_s=120),
    "latency": Scenario(REQUESTS, _durations, warm_s=60, high_s=20, calm_s=180),
    "error_rate": Scenario(REQUESTS, _failures, warm_s=60, high_s=20, calm_s=420),
}


def test_every_rule_has_a_scenario() -> None:
    """A rule that is not tried here keeps no contract."""
    assert sorted(SCENARIOS) == sorted(RULES), "add the new rule's scenario to SCENARIOS"


@pytest.fixture(params=sorted(RULES))
def rule(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in SCENARIOS:
        pytest.fail(f"add a scenario of {name} to SCENARIOS")
    return name


def disabled(rule: str) -> Config:
    config = settings()
    off = structs.replace(config.rules[rule], enabled=False)
    return structs.replace(config, rules={**config.rules, rule: off}, version="off")


def found(rule: str, log: list[Entry], config: Config | None = None) -> list[Finding]:
    stage = stage_of(SCENARIOS[rule].topic, settings() if config is None else config)
    return of_rule(rule, findings(stage, numbered(log)))


def of_rule(rule: str, several: Sequence[Finding]) -> list[Finding]:
    """Those of one rule: others may see the same events."""
    return [one for one in several if one.rule == rule]


def test_the_first_sample_says_nothing(rule: str) -> None:
    """Nobody knows yet what is normal."""
    assert found(rule, SCENARIOS[rule].quiet[:1]) == []


def test_a_quiet_series_says_nothing(rule: str) -> None:
    """However long it goes on."""
    scenario = SCENARIOS[rule]
    assert found(rule, scenario.level(0, 2 * scenario.warm_s, high=False)) == []


def test_a_jump_opens_one_episode(rule: str) -> None:
    """One, at once, and anomalous by its score."""
    scenario = SCENARIOS[rule]
    opened = found(rule, scenario.quiet + scenario.high)
    assert [one.status for one in opened if one.status is not Status.UPDATE] == [Status.OPEN]
    assert len({one.episode for one in opened}) == 1
    assert opened[0].score > 1
    assert from_rfc3339(opened[0].opened_at) >= (START_S + scenario.warm_s) * US
    assert (opened[0].rule, opened[0].unit, opened[0].config_version) == (rule, RULES[rule].unit, "test")


def test_an_episode_ends_when_calm_has_lasted(rule: str) -> None:
    """It resolves once, and not before the value has been low for `resolve_after`."""
    scenario = SCENARIOS[rule]
    told = found(rule, scenario.log)
    assert [one.status for one in told if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
    calm_us = (START_S + scenario.warm_s + scenario.high_s) * US
    assert from_rfc3339(told[-1].at) >= calm_us + 60 * US
    assert told[-1].opened_at == told[0].opened_at
    assert len({one.id for one in told}) == len(told)


def test_a_short_calm_does_not_end_it(rule: str) -> None:
    """Half a minute of calm between two bursts is one episode."""
    scenario = SCENARIOS[rule]
    end = scenario.warm_s + scenario.high_s
    log = [*scenario.quiet, *scenario.high, *scenario.level(end, end + 30, high=False)]
    told = found(rule, log + scenario.level(end + 30, end + 60, high=True))
    assert [one.status for one in told if one.status is not Status.UPDATE] == [Status.OPEN]


def test_a_restart_changes_nothing(rule: str) -> None:
    """Restored at any point it says the same, byte for byte."""
    scenario = SCENARIOS[rule]
    log = numbered(scenario.log)
    whole = outputs(scenario.topic, settings(), log, [])
    for place in range(0, len(log), max(1, len(log) // 8)):
        assert outputs(scenario.topic, settings(), log, [Cut(place, restart=True)]) == whole
    every = [Cut(end, restart=True) for end in range(0, len(log), 7)]
    assert outputs(scenario.topic, settings(), log, every) == whole


def test_a_disabled_rule_says_nothing(rule: str) -> None:
    """Whatever happens."""
    assert found(rule, SCENARIOS[rule].log, disabled(rule)) == []


def test_disabling_a_rule_ends_its_episode(rule: str) -> None:
    """Although the value stays high: nobody wants to hear of it any more."""
    scenario = SCENARIOS[rule]
    stage = stage_of(scenario.topic, settings())
    log = numbered(scenario.log[: -len(scenario.calm)] + scenario.prolonged(120))
    before = len(log) - len(scenario.prolonged(120))
    assert of_rule(rule, findings(stage, log[:before]))[0].status is Status.OPEN
    stage.reconfigure(disabled(rule))
    assert [one.status for one in of_rule(rule, findings(stage, log[before:]))][-1:] == [Status.RESOLVED]


def test_evidence_is_plain_json(rule: str) -> None:
    """Without NaN, without infinity, without a type of ours."""
    for finding in found(rule, SCENARIOS[rule].log):
        numbers = (finding.score, finding.value, finding.threshold, finding.baseline)
        json.dumps([finding.evidence, *numbers], allow_nan=False)
        assert finding.evidence


def test_a_rule_says_what_it_is(rule: str) -> None:
    """Its name is its key, it has a unit, settings with defaults, and one of the five shapes."""
    kind = RULES[rule]
    assert (kind.rule, bool(kind.unit)) == (rule, True)
    assert isinstance(kind.Settings(), RuleSettings)
    shapes = (RequestRule, ScalingRule, HistoryRule, BudgetRule, FleetRule)
    assert sum(issubclass(kind, shape) for shape in shapes) == 1


def test_a_rule_has_its_page(rule: str) -> None:
    """Under `docs/rules`, with every setting and every key of its evidence, and named in the index."""
    page = (PAGES / f"{rule}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {rule}\n")
    fields = structs.fields(RULES[rule].Settings)
    keys = {key for finding in found(rule, SCENARIOS[rule].log) for key in finding.evidence}
    missing = [name for name in {field.encode_name for field in fields} | keys if f"`{name}`" not in page]
    assert missing == []
    assert f"({rule}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


CONTRACT: Final[dict[str, dict[str, object]]] = {
    "cost_per_request": {"rise": 0.2, "min_requests": 100, "accept_after": Seconds(86400), "resolve_below": 0.8},
    "cost_spike": {"ratio": 2.0, "min_usd_per_hour": 1.0, "resolve_below": 0.8},
    "regional_cost": {"difference": 0.3, "min_requests": 100, "min_usd_per_day": 1.0, "resolve_below": 0.8},
    "daily_spend": {"warning": 1.2, "error": 1.5, "critical": 2.0, "expensive_share": 0.1, "resolve_below": 0.8},
    "request_surge": {"ratio": 5.0, "min_rate": 1.0, "window": Seconds(10), "resolve_below": 0.8},
    "runaway_replicas": {"resolve_below": 1.0},
    "hourly_spend": {"for_": Seconds(60), "resolve_below": 0.8},
    "cold_starts": {"threshold": 10, "window": Seconds(3600), "usd_per_gb": 0.09, "resolve_below": 0.8},
    "scale_thrash": {
        "per_day": 50.0,
        "window": Seconds(3600),
        "min_changes": 3,
        "usd_per_scale_event": (2.0, 5.0),
        "resolve_below": 0.8,
    },
    "low_utilization": {"threshold": 0.1, "window": Seconds(3600), "resolve_below": 0.8},
    "queue_depth": {"threshold": 10.0, "for_": Seconds(30), "resolve_below": 0.8},
    "latency": {
        "threshold": Seconds(0.5),
        "quantile": 0.95,
        "window": Seconds(60),
        "min_requests": 20,
        "resolve_below": 0.8,
    },
    "error_rate": {"threshold": 0.01, "window": Seconds(300), "min_requests": 20, "resolve_below": 0.8},
    "telemetry_gap": {
        "for_": Seconds(300),
        "known_for": Seconds(86_400),
        "scaling_after": Seconds(300),
        "bills_after": Seconds(36 * 3600),
        "prices_after": Seconds(90 * 86_400),
        "resolve_below": 0.8,
    },
}


def test_the_defaults_are_those_of_the_contract(rule: str) -> None:
    """Every number is a default in one place, and this is what users were told."""
    promised = CONTRACT.get(rule, {}) | {"enabled": True, "resolve_after": Seconds(60)}
    assert structs.asdict(RULES[rule].Settings()) == promised
