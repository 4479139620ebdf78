"""The command line: it teaches, it answers a mistake with one line, and it ends with the right code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from streams.cli import app

WAIT_S: Final = 60.0
TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; main()")
GOOD: Final = """
endpoints:
  acme/bert: {expected_max: 4, price_usd_per_hour: 0.5}
budgets:
  all: {daily_usd: 240, endpoints: ["acme/*"]}
"""
STOPPED: Final = """
mode: auto
endpoints:
  acme/bert: {expected_max: 4, price_usd_per_hour: 0.5}
  acme/llama: {expected_max: 4, max_replicas: 6, price_usd_per_hour: 20, mode: shadow}
budgets:
  all: {daily_usd: 240, endpoints: ["acme/*"]}
executors:
  hf: {type: huggingface, token: hf_x, timeout: 1s, settle_within: 50s}
safety: {cooldown: 5m, poll_interval: 50s}
"""
BAD: Final = """
endpoints:
  acme/bert: {expected_mx: 4, price_usd_per_hour: -1}
rules:
  request_surge: {ratio: high}
"""
PASSWORD: Final = "hunter2-and-more"  # noqa: S105 -- invented
SECRET: Final = f"""
kafka:
  bootstrap_servers: localhost:1
  security: {{protocol: SASL_PLAINTEXT, username: me, password: "{PASSWORD}", mechanism: [nonsense]}}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tidegate` as a shell runs it, in a folder."""
    environ = {name: value for name, value in os.environ.items() if name != "TIDEGATE_CONFIG"}
    return subprocess.run(
        [*TIDEGATE, *arguments], cwd=folder, capture_output=True, text=True, timeout=WAIT_S, check=False, env=environ
    )


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ((), ["demo", "run", "execute", "replay", "check", "topics", "explain", "version"]),
        (("demo",), ["Kafka", "--kafka", "HOST:PORT", "--seed", "--output", "Exits with 0 only if"]),
        (("run",), ["--config", "TIDEGATE_CONFIG", "SIGTERM", "SIGHUP", "/metrics", "/-/ready"]),
        (("replay",), ["--requests", "--scaling", "--billing", "--strict", "--all", "NDJSON", "CSV", "standard input"]),
        (("execute",), ["--executor", "NAME", "--port", "--dry-run", "control.results.v1", "expiry", "SIGTERM"]),
        (("check",), ["--config", "--output", "each problem with its line", "no network"]),
        (("topics",), ["create"]),
        (("topics", "create"), ["--partitions", "--replication", "left as it is"]),
        (("dlq",), ["ls", "show", "replay"]),
        (("dlq", "ls"), ["--topic", "--since", "error.type"]),
        (("dlq", "show"), ["--why", "--offset", "--limit"]),
        (("dlq", "replay"), ["--dry-run", "--again", "--yes", "tidegate.replayed", "counted as late"]),
        (("test",), ["rules"]),
        (("test", "rules"), ["FILE...", "--run", "REGEX", "--output", "10/s for 15m", "Exits with 1 if"]),
        (
            ("explain",),
            ["ID", "--from", "--timeout", "--config", "--output", "as the configuration is now", "Exits with 1"],
        ),
        (("version",), ["--output"]),
    ],
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_teaches(verb: tuple[str, ...], words: list[str], flag: str) -> None:
    """Each verb says what it does and what each option is for."""
    result = invoke(*verb, flag)
    shown = " ".join(result.stdout.replace("│", " ").split())
    assert result.exit_code == 0
    for word in words:
        assert word in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "--reqests", "x"),
        ("nosuchverb",),
        ("check", "--output", "xml"),
        ("demo", "--seed", "one"),
        ("topics", "create", "--partitions", "0"),
        ("version", "extra"),
    ],
)
def test_an_unknown_option_verb_or_value_is_a_mistake_of_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Exit code 2, what was wrong on stderr, nothing on stdout."""
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [("run",), ("check",), ("topics", "create"), ("replay", "--requests", "-")])
def test_a_configuration_that_is_not_there_is_named(verb: tuple[str, ...], tmp_path: Path) -> None:
    """With its path, and how to name another one."""
    done = run(tmp_path, *verb, "--config", "nowhere/tide.yaml")
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "nowhere/tide.yaml" in told
    assert "not found" in told
    assert "--config" in told
    assert "Traceback" not in told


def test_without_a_name_the_configuration_is_tidegate_yaml(tmp_path: Path) -> None:
    """`run` and `check` insist on it; TIDEGATE_CONFIG names another one."""
    assert "tidegate.yaml" in run(tmp_path, "run").stderr
    (tmp_path / "tidegate.yaml").write_text(GOOD)
    assert run(tmp_path, "check").returncode == 0
    named = CliRunner().invoke(app, ["check"], env={"TIDEGATE_CONFIG": str(tmp_path / "other.yaml")})
    assert named.exit_code == 1
    assert "other.yaml" in named.stdout


def test_check_names_each_problem_with_its_line(tmp_path: Path) -> None:
    """One line each on stdout, and exit code 1."""
    (tmp_path / "tidegate.yaml").write_text(BAD)
    done = run(tmp_path, "check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[1] for line in lines] == ["3", "3", "5"]
    assert "expected_max" in lines[0]
    assert done.stderr == ""


def test_check_in_json_is_one_object_a_line(tmp_path: Path) -> None:
    """With the fields of a problem; nothing at all when all is well."""
    file = tmp_path / "tidegate.yaml"
    file.write_text(BAD)
    result = invoke("check", "--config", str(file), "--output", "json")
    problems = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [problem["line"] for problem in problems] == [3, 3, 5]
    assert all(problem["file"] == str(file) and problem["severity"] == "error" for problem in problems)
    file.write_text("mode: auto")
    fine = invoke("check", "-c", str(file), "-o", "json")
    assert (fine.exit_code, [json.loads(line)["severity"] for line in fine.stdout.splitlines()]) == (0, ["warning"])


def test_check_says_that_all_is_well(tmp_path: Path) -> None:
    """With what was read, so that a typing error in a section's name cannot hide."""
    (tmp_path / "tidegate.yaml").write_text(GOOD)
    done = run(tmp_path, "check")
    assert done.returncode == 0
    assert "ok" in done.stdout
    assert "endpoints: 1; budgets: 1" in done.stdout


def test_check_says_what_a_breach_can_cost(tmp_path: Path) -> None:
    """In dollars and seconds, for each endpoint with a price and each budget, for people and for programs."""
    file = tmp_path / "tidegate.yaml"
    file.write_text(STOPPED)
    table = invoke("check", "-c", str(file)).stdout.splitlines()
    [bert] = [line.split() for line in table if line.startswith("runaway_replicas") and "acme/bert" in line]
    assert bert == ["runaway_replicas", "acme/bert", "4*", "2.00", "2m52s", "0.13", "0.36"]
    assert any(line.startswith("hourly_spend") and "1 of 2 not stopped: mode is shadow" in line for line in table)
    objects = [json.loads(line) for line in invoke("check", "-c", str(file), "-o", "json").stdout.splitlines()]
    [same] = [each for each in objects if each.get("subject") == "acme/bert" and each["rule"] == "runaway_replicas"]
    assert same["seconds"] == sum(same["parts"][part] for part in ("observe_s", "decide_s", "execute_s", "settle_s"))
    assert same["worst_usd"] == pytest.approx((same["seconds"] + 60) * 2.0 / 3600, abs=1e-9)


def test_check_says_why_no_breach_is_stopped(tmp_path: Path) -> None:
    """In one line, if that holds for all."""
    (tmp_path / "tidegate.yaml").write_text(GOOD)
    told = invoke("check", "-c", str(tmp_path / "tidegate.yaml")).stdout
    assert told.splitlines()[-1] == "No breach is stopped by itself: mode is shadow"


def test_the_version_is_that_of_the_package() -> None:
    """For people and for programs."""
    number = version("tidegate")
    assert invoke("version").stdout == f"tidegate {number}\n"
    assert json.loads(invoke("version", "-o", "json").stdout) == {"version": number}


@pytest.mark.parametrize("verb", [("check",), ("run",), ("topics", "create"), ("replay", "--requests", "-")])
def test_a_secret_appears_nowhere(verb: tuple[str, ...], tmp_path: Path) -> None:
    """Not even in the complaint about the line in which it stands."""
    (tmp_path / "tidegate.yaml").write_text(SECRET)
    done = run(tmp_path, *verb)
    assert done.returncode == 1
    assert PASSWORD not in done.stdout + done.stderr


def test_replay_asks_for_no_broker(tmp_path: Path) -> None:
    """Whatever address the configuration names."""
    (tmp_path / "tidegate.yaml").write_text(GOOD + 'kafka: {bootstrap_servers: "nowhere.invalid:9092"}\n')
    (tmp_path / "log.csv").write_text("endpoint,time\nacme/bert,1\n")
    done = run(tmp_path, "replay", "--requests", "log.csv")
    assert done.returncode == 0, done.stderr
    assert "1 events read" in done.stderr


def test_what_is_printed_into_a_closed_pipe_is_dropped_in_silence(tmp_path: Path) -> None:
    """`tidegate version | true` shows no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*TIDEGATE, "version"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, timeout=WAIT_S, check=False)
    os.close(writer)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "executors: {gate: {type: dry_run}}",
            "no executor 'gte' among gate; did you mean 'gate'?",
        ),
        ("executors: {gte: {type: dry_run}}", "signing.trusted is empty, so every command would be refused"),
    ],
)
def test_an_executor_that_could_do_nothing_does_not_start(tmp_path: Path, text: str, says: str) -> None:
    """One line says why, before anything connects."""
    (tmp_path / "tidegate.yaml").write_text(text)
    ran = run(tmp_path, "execute", "--executor", "gte")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [f"tidegate: execute: {says}"]
