"""The rights that each process needs, as a table and as commands."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas import topics
from schemas.config import Config, Kafka
from schemas.executors import DryRun
from streams import acl
from streams.acl import Operation, Process, Right
from streams.cli import app
from streams.rights import BITS, NOT_SAID, operations
from streams.topics import needed

CONFIG = Config(kafka=Kafka(group="tg", topic_prefix="p."), executors={"hf": DryRun()})
TEXT = """
kafka: {bootstrap_servers: "kafka:9093", group: tg, topic_prefix: p.}
executors: {hf: {type: dry_run}, gateway: {type: dry_run}}
"""


def acls(folder: Path, *options: str, text: str = TEXT) -> Result:
    """What the verb prints."""
    file = folder / "tidegate.yaml"
    file.write_text(text)
    return CliRunner().invoke(app, ["topics", "acls", "--config", str(file), *options])


def writers(topic: str) -> set[Process]:
    """Who may write to a topic."""
    wanted = Right(Operation.WRITE, "topic", f"p.{topic}")
    return {process for process in Process if wanted in acl.rights(CONFIG, process, "hf")}


def test_every_topic_can_be_declared_and_nothing_else() -> None:
    """Who declares the topics has rights on all that the code needs."""
    declared = {right.name for right in acl.rights(CONFIG, Process.TOPICS)}
    assert declared >= {topic.name for topic in needed(CONFIG)}


def test_who_may_say_what_is_told_apart() -> None:
    """Commands are the worker's alone, orders those of operators; findings are also sent again from dead letters."""
    assert writers(topics.COMMANDS) == {Process.WORKER}
    assert writers(topics.ALERTS) == {Process.WORKER}
    assert Process.EXECUTE in writers(topics.RESULTS)
    assert Process.OPERATOR in writers(topics.APPROVALS)
    assert writers(topics.FINDINGS) == {Process.WORKER, Process.DEAD_LETTERS}


def test_names_are_those_of_the_configuration() -> None:
    """The prefix goes before topics, not before groups; each executor has a group of its own."""
    rights = acl.rights(CONFIG, Process.EXECUTE, "hf")
    assert Right(Operation.READ, "group", "tg.execute.hf") in rights
    assert {right.name for right in rights if right.kind == "topic"} == {f"p.{topics.COMMANDS}", f"p.{topics.RESULTS}"}


def test_the_commands_give_exactly_the_rights(tmp_path: Path) -> None:
    """Read as a shell reads them, they are the table."""
    ran = acls(tmp_path, "--process", "worker", "--principal", "User:me")
    lines = [shlex.split(line) for line in ran.stdout.splitlines() if not line.startswith("#")]
    given = set()
    for words in lines:
        assert words[:3] == ["kafka-acls.sh", "--bootstrap-server", "kafka:9093"]
        assert words[words.index("--allow-principal") + 1] == "User:me"
        operation = Operation(words[words.index("--operation") + 1])
        pairs = pairwise(words)
        given |= {Right(operation, "topic" if word == "--topic" else "group", name)
                  for word, name in pairs if word in {"--topic", "--group"}}  # fmt: skip
    assert given == set(acl.rights(CONFIG, Process.WORKER))


def test_every_executor_has_a_user_of_its_own(tmp_path: Path) -> None:
    """As programs read it: one right a line."""
    ran = acls(tmp_path, "--process", "execute", "--output", "json")
    principals = {json.loads(line)["principal"] for line in ran.stdout.splitlines()}
    assert principals == {"User:tidegate-execute-hf", "User:tidegate-execute-gateway"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--principal", "User:me"), "needs --process"),
        (("--process", "execute", "--principal", "User:me"), "needs --process"),
        (("--executor", "nobody"), "no executor 'nobody'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    """One user with the rights of all would be the opposite of what this is for."""
    ran = acls(tmp_path, *options)
    assert message in str(ran.exception)


def test_a_process_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """Without executors there is nothing to execute."""
    assert "no executors" in str(acls(tmp_path, "--process", "execute", text="{}").exception)


def test_a_broker_that_says_nothing_of_rights_denies_none() -> None:
    """One without this part of the protocol must not keep a worker from starting."""
    assert operations(NOT_SAID) == set(BITS)
    assert operations(0) == set()
    assert operations(1 << 4) == {Operation.WRITE}


def test_a_command_is_one_command_whatever_the_names_are() -> None:
    """An administrator pastes them: the name of a certificate has spaces, and other names may have worse."""
    config = Config(kafka=Kafka(group="tg"), executors={"a; reboot": DryRun()})
    granted = acl.rights(config, Process.EXECUTE, "a; reboot")
    for line in acl.commands(config, granted, "User:CN=tide gate,O=Acme $HOME"):
        words = shlex.split(line)
        assert words[words.index("--allow-principal") + 1] == "User:CN=tide gate,O=Acme $HOME"
        assert not any(word in {"reboot", ";"} for word in shlex.shlex(line, posix=True, punctuation_chars=True))
