r"""Alertmanager's matchers: `severity="critical"`, `team!=search`, `rule=~"latency|error_rate"`, `subject!~"acme/.*"`.

A label that is not there is empty. A regular expression must match the whole value. Quotes may be left out where the
value has none; in quotes `\"`, `\n` and `\\` stand for a quote, a new line and a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Self

_FORM: Final = re.compile(
    r"\s*(?P<label>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>.*?)\s*", re.DOTALL
)
_QUOTED: Final = re.compile(r'"(?P<inside>(?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["n\\])')
_EXAMPLE: Final = 'such as severity="critical" or rule=~"latency|error_rate"'


class BadMatcher(ValueError):
    """A text is no matcher; the message says what was expected."""


class Matcher(NamedTuple):
    """What one label must be."""

    label: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one. Raises BadMatcher.

        >>> Matcher.parse('rule =~ "latency|error_.*"').matches({"rule": "error_rate"})
        True
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise BadMatcher(f"expected a label, one of = != =~ !~ and a value, {_EXAMPLE}, got {text!r}")
        matcher = cls(found["label"], found["operator"], _unquoted(found["value"], text))
        if "~" in matcher.operator:
            _compile(matcher.value, text)
        return matcher

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.label, "")
        is_same = _compiled(self.value).fullmatch(value) is not None if "~" in self.operator else value == self.value
        return is_same is not self.operator.startswith("!")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{self.label}{self.operator}"{escaped}"'


def parse_all(texts: Iterable[str]) -> tuple[Matcher, ...]:
    """Read several. Raises BadMatcher."""
    return tuple(Matcher.parse(text) for text in texts)


def match_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)


def _unquoted(value: str, text: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], quoted["inside"])
    if '"' in value:
        raise BadMatcher(f'expected quotes around the whole value, and \\" for one inside, got {text!r}')
    return value


def _compile(expression: str, text: str) -> None:
    try:
        _compiled(expression)
    except (re.error, OverflowError, RecursionError) as error:  # a{99999999999}, and a thousand brackets
        raise BadMatcher(f"expected a regular expression: {error}, got {text!r}") from error


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)
