"""Every setting that applied, with the line that gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from detectors import SETTINGS
from detectors.rule import FleetRule, RequestRule
from schemas.config import Budget, Config, Seconds
from schemas.outputs import Severity
from streams import configuration
from streams.explain import settings
from streams.explain.limits import Passed, _amount, limit, passed, specification
from streams.explain.settings import Setting, Subject, Values, plain, subject_of
from streams.origins import NO_FILE
from tests.actions.findings import finding, runaway, spend, surge

FILE: Final = """\
mode: approve
endpoints:
  acme/bert:
    expected_max: 4
    mode: auto
    rules: {request_surge: {ratio: 8}}
  acme/plain: {expected_max: 2}
defaults:
  price_usd_per_hour: 0.5
  rules: {request_surge: {min_rate: 2}}
rules:
  request_surge: {ratio: 6, min_rate: 3, window: 20s}
  hourly_spend: {resolve_below: 0.7}
budgets:
  all:
    daily_usd: 240
    endpoints: ["acme/*"]
    rules: {hourly_spend: {for: 2m}}
schedules:
  - {cron: "0 9 * * 6", for: 1h, expected_ratio: 3}
  - {cron: "0 9 * * 1", for: 2h, expected_max: 20, endpoints: [acme/bert]}
"""


@pytest.fixture
def values(tmp_path: Path) -> Values:
    file = tmp_path / "tidegate.yaml"
    file.write_text(FILE)
    config, origins = configuration.load_traced(file, SETTINGS, {})
    return Values(config, origins)


def lines(told: list[Setting]) -> dict[str, tuple[object, str]]:
    """Key -> value, and the line or the page."""
    return {one.key: (one.value, one.origin.rpartition(":")[2]) for one in told}


def test_an_endpoints_settings_come_from_its_own_lines_then_the_defaults_then_the_rules(values: Values) -> None:
    """Field by field, as they are laid over each other; what nobody gave is the rule's default."""
    found = lines(values.of_rule(Subject("request_surge", "acme/bert", None)))
    assert found["endpoints.acme/bert.rules.request_surge.ratio"] == (8.0, "6")
    assert found["defaults.rules.request_surge.min_rate"] == (2.0, "10")
    assert found["rules.request_surge.window"] == ("20s", "12")
    assert found["rules.request_surge.resolve_after"] == ("1m", "default (docs/rules/request_surge.md)")
    assert len(found) == 6


def test_an_endpoint_that_is_not_listed_has_the_defaults(values: Values) -> None:
    """Those of `defaults.rules` too."""
    found = lines(values.of_rule(Subject("request_surge", "acme/nobody", None)))
    assert found["rules.request_surge.ratio"] == (6.0, "12")
    assert found["defaults.rules.request_surge.min_rate"] == (2.0, "10")


def test_a_budgets_settings_come_from_its_own_lines_then_the_rules(values: Values) -> None:
    """With the names of the file, such as `for`."""
    found = lines(values.of_rule(Subject("hourly_spend", None, "all")))
    assert found["budgets.all.rules.hourly_spend.for"] == ("2m", "18")
    assert found["rules.hourly_spend.resolve_below"] == (0.7, "13")


@pytest.mark.parametrize("rule", sorted(SETTINGS))
@pytest.mark.parametrize("endpoint", [None, "acme/bert", "acme/plain", "acme/nobody"])
@pytest.mark.parametrize("budget", [None, "all"])
def test_the_values_are_those_that_the_rule_used(
    values: Values, rule: str, endpoint: str | None, budget: str | None
) -> None:
    """What is printed is what `Config.rule` answers."""
    used = values.config.rule(rule, endpoint, budget)
    told = {one.name: one.value for one in values.of_rule(Subject(rule, endpoint, budget))}
    assert told == {name: plain(value) for name, value in _encoded(used).items()}


def _encoded(used: object) -> dict[str, object]:
    names = zip(used.__struct_encode_fields__, used.__struct_fields__, strict=True)  # type: ignore[attr-defined]
    return {encoded: getattr(used, name) for encoded, name in names}


def test_a_rule_that_is_not_known_here_has_no_settings(values: Values) -> None:
    """A finding may be of another version of tidegate."""
    assert values.of_rule(Subject("sunspots", "acme/bert", None)) == []


def test_the_facts_of_a_subject_have_lines_too(values: Values) -> None:
    """Its own, or those of `defaults`; of a budget, all but its rules."""
    found = lines(values.of_subject(Subject("", "acme/bert", None)))
    assert found["endpoints.acme/bert.expected_max"] == (4, "4")
    assert found["defaults.price_usd_per_hour"] == (0.5, "9")
    assert found["defaults.critical"] == (False, "default (docs/configuration.md)")
    found = lines(values.of_subject(Subject("", None, "all")))
    assert found["budgets.all.daily_usd"] == (240.0, "16")
    assert found["budgets.all.endpoints"] == (["acme/*"], "17")
    assert found["budgets.all.timezone"] == ("UTC", "default (docs/configuration.md)")


@pytest.mark.parametrize(("endpoint", "line", "mode"), [("acme/bert", "5", "auto"), ("acme/plain", "1", "approve")])
def test_the_mode_has_the_line_that_decides_it(values: Values, endpoint: str, line: str, mode: str) -> None:
    """The endpoint's, else that of `defaults`, else the global one."""
    found = values.mode(endpoint)
    assert (found.value, found.origin.rpartition(":")[2]) == (mode, line)


def test_a_schedule_is_told_while_it_holds(values: Values) -> None:
    """What is planned for the endpoint counts as long as the launch lasts, and only for whom it is planned."""
    monday_9 = 1_795_424_400.0  # 2026-11-23T09:00:00Z
    planned = {"schedules[1].cron", "schedules[1].for", "schedules[1].endpoints"}
    planned |= {"schedules[1].timezone", "schedules[1].expected_max"}
    for at_s, endpoint, keys in [
        (monday_9 + 60, "acme/bert", planned),
        (monday_9 - 60, "acme/bert", set()),
        (monday_9 + 7200, "acme/bert", set()),
        (monday_9 + 60, "acme/plain", set()),
    ]:
        found = lines(values.of_subject(Subject("runaway_replicas", endpoint, at_s=at_s)))
        assert {key for key in found if key.startswith("schedules")} == keys
    found = lines(values.of_subject(Subject("runaway_replicas", "acme/bert", at_s=monday_9)))
    assert found["schedules[1].expected_max"] == (20, "21")


def test_without_a_file_all_is_default() -> None:
    """And named by the key that would give it."""
    mode = Values(Config(), NO_FILE).mode("acme/bert")
    assert mode == Setting("mode", "shadow", "default (docs/configuration.md)", given=False)


def test_the_budget_of_a_finding_is_its_subject_or_whose_part_it_is() -> None:
    """One that has left the configuration is none; of two names the longer one is meant."""
    config = Config(budgets={name: Budget(daily_usd=1.0, endpoints=("*",)) for name in ("all", "all/gpu")})
    assert subject_of(spend(0, []), config).budget == "all"
    assert subject_of(spend(0, []), Config()).budget is None
    for subject, budget in [("all/llama@us-east-1", "all"), ("all/gpu/llama@eu", "all/gpu"), ("allies/x@eu", None)]:
        assert subject_of(finding("regional_cost", subject, None, 0), config).budget == budget


def test_an_endpoint_has_a_budget_for_the_rules_that_are_its_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those over requests and replicas know of none; of several budgets the first owns it."""
    config = Config(budgets={name: Budget(daily_usd=1.0, endpoints=("acme/*",)) for name in ("one", "two")})
    monkeypatch.setattr(settings, "RULES", {"of_fleets": FleetRule, "of_requests": RequestRule})
    assert subject_of(finding("of_fleets", "acme/a", "acme/a", 0), config).budget == "one"
    assert subject_of(finding("of_fleets", "other/a", "other/a", 0), config).budget is None
    assert subject_of(finding("of_requests", "acme/a", "acme/a", 0), config).budget is None
    assert subject_of(finding("sunspots", "acme/a", "acme/a", 0), config).budget is None


def test_a_rule_is_explained_in_its_own_words() -> None:
    """Its docstring is its specification: a sentence, and what exactly fires."""
    spec = specification("runaway_replicas")
    assert spec.says == "an endpoint has, or wants, more replicas than anybody planned for."
    assert spec.exactly.startswith(
        "    max(ready_replicas, target_replicas) > expected_max\n\nWhile one of the `schedules`"
    )
    assert {"expected_max", "schedules"} < spec.names
    assert not {"While", "maximum", "max_replicas"} & spec.names
    assert specification("sunspots") == ("", "")
    assert specification("sunspots").names == set()


@pytest.mark.parametrize("rule", sorted(SETTINGS))
def test_every_rule_says_what_is_wrong_and_when_it_fires(rule: str) -> None:
    """A rule whose docstring has no formula would be explained by nothing."""
    spec = specification(rule)
    assert spec.says
    assert spec.names


@pytest.mark.parametrize(
    ("severity", "threshold", "expected"),
    [
        (Severity.WARNING, 288.0, None),
        (Severity.ERROR, 288.0, Passed("error x daily_usd", 360.0)),
        (Severity.CRITICAL, 288.0, Passed("critical x daily_usd", 480.0)),
        (Severity.CRITICAL, 300.0, None),
    ],
)
def test_the_step_that_was_passed_is_that_of_the_severity(
    values: Values, severity: Severity, threshold: float, expected: Passed | None
) -> None:
    """Of 240 dollars a day. Where the first step is not that of the configuration, nothing is guessed."""
    found = finding("daily_spend", "all", None, 0, severity=severity, value=500.0, threshold=threshold)
    found = structs.replace(found, unit="USD", baseline=None)
    subject = subject_of(found, values.config)
    assert passed(found, values.of_rule(subject), values.of_subject(subject)) == expected


def test_a_rule_over_endpoints_has_no_steps(values: Values) -> None:
    """Their severities are named as those of a ladder, which does not make them one."""
    found = runaway("acme/bert", 0, threshold=4.0)
    subject = subject_of(found, values.config)
    assert passed(found, values.of_rule(subject), values.of_subject(subject)) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (runaway("acme/bert", 0, threshold=4.0), "expected_max"),
        (runaway("acme/bert", 0, threshold=5.0), None),
        (spend(0, [], threshold=10.0), "daily_usd / 24"),
        (surge("acme/bert", 0, threshold=40.0), "ratio x normal"),
        (surge("acme/bert", 0, threshold=12.5), "high (the upper end of normal)"),
        (surge("acme/bert", 0, threshold=33.0, evidence={"normal": {"high": 33.0}}), "high (the upper end of normal)"),
        (surge("acme/bert", 0, threshold=33.0), None),
    ],
)
def test_the_limit_is_what_makes_the_threshold(values: Values, found: object, expected: str | None) -> None:
    """A number of the formula, times what was normal or the day's amount; nothing is guessed."""
    subject = subject_of(found, values.config)  # type: ignore[arg-type]
    assert limit(found, values.of_rule(subject), values.of_subject(subject)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "unit", "amount"),
    [
        (0.3, "%", 30.0),
        (0.3, "share", 0.3),
        ("500ms", "s", 0.5),
        ("500ms", "requests", None),
        ("auto", "s", None),
        (True, "s", None),
        (["a"], "s", None),
        (None, "%", None),
    ],
)
def test_a_setting_is_compared_in_the_unit_of_the_finding(value: object, unit: str, amount: float | None) -> None:
    """Shares are percent where the rule says so, durations are seconds."""
    assert _amount(value, unit) == amount


def test_values_are_plain() -> None:
    """As JSON holds them, durations as they are written."""
    assert plain({"a": (Seconds(90), Severity.ERROR)}) == {"a": ["1m30s", "error"]}
