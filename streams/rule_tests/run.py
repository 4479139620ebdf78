"""Plays a test through the core, by the very folds that the worker runs, and compares what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from schemas.config import Config, Seconds
from schemas.outputs import Alert, Command, Finding, Result, Status
from schemas.units import US, from_rfc3339
from streams.lines import Line
from streams.replay import Replay
from streams.rule_tests.diff import Difference, differences
from streams.rule_tests.format import RuleTest, given
from streams.rule_tests.logs import logs

CHUNK: Final = 10_000  # events that are folded at once
TIMES: Final = ("at", "opened_at", "expires_at")


class Verdict(NamedTuple):
    """What was compared, and the events that could not be read: a test with any of these fails."""

    findings: tuple[Difference, ...]
    commands: tuple[Difference, ...]
    unread: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.unread and all(found.is_same for found in (*self.findings, *self.commands))


class Played(NamedTuple):
    """Everything that came of a test."""

    values: list[Finding | Command | Alert]
    unread: list[str]


def play(test: RuleTest, config: Config) -> Played:
    """Feed the events of a test to the core."""
    unread: list[str] = []

    def complain(topic: str, place: int, reason: str) -> None:
        unread.append(f"{topic}: event {place + 1}: {reason}")

    replay = Replay(config, {}, complain)
    chunked = {topic: _chunks(log) for topic, log in logs(test).items()}
    said = replay.decide(chunked, test.until_us)
    return Played([value for value in said if not isinstance(value, Result)], unread)


def judge(test: RuleTest, config: Config) -> Verdict:
    """Play a test, and compare what came with what it expects."""
    values, unread = play(test, config)
    mine = [value for value in values if not test.rules or value.rule in test.rules]
    findings = [value for value in mine if isinstance(value, Finding)]
    shown = findings if test.updates else list(_without_updates(findings))
    commands = [value for value in mine if isinstance(value, Command)]
    return Verdict(
        _compared(test.findings, [_fields(finding, test) for finding in shown]),
        _compared(test.commands, [_fields(command, test) for command in commands]),
        tuple(unread),
    )


def _compared(expected: Iterable[Any] | None, got: list[dict[str, Any]]) -> tuple[Difference, ...]:
    return () if expected is None else tuple(differences([given(one) for one in expected], got))


def _without_updates(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Those that open or resolve, and those that are more severe than what was said before."""
    rank: dict[str, int] = {}
    for finding in findings:
        if finding.status is not Status.UPDATE or finding.severity.rank > rank[finding.episode]:
            yield finding
        rank[finding.episode] = finding.severity.rank


def _fields(value: Finding | Command, test: RuleTest) -> dict[str, Any]:
    """As plain data, with times from the start of the test; a command's is `at` like a finding's."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    if isinstance(value, Command):
        fields = {"at": fields.pop("issued_at"), **fields}
    for name in TIMES:
        if fields.get(name) is not None:
            fields[name] = Seconds((from_rfc3339(fields[name]) - test.start) / US)
    return fields


def _chunks(log: list[Line]) -> Iterator[list[Line]]:
    return (log[place : place + CHUNK] for place in range(0, len(log), CHUNK))
