"""`tidegate explain`: from an id to the whole story, out of a replay's output or out of the topics."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from actions import ActionFold
from actions.wording import figure
from detectors import SETTINGS
from schemas.outputs import Alert, Command, Finding, Severity
from schemas.topics import ALERTS, COMMANDS, FINDINGS
from schemas.units import from_rfc3339
from streams import broker, configuration, topics
from streams.cli import app
from streams.core_stage import encode
from streams.explain.search import Word, episode_of
from tests.actions.findings import finding, later, resolved, spend, surge
from tests.streams.explain.test_search import played
from tests.streams.test_replay import billing, replayed, requests, saved, scaling

CONFIG: Final = """\
mode: auto
endpoints:
  acme/llama: {price_usd_per_hour: 2.0}
  acme/bert:
    expected_max: 4
    price_usd_per_hour: 0.5
    mode: shadow
budgets:
  all: {daily_usd: 2400, endpoints: ["acme/*"]}
rules:
  request_surge: {ratio: 4}
"""


class Folder:
    """A folder with a configuration, and the output of a replay."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "tidegate.yaml"
        self.config_file.write_text(CONFIG)
        config = configuration.load(self.config_file, SETTINGS, {})
        files = saved(path, requests=requests(), scaling=scaling(), billing=billing())
        self.words = [word for word in replayed(config, files) if not isinstance(word, Alert)]
        self.log = path / "out.ndjson"
        self.log.write_bytes(b"".join(encode(word) + b"\n" for word in self.words))

    def run(self, *arguments: str, columns: int = 250) -> Result:
        environ = {"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}
        every = ("explain", *arguments, "--config", str(self.config_file))
        return CliRunner().invoke(app, every, env=environ)

    def told(self, identity: str) -> str:
        done = self.run(identity, "--from", str(self.log))
        assert done.exit_code == 0, done.output
        return done.stdout

    def fields(self, identity: str) -> dict[str, Any]:
        done = self.run(identity, "--from", str(self.log), "-o", "json")
        assert done.exit_code == 0, done.output
        (line,) = done.stdout.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    def finding(self, rule: str) -> Finding:
        """The first of the rule."""
        return next(word for word in self.words if isinstance(word, Finding) and word.rule == rule)

    def command(self, rule: str) -> Command:
        return next(word for word in self.words if isinstance(word, Command) and word.rule == rule)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("explain"))


def section(text: str, title: str) -> list[str]:
    """The lines of a section, without their indentation."""
    after = text.partition(f"\n{title}\n")[2]
    lines = re.split(r"\n\n(?=\S)", after, maxsplit=1)[0].splitlines()
    return [" ".join(line.split()) for line in lines]


def test_a_surge_is_explained(folder: Folder) -> None:
    """Seen, expected, configured, decided: each with its numbers and where they come from."""
    opened = folder.finding("request_surge")
    command = folder.command("request_surge")
    text = folder.told(opened.id[:8])
    assert text.startswith("request_surge on acme/llama: ")
    assert f"score {opened.score:.4g} (above 1 is anomalous)" in section(text, "What was seen")
    assert "O" in section(text, "The episode in requests/s")[8]
    expected = section(text, "What was expected")
    assert f"The limit: {figure(opened.threshold)} requests/s = ratio x normal" in expected
    assert "The learned normal at that moment, in requests/s:" in expected
    assert any(line.strip().startswith("level") for line in expected)
    assert "N > ratio x normal and N > high and N > chance(normal) and N >= min_rate x window" in expected
    assert "With N the number of requests in the last `window` seconds, the rule fires when" in expected
    numbers = section(text, "Where the numbers come from")
    assert f"ratio * 4.0 {folder.config_file}:11 (rules.request_surge.ratio)" in numbers
    assert "resolve_after 1m default (docs/rules/request_surge.md)" in numbers
    decided = section(text, "What was decided")
    assert decided[0] == f"The policy at severity {opened.severity}: throttle, as shipped (docs/actions.md)"
    assert f"{command.issued_at} command {command.id[:8]}" in decided
    assert f"mode mode: auto ({folder.config_file}:1)" in decided


def test_a_command_in_shadow_says_who_held_it(folder: Folder) -> None:
    """With the line of the mode; the restore that ended it is told too."""
    command = folder.command("runaway_replicas")
    decided = section(folder.told(command.id), "What was decided")
    assert "held mode is shadow" in decided
    assert f"mode endpoints.acme/bert.mode: shadow ({folder.config_file}:7)" in decided
    assert any(line.startswith("ended ") and "restored: command" in line for line in decided)


def test_an_episode_tells_its_whole_course(folder: Folder) -> None:
    """Every finding and every command of it, in order."""
    opened = folder.finding("request_surge")
    fields = folder.fields(opened.episode)
    own = [word.id for word in folder.words if isinstance(word, Word) and episode_of(word) == opened.episode]
    assert fields["kind"] == "episode"
    assert [step["id"] for step in fields["course"]] == own
    assert fields["finding"]["id"] == opened.id


def test_in_json_it_is_one_object_with_everything(folder: Folder) -> None:
    """The finding as it travels, the settings with their origins, the rulings."""
    opened = folder.finding("hourly_spend")
    fields = folder.fields(opened.id)
    assert fields["finding"] == json.loads(encode(opened))
    assert fields["expected"]["limit"] == "daily_usd / 24"
    assert fields["configured"]["changed"] is False
    facts = {fact["key"]: fact["origin"] for fact in fields["configured"]["facts"]}
    assert facts["budgets.all.daily_usd"] == f"{folder.config_file}:9"
    assert fields["policy"] == {"severity": "critical", "action": "throttle", "origin": "as shipped (docs/actions.md)"}


def test_standard_input_will_do(folder: Folder) -> None:
    """`replay -o json | explain ID --from -`, though it can be read once only."""
    opened = folder.finding("request_surge")
    arguments = ["explain", opened.id, "--from", "-", "-o", "json", "-c", str(folder.config_file)]
    done = CliRunner().invoke(app, arguments, input=folder.log.read_bytes())
    assert done.exit_code == 0, done.output
    told, from_file = json.loads(done.stdout), folder.fields(opened.id)
    assert told.pop("searched") == "standard input"
    assert from_file.pop("searched") == str(folder.log)
    assert told == from_file


def test_a_configuration_that_has_changed_is_said(folder: Folder, tmp_path: Path) -> None:
    """The lines are those of now: they may not be what the finding was made with."""
    opened = folder.finding("request_surge")
    other = tmp_path / "other.yaml"
    other.write_text("rules: {request_surge: {ratio: 9}}\n")
    done = CliRunner().invoke(app, ["explain", opened.id, "--from", str(folder.log), "--config", str(other)])
    numbers = " ".join(section(done.stdout, "Where the numbers come from"))
    assert numbers.startswith(
        f"The configuration has changed since: the finding was made with version {opened.config_version}"
    )
    assert "ratio * 9.0" in numbers
    assert "changed since" not in folder.told(opened.id)


def test_what_nothing_has_is_unknown(folder: Folder) -> None:
    """Exit code 1, with what was searched."""
    done = folder.run("123456789", "--from", str(folder.log))
    assert isinstance(done.exception, Exception)
    told = str(done.exception)
    assert "begins with 123456789" in told
    assert f"{len(folder.words)} records of {folder.log}" in told


@pytest.mark.parametrize("content", ["", CONFIG, '{"endpoint": "acme/bert", "time": 1}\n', "[]\nnull\n"])
def test_a_file_of_something_else_is_told_apart_from_an_unknown_id(
    folder: Folder, tmp_path: Path, content: str
) -> None:
    """A log of events, a table for people, nothing at all: what was expected is said, and records are not counted."""
    log = tmp_path / "other"
    log.write_text(content)
    done = folder.run("123456789", "--from", str(log))
    assert getattr(done.exception, "exit_code", 0) == 1
    assert str(done.exception) == (
        f"{log} holds no finding, command or alert; expected one object of JSON a line,"
        " as `tidegate replay -o json` prints them"
    )


def test_what_several_have_is_ambiguous(folder: Folder, tmp_path: Path) -> None:
    """All of them are listed."""
    word = json.loads(encode(folder.finding("request_surge")))
    twin = {**word, "id": word["id"][:8] + "0" * 24}
    log = tmp_path / "twins.ndjson"
    log.write_text(json.dumps(word) + "\n" + json.dumps(twin) + "\n")
    done = folder.run(word["id"][:8], "--from", str(log))
    told = str(done.exception)
    assert told.startswith(f"2 ids begin with {word['id'][:8]}:")
    assert word["id"] in told
    assert twin["id"] in told
    assert folder.run(word["id"][:9], "--from", str(log)).exit_code == (1 if word["id"][8] == "0" else 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("12345",), "expected 6 to 32 hexadecimal digits, got '12345'"),
        (("acme/bert",), "expected 6 to 32 hexadecimal digits, got 'acme/bert'"),
        (("0" * 33,), "expected 6 to 32 hexadecimal digits"),
        (("123456", "--from", "nowhere.ndjson"), "nowhere.ndjson"),
        (("123456", "--timeout", "soon"), "--timeout: expected a duration"),
    ],
)
def test_a_mistake_of_usage_is_named(folder: Folder, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, before any broker is asked."""
    done = folder.run(*arguments)
    assert getattr(done.exception, "exit_code", 0) == 2
    assert told in str(done.exception)


def test_without_the_finding_the_commands_still_speak(folder: Folder, tmp_path: Path) -> None:
    """Findings may be kept for a shorter time."""
    command = folder.command("request_surge")
    log = tmp_path / "commands.ndjson"
    log.write_bytes(encode(command) + b"\n")
    done = folder.run(command.id, "--from", str(log))
    assert done.exit_code == 0
    assert "its findings are not there any more" in done.stdout
    assert any(line.startswith("what Command sent: throttle") for line in section(done.stdout, "What was decided"))


def test_the_rule_is_told_with_its_default_numbers_as_such(tmp_path: Path) -> None:
    """It says 120 % whatever the settings are; the limit is the step that was passed, of the settings."""
    config, log = tmp_path / "own.yaml", tmp_path / "day.ndjson"
    config.write_text("budgets:\n  all: {daily_usd: 100, endpoints: ['*'], rules: {daily_spend: {warning: 1.1}}}\n")
    found = finding("daily_spend", "all", None, 0, severity=Severity.ERROR, value=155.0, threshold=110.0)
    log.write_bytes(encode(structs.replace(found, unit="USD", baseline=None)) + b"\n")
    done = CliRunner().invoke(app, ["explain", found.id, "--from", str(log), "-c", str(config)], env={"COLUMNS": "250"})
    expected = section(done.stdout, "What was expected")
    assert expected[1] == "The limit: 150 USD = error x daily_usd; the first step: 110 USD = warning x daily_usd"
    assert "The rule, with its default numbers; yours are below:" in expected
    assert "warning spend > 120 % of daily_usd" in expected


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(folder: Folder, columns: int) -> None:
    """Not even where it is narrow."""
    for rule in ("request_surge", "hourly_spend"):
        done = folder.run(folder.finding(rule).id, "--from", str(folder.log), columns=columns)
        assert max(map(cell_len, done.stdout.splitlines())) <= columns


def test_a_name_writes_nothing_but_its_line(folder: Folder, tmp_path: Path) -> None:
    """A name with control characters could clear the screen or forge a line."""
    evil = surge("acme/\x1b[2J\nfake", 0, evidence={"note": "\x1b[31m", "rows": [{"x": "\r"}]})
    log = tmp_path / "evil.ndjson"
    log.write_bytes(encode(evil) + b"\n")
    done = folder.run(evil.id, "--from", str(log))
    assert not set("\x1b\r") & set(done.stdout)
    assert "acme/\\x1b[2J\\nfake" in done.stdout


def test_evidence_that_is_long_is_cut(folder: Folder, tmp_path: Path) -> None:
    """A person sees the first rows of a list; the normal has a place of its own."""
    rows = [{"endpoint": f"acme/{n}", "replicas": n} for n in range(9)]
    normal = {"level": 5.0, "season": 1.5, "steps": 400, "hours_of_day_seen": 2}
    found = surge("acme/a", 0, evidence={"endpoints": rows, "normal": normal, "none": None})
    log = tmp_path / "long.ndjson"
    log.write_bytes(encode(found) + b"\n")
    text = folder.run(found.id, "--from", str(log)).stdout
    seen = section(text, "What was seen")
    assert "endpoints endpoint acme/0, replicas 0" in seen
    assert "and 4 more" in seen
    assert "none -" in seen
    assert not any("level" in line for line in seen)
    expected = section(text, "What was expected")
    for line in ("level 5.0", "season (what the hour adds) 1.5", "steps seen 400", "visits of this hour of the day 2"):
        assert line in expected


def test_a_long_course_is_cut_in_the_middle(folder: Folder, tmp_path: Path) -> None:
    """The beginning and the end are what is asked for; in JSON there is all."""
    opened = surge("acme/a", 0)
    words = [opened, *(later(opened, 60.0 * n) for n in range(1, 50))]
    log = tmp_path / "course.ndjson"
    log.write_bytes(b"".join(encode(word) + b"\n" for word in words))
    course = section(folder.run(opened.id, "--from", str(log)).stdout, "What was said")
    assert len(course) == 1 + 20 + 1
    assert "... 30 more (--output json has all)" in course
    assert course[-1].split()[3] == words[-1].id[:8]
    done = folder.run(opened.id, "--from", str(log), "-o", "json")
    assert len(json.loads(done.stdout)["course"]) == 50


def explained(file: Path, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["explain", *arguments, "--config", str(file), "-o", "json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_alert_tells_of_its_command_alone(folder: Folder, tmp_path: Path) -> None:
    """And of the finding that it is about."""
    words = played(surge("acme/a", 0), resolved(surge("acme/a", 0), 120))
    log = tmp_path / "alerts.ndjson"
    log.write_bytes(b"".join(encode(word) + b"\n" for word in words))
    (throttled,) = (word for word in words if isinstance(word, Alert) and word.command_id is not None)
    fields = json.loads(folder.run(throttled.id, "--from", str(log), "-o", "json").stdout)
    assert fields["kind"] == "alert"
    assert fields["finding"]["id"] == throttled.finding_id
    assert [command["id"] for command in fields["commands"]] == [throttled.command_id]
    kinds = [step["kind"] for step in fields["course"]]
    assert kinds == ["finding", "command", "alert", "alert", "finding", "command", "alert"]


def test_an_endpoint_of_a_budget_may_have_a_policy_of_its_own(tmp_path: Path) -> None:
    """It stands beside its command; where it is the budget's, it is not said again."""
    config = tmp_path / "own.yaml"
    config.write_text("mode: auto\nendpoints:\n  acme/a: {actions: {hourly_spend: shutdown}}\n")
    loaded = configuration.load(config, SETTINGS, {})
    found = spend(0, [("acme/a", 10, 2.0), ("acme/b", 10, 2.0)], value=100.0, threshold=1.0)
    fold = ActionFold(loaded)
    words = [found, *fold.apply(found, from_rfc3339(found.at))]
    log = tmp_path / "budget.ndjson"
    log.write_bytes(b"".join(encode(word) + b"\n" for word in words))
    done = CliRunner().invoke(app, ["explain", found.id, "--from", str(log), "-c", str(config)], env={"COLUMNS": "250"})
    decided = section(done.stdout, "What was decided")
    own = f"at severity critical: shutdown, endpoints.acme/a.actions.hourly_spend: shutdown ({config}:3)"
    assert decided[0] == "The policy at severity critical: throttle, as shipped (docs/actions.md)"
    assert [line for line in decided if line.startswith("policy ")] == [f"policy {own}"]


def test_a_broker_that_is_away_is_given_up_in_time(tmp_path: Path) -> None:
    """As `--timeout` says; the message names it."""
    file = tmp_path / "tidegate.yaml"
    file.write_text('kafka: {bootstrap_servers: "127.0.0.1:1"}')
    done = CliRunner().invoke(app, ["explain", "123456", "--config", str(file), "--timeout", "0s"])
    assert getattr(done.exception, "exit_code", 0) == 1
    assert str(done.exception).startswith("stopped after 0s, 0 records into control.findings.v1")
    assert "--timeout gives more time" in str(done.exception)


@pytest.mark.kafka
def test_the_topics_tell_the_same(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """Findings, commands and alerts are read from where the workers write them."""
    file = tmp_path / "tidegate.yaml"
    file.write_text(json.dumps({"mode": "auto", "kafka": {"bootstrap_servers": kafka, "topic_prefix": topic_prefix}}))
    config = configuration.load(file, SETTINGS, {})
    opened = surge("acme/a", 0)
    words = played(opened, resolved(opened, 120))

    async def write() -> None:
        await topics.declare(config)
        producer = broker.new_producer(config.kafka)
        await producer.start()
        names = {Finding: FINDINGS, Command: COMMANDS, Alert: ALERTS}
        for word in words:
            await producer.send_and_wait(topic_prefix + names[type(word)], encode(word), word.rule.encode())
        await producer.stop()

    asyncio.run(write())
    log = tmp_path / "out.ndjson"
    log.write_bytes(b"".join(encode(word) + b"\n" for word in words))
    for word in words:
        told, expected = explained(file, word.id), explained(file, word.id, "--from", str(log))
        assert topic_prefix + ALERTS in told.pop("searched")
        assert expected.pop("searched") == str(log)
        assert told == expected
    unknown = CliRunner().invoke(app, ["explain", "123456", "--config", str(file)])
    assert f"searched {len(words)} records of {topic_prefix}{FINDINGS}" in str(unknown.exception)
