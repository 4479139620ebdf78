"""The explanation as one value: what `--output json` prints, and what the page for people is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct

from schemas.config import Config
from schemas.outputs import Alert, Command, Finding
from streams.explain.decision import Policy, Ruling, policy_of, ruling
from streams.explain.limits import Passed, limit, passed, specification
from streams.explain.search import Kind, Named, Trail, Word, kind_of, sentence, when
from streams.explain.settings import Setting, Values, subject_of
from streams.origins import Origins


class Step(Struct, frozen=True):
    """One thing in the course of the episode. `what`: a finding's status, an action, firing or resolved."""

    at: str
    kind: Kind
    id: str
    what: str
    severity: str | None
    value: float | None
    threshold: float | None
    held: str | None
    sentence: str


class Expected(Struct, frozen=True):
    """Why the value was not what it should be: the rule in its own words, the model, and the limit.

    `normal` is the learned model at that moment: level, season, noise, expected, low, high, steps and visits.
    `limit` says what the threshold is made of, such as `ratio x normal`; `step` which one of a ladder was passed, if
    that is not the threshold, which is the first.
    """

    rule_says: str
    specification: str
    baseline: float | None
    normal: dict[str, Any] | None
    threshold: float
    unit: str
    limit: str | None
    step: Passed | None


class Configured(Struct, frozen=True):
    """The configuration that is asked now, and the one that the finding was made with."""

    file: str | None
    version: str
    version_then: str
    changed: bool
    settings: tuple[Setting, ...]  # of the rule
    facts: tuple[Setting, ...]  # about the endpoint or the budget


class Explanation(Struct, frozen=True):
    """`finding` is the one that is explained; None, with all that follows from it, if it is not there any more."""

    id: str
    kind: Kind
    episode: str
    searched: str
    finding: Finding | None
    sentence: str | None
    expected: Expected | None
    configured: Configured | None
    policy: Policy | None
    commands: tuple[Ruling, ...]
    course: tuple[Step, ...]
    findings: tuple[Finding, ...]  # of the episode, in order


class Case(NamedTuple):
    """What was found, and where."""

    named: Named
    trail: Trail
    searched: str


def explain(case: Case, config: Config, origins: Origins) -> Explanation:
    """Everything that can be told of an id."""
    values = Values(config, origins)
    finding = _explained(case)
    course = case.trail.course()
    return Explanation(
        id=case.named.id,
        kind=case.named.kind,
        episode=case.named.episode,
        searched=case.searched,
        finding=finding,
        sentence=None if finding is None else sentence(finding),
        expected=None if finding is None else _expected(finding, values),
        configured=None if finding is None else _configured(finding, values),
        policy=None if finding is None else policy_of(finding, finding.endpoint, values),
        commands=tuple(_ruling(command, finding, case.trail, values) for command in _commands(case)),
        course=tuple(map(_step, course)),
        findings=tuple(case.trail.findings()),
    )


def _explained(case: Case) -> Finding | None:
    """The finding itself, or the one that a command or an alert is about; of an episode the first."""
    words = case.trail.words
    word = words.get(case.named.id)
    if isinstance(word, Command | Alert):
        word = words.get(word.finding_id or "")
    return word if isinstance(word, Finding) else next(iter(case.trail.findings()), None)


def _commands(case: Case) -> list[Command]:
    """The one that was asked for comes alone, and so does the one that an alert tells of."""
    word = case.trail.words.get(case.named.id)
    if isinstance(word, Alert):
        word = case.trail.words.get(word.command_id or "")
    return [word] if isinstance(word, Command) else case.trail.commands()


def _ruling(command: Command, finding: Finding | None, trail: Trail, values: Values) -> Ruling:
    """With the policy for its own endpoint and the severity of its own finding; `finding` where that is not there."""
    word = trail.words.get(command.finding_id)
    own = word if isinstance(word, Finding) else finding
    policy = None if own is None else policy_of(own, command.endpoint, values)
    return ruling(command, trail.later.get(command.id), policy, values)


def _expected(finding: Finding, values: Values) -> Expected:
    subject = subject_of(finding, values.config)
    spec = specification(finding.rule)
    normal = finding.evidence.get("normal")
    settings, facts = values.of_rule(subject), values.of_subject(subject)
    return Expected(
        rule_says=spec.says,
        specification=spec.exactly,
        baseline=finding.baseline,
        normal=normal if isinstance(normal, dict) else None,
        threshold=finding.threshold,
        unit=finding.unit,
        limit=limit(finding, settings, facts),
        step=passed(finding, settings, facts),
    )


def _configured(finding: Finding, values: Values) -> Configured:
    subject = subject_of(finding, values.config)
    version = values.config.version
    return Configured(
        file=values.origins.file or None,
        version=version,
        version_then=finding.config_version,
        changed=version != finding.config_version,
        settings=tuple(values.of_rule(subject)),
        facts=tuple(values.of_subject(subject)),
    )


def _step(word: Word) -> Step:
    measured = word if isinstance(word, Finding) else None
    return Step(
        at=when(word),
        kind=kind_of(word),
        id=word.id,
        what=(word.action if isinstance(word, Command) else word.status),
        severity=None if isinstance(word, Command) else word.severity,
        value=None if measured is None else measured.value,
        threshold=None if measured is None else measured.threshold,
        held=word.held if isinstance(word, Command) else None,
        sentence=sentence(word),
    )
