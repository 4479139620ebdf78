"""Inhibition: while one alert fires, others that follow from it are not told. As Alertmanager has it.

A source is one endpoint's part in an episode: an episode of a budget may have shut down several. What matches both
sides of a rule is not inhibited by its like, and no episode by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from actions.alerting.matchers import match_all, parse_all
from schemas.outputs import Id
from schemas.receivers import Inhibition

Labels = Mapping[str, str]
Part = tuple[Id, str]  # an episode, and an endpoint or nothing

_NOBODY: Final[Mapping[Part, Labels]] = {}


class Inhibitor:
    """Who fires now, as far as it may inhibit."""

    def __init__(self, rules: Iterable[Inhibition]) -> None:
        self._rules = [_Rule(rule) for rule in rules]

    def fires(self, episode: Id, endpoint: str, labels: Labels) -> None:
        """The part of the episode has these labels now."""
        for rule in self._rules:
            rule.fires((episode, endpoint), labels)

    def is_over(self, episode: Id, endpoints: Iterable[str]) -> None:
        """None of the episode's parts fires any more."""
        for endpoint in endpoints:
            for rule in self._rules:
                rule.is_over((episode, endpoint))

    def is_inhibited(self, episode: Id, labels: Labels) -> bool:
        return any(rule.inhibits(episode, labels) for rule in self._rules)


class _Rule:
    """The sources of one rule, by what they must have in common with a target."""

    def __init__(self, rule: Inhibition) -> None:
        self._source, self._target = parse_all(rule.source), parse_all(rule.target)
        self._equal = rule.equal
        self._alike: dict[tuple[str, ...], dict[Part, Labels]] = {}
        self._common: dict[Part, tuple[str, ...]] = {}

    def fires(self, part: Part, labels: Labels) -> None:
        self.is_over(part)
        if match_all(self._source, labels):
            common = self._in_common(labels)
            self._common[part] = common
            self._alike.setdefault(common, {})[part] = labels

    def is_over(self, part: Part) -> None:
        common = self._common.pop(part, None)
        if common is not None:
            del self._alike[common][part]
            if not self._alike[common]:
                del self._alike[common]

    def inhibits(self, episode: Id, labels: Labels) -> bool:
        if not match_all(self._target, labels):
            return False
        is_source = match_all(self._source, labels)
        return any(
            part[0] != episode and not (is_source and match_all(self._target, source))
            for part, source in self._alike.get(self._in_common(labels), _NOBODY).items()
        )

    def _in_common(self, labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(label, "") for label in self._equal)
