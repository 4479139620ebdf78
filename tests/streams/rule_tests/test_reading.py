"""A file is read whole, or every problem in it is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from schemas.config import Mode
from schemas.events import Billing, Request, Scaling
from streams.rule_tests.format import MONDAY, BillingEvent, RequestEvent, ScalingEvent
from streams.rule_tests.logs import logs
from streams.rule_tests.reading import Suite, read

SILENT: Final = """
tests:
  - name: one request
    requests: [{endpoint: acme/bert, series: 1/s for 1s}]
    findings: []
"""
MISTAKES: Final = """\
config:
  endpoints:
    acme/bert: {expected_mx: 4}
tests:
  - name: x
    start: yesterday
    requests:
      - {endpoint: acme/bert, series: "10/s for 5 minutes", statuss: 200}
    scaling:
      - {endpoint: acme/bert, series: "2->x for 5m", state: "runing for 3m"}
    events:
      - {topic: request, at: 5s, endpoint: a}
      - {at: 5s, endpoint: a}
      - {topic: scaling, at: 5s, endpoint: a, ready_replica: 4, target_replicas: 3}
      - {topic: requests, at: 5s, endpoint: a, status: 999}
    billing:
      - {endpoint: a, from: 2h, to: 1h, cost_usd: 3}
      - {endpoint: a, to: 1h, cost_usd: 3, at: 1h, every: 5m}
    rules: [request_surg]
    findings:
      - {at: soon, rule: request_sruge, value: about 5, severity: eror}
    command: []
  - name: y
    findings: []
  - name: z
    events: [{topic: requests, at: 5s, endpoint: a}]
"""
FOUND: Final = """\
3:17 endpoints.acme/bert.expected_mx: unknown key; did you mean 'expected_max'?
6:12 tests[0].start: expected a time with an offset from UTC, such as 2024-01-01T00:00:00Z, got 'yesterday'
8:39 tests[0].requests[0].series: expected a duration such as 1m30s after 'for', got '5' after '10/s for'
8:61 tests[0].requests[0].statuss: unknown key; did you mean 'status'?
10:39 tests[0].scaling[0].series: expected replicas such as 2, or ready->target such as 2->40, got '2->x'
10:61 tests[0].scaling[0].state: expected a state, got 'runing'; did you mean 'running'?
12:17 tests[0].events[0].topic: expected one of requests, scaling, billing, got 'request'; did you mean 'requests'?
13:9 tests[0].events[1].topic: is required: one of requests, scaling, billing
14:9 tests[0].events[2].ready_replicas: is required: a whole number from 0 to 1000000
14:47 tests[0].events[2].ready_replica: unknown key; did you mean 'ready_replicas'?
15:56 tests[0].events[3].status: expected a whole number from 100 to 599, got 999
17:9 tests[0].billing[0]: expected `to` at or after `from` (2h), got 1h
18:9 tests[0].billing[1]: give either `at` or `every`: each line of a series is taken when its period ends
19:13 tests[0].rules[0]: expected the name of a rule, got 'request_surg'; did you mean 'request_surge'?
21:14 tests[0].findings[0].at: expected a time after the start, such as 15m5s, ~15m for what rounds to it, or a range \
such as 15m..16m, got 'soon'
21:26 tests[0].findings[0].rule: expected the name of a rule, got 'request_sruge'; did you mean 'request_surge'?
21:48 tests[0].findings[0].value: expected a number, ~ and a number for what rounds to it, such as ~50.8, or a range \
such as 45..55, got 'about 5'
21:67 tests[0].findings[0].severity: expected one of info, warning, error, critical, got 'eror'; did you mean 'error'?
22:5 tests[0].command: unknown key; did you mean 'commands'?
23:5 tests[1]: has no events: give requests, scaling, billing or events
25:5 tests[2]: expects nothing: give findings or commands ([] for none)
"""


def suite(folder: Path, text: str) -> Suite:
    file = folder / "rules.yaml"
    file.write_text(text)
    return read(str(file), {})


def problems(folder: Path, text: str) -> list[str]:
    return [f"{one.line}:{one.column} {one.path}: {one.message}" for one in suite(folder, text).problems]


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    """In one pass, with the value, what was expected, and the nearest name that is known."""
    assert problems(tmp_path, MISTAKES) == FOUND.splitlines()


def test_a_series_has_no_more_than_an_entry_each_millisecond(tmp_path: Path) -> None:
    """What is finer than the clock of a log would be no step at all."""
    text = """\
tests:
  - name: x
    scaling: [{endpoint: a, series: 2 for 1s, every: %s}]
    billing: [{endpoint: a, to: 1s, cost_usd: 3, every: %s}]
    findings: []
"""
    expected = "expected a duration (such as 30s or 1h30m) of at least 1ms, got"
    assert problems(tmp_path, text % ("0.0000001s", "0.99ms")) == [
        f"3:54 tests[0].scaling[0].every: {expected} '0.0000001s'",
        f"4:57 tests[0].billing[0].every: {expected} '0.99ms'",
    ]
    assert [len(lines) for lines in logs(suite(tmp_path, text % ("1ms", "1ms")).tests[0]).values()] == [1000, 1000]


def test_an_empty_file_is_told_what_to_hold(tmp_path: Path) -> None:
    """So is one with no test in it."""
    for text in ("", "# later\n"):
        assert problems(tmp_path, text) == [
            "0:0 : is empty; expected tests: a list with the name, the events and the findings of each"
        ]
    assert problems(tmp_path, "tests: []") == ["1:1 tests: expected a list of at least 1, got 0"]
    assert problems(tmp_path, "config: {}") == ["0:0 tests: is required: a list"]
    assert problems(tmp_path, "- tests") == ["0:0 : expected a mapping, got a list"]


def test_what_is_no_yaml_is_named_with_its_place(tmp_path: Path) -> None:
    """As in a configuration."""
    (problem,) = problems(tmp_path, "tests: [\n")
    assert problem.startswith("2:1 : not YAML: ")


def test_without_a_configuration_the_defaults_hold(tmp_path: Path) -> None:
    """And a test begins on a Monday at midnight."""
    found = suite(tmp_path, SILENT)
    assert found.problems == ()
    assert found.config.mode is Mode.SHADOW
    assert found.tests[0].start == MONDAY
    assert found.lines == (3,)


def test_a_configuration_may_stand_in_the_file_or_in_its_own(tmp_path: Path) -> None:
    """Its path begins where the tests are; both are the same configuration."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tidegate.yaml").write_text("endpoints: {acme/bert: {expected_max: 3}}")
    named = suite(tmp_path, f"config: conf/tidegate.yaml\n{SILENT}")
    inline = suite(tmp_path, f"config: {{endpoints: {{acme/bert: {{expected_max: 3}}}}}}\n{SILENT}")
    assert named.config == inline.config
    assert named.config.endpoint("acme/bert").expected_max == 3


def test_a_problem_of_the_configurations_own_file_is_named_there(tmp_path: Path) -> None:
    """With its own name and line; and so is a file that is not there."""
    (tmp_path / "tidegate.yaml").write_text("mode: shadow\nendpoint: {}\n")
    (problem,) = suite(tmp_path, f"config: tidegate.yaml\n{SILENT}").problems
    assert (problem.file, problem.line, problem.path) == (str(tmp_path / "tidegate.yaml"), 2, "endpoint")
    assert problems(tmp_path, f"config: nowhere.yaml\n{SILENT}") == [
        "1:9 config: expected the name of a file, relative to this one, got 'nowhere.yaml'"
    ]
    assert problems(tmp_path, f"config: [1]\n{SILENT}") == [
        "1:1 config: expected the configuration's keys, or the name of its file"
    ]


@pytest.mark.parametrize(
    ("written", "event", "times"),
    [
        (RequestEvent, Request, {"time"}),
        (ScalingEvent, Scaling, {"time"}),
        (BillingEvent, Billing, set()),
    ],
)
def test_an_event_has_every_field_that_it_has_on_the_wire(
    written: type[msgspec.Struct], event: type[msgspec.Struct], times: set[str]
) -> None:
    """Of the same type, apart from times: they are written as offsets."""
    ours = {field.name: field for field in msgspec.structs.fields(written)}
    theirs = {field.name: field for field in msgspec.structs.fields(event)}
    assert ours.keys() - {"at", "logged"} == theirs.keys() - times
    for name in theirs.keys() - times - {"period_start", "period_end"}:
        assert (ours[name].type, ours[name].default) == (theirs[name].type, theirs[name].default)
