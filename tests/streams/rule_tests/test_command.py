"""`tidegate test rules`: an exit code for CI, and a difference that a person can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from streams.cli import app
from streams.errors import UsageError

SUITE: Final = """
config: {mode: auto}
tests:
  - name: a runaway is throttled
    scaling: [{endpoint: acme/bert, series: "2 for 5m, then 15 for 2m, then 2 for 2m"}]
    findings:
      - {at: 5m, rule: runaway_replicas, status: open, value: 15, evidence: {expected_max: 10}}
      - {at: 8m, status: resolved}
    commands: [{action: throttle, parameters: {max_replicas: 10}}, {action: restore}]
  - name: ten are silent
    scaling: [{endpoint: acme/bert, series: "10 for 5m"}]
    findings: []
"""
WRONG: Final = (
    SUITE.replace("at: 8m", "at: ~9m")
    .replace("expected_max: 10", "expected_max: 9, before: {ready_replicas: 2}")
    .replace("10 for 5m", "11 for 5m")
    .replace("}, {action: restore}]", "}]")
)
TOLD: Final = """\
Unit testing: {file}
  FAILED: a runaway is throttled ({file}:4)
    findings: - expected, + got
      - - {{at: 5m, rule: runaway_replicas, status: open, value: 15, \
evidence: {{before: {{ready_replicas: 2}}, expected_max: 9}}}}
      + - {{at: 5m, rule: runaway_replicas, status: open, value: 15, \
evidence: {{before: {{ready_replicas: 2}}, expected_max: 10}}}}  # differs in evidence
      - - {{at: ~9m, status: resolved}}
      + - {{at: 8m, status: resolved}}  # differs in at
    commands: - expected, + got
        - {{action: throttle, parameters: {{max_replicas: 10}}}}
      + - {{at: 8m, action: restore, endpoint: acme/bert, rule: runaway_replicas, parameters: {{}}, held: null}}  \
# is not expected
  FAILED: ten are silent ({file}:10)
    findings: - expected, + got
      + - {{at: 0s, rule: runaway_replicas, subject: acme/bert, status: open, severity: error, value: 11}}  \
# is not expected
  FAILED (2 of 2 tests)
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(SUITE)
    return tmp_path / "good.yaml"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    return tmp_path / "wrong.yaml"


def invoke(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(app, ["test", "rules", *map(str, arguments)], env=environ)


def test_what_passes_is_told_in_a_line(good: Path) -> None:
    """And the exit code is 0."""
    result = invoke(good)
    assert result.stdout == f"Unit testing: {good}\n  SUCCESS (2 tests)\n"
    assert result.exit_code == 0


def test_what_fails_is_told_line_by_line(wrong: Path) -> None:
    """What was expected, what came, and in which fields they differ; the exit code is 1."""
    result = invoke(wrong)
    assert result.stdout == TOLD.format(file=wrong)
    assert result.exit_code == 1


def test_what_came_can_be_put_into_the_file(wrong: Path, tmp_path: Path) -> None:
    """A line of the difference is YAML: without its sign it is what the test should have expected."""
    lines = invoke(wrong).stdout.splitlines()
    came = [line[8:] for line in lines if line.startswith("      + - {at: 5m") or "+ - {at: 8m, status" in line]
    text = SUITE.split("    findings:", maxsplit=1)[0] + "    findings:\n" + "".join(f"      {line}\n" for line in came)
    (tmp_path / "mended.yaml").write_text(text)
    assert invoke(tmp_path / "mended.yaml").exit_code == 0


def test_every_file_is_told_of_and_one_failure_is_enough(good: Path, wrong: Path, tmp_path: Path) -> None:
    """So is a file with errors in it: they are told, and the other files run."""
    assert invoke(wrong, good).exit_code == 1
    (tmp_path / "bad.yaml").write_text("test: []\n")
    result = invoke(tmp_path / "bad.yaml", good)
    assert result.exit_code == 1
    assert "bad.yaml:1:1: error: test: unknown key; did you mean 'tests'?" in result.stdout
    assert f"Unit testing: {good}\n  SUCCESS (2 tests)" in result.stdout


def test_run_chooses_tests_by_their_names(wrong: Path, good: Path) -> None:
    """A file without such a test is not told of."""
    result = invoke(wrong, "--run", "^ten")
    assert "FAILED (1 of 1 test)" in result.stdout
    assert "a runaway" not in result.stdout
    assert invoke(good, "--run", "runaway|nothing").stdout == f"Unit testing: {good}\n  SUCCESS (1 test)\n"


def test_json_is_one_object_a_test(good: Path, wrong: Path, tmp_path: Path) -> None:
    """With all that was compared; of a file with errors, one object with these."""
    (tmp_path / "bad.yaml").write_text("")
    result = invoke(good, wrong, tmp_path / "bad.yaml", "-o", "json")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["file"], one["test"], one["passed"]) for one in told] == [
        (str(good), "a runaway is throttled", True),
        (str(good), "ten are silent", True),
        (str(wrong), "a runaway is throttled", False),
        (str(wrong), "ten are silent", False),
        (str(tmp_path / "bad.yaml"), None, False),
    ]
    assert [one["outcome"] for one in told[2]["findings"]] == ["differs", "differs"]
    assert told[2]["findings"][1]["fields"] == ["at"]
    assert told[2]["findings"][1]["expected"] == {"at": "~9m", "status": "resolved"}
    assert told[2]["findings"][1]["got"]["at"] == "8m"
    assert [one["outcome"] for one in told[3]["findings"]] == ["unexpected"]
    assert "is empty" in told[4]["problems"][0]["message"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml"], "got nowhere.yaml, which is none"),
        (["."], "got ., which is none"),
        (["{good}", "--run", "nosuch"], "matches the name of no test"),
        (["{good}", "--run", "("], "expected a regular expression"),
    ],
)
def test_a_mistake_of_usage_is_one_line(arguments: list[str], words: str, good: Path) -> None:
    """And exit code 2, before anything runs."""
    result = invoke(*(argument.format(good=good) for argument in arguments))
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert words in str(result.exception)
    assert result.stdout == ""


def test_colours_are_for_terminals_only(wrong: Path) -> None:
    """Where they are wanted, the fields that differ stand out."""
    assert "\x1b[" not in invoke(wrong).stdout
    assert "\x1b[" in invoke(wrong, FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[" not in invoke(wrong, FORCE_COLOR="1", NO_COLOR="1", TERM="dumb").stdout


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    """Whatever characters stand in it."""
    (tmp_path / "it.yaml").write_text(WRONG.replace("name: a runaway is throttled", 'name: "\\e[2J gone"'))
    result = invoke(tmp_path / "it.yaml")
    assert "\x1b" not in result.stdout
    assert "\\x1b[2J gone" in result.stdout
