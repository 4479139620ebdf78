"""The words of a notification: two templates, `title` and `text`, each of one alert.

A field in braces stands for what it names: `{rule} on {subject}`, `{labels.team}`. `{{` and `}}` are braces. A label or
a detail that an alert does not have is empty. `tidegate check` finds what cannot be rendered, so rendering never fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Final, NamedTuple

from actions.receivers.interface import Fired

FIELDS: Final[Mapping[str, Callable[[Fired], str | None]]] = {
    "endpoint": lambda fired: fired.alert.endpoint,
    "ends_at": lambda fired: fired.ends_at,
    "episode": lambda fired: fired.alert.dedup_key,
    "rule": lambda fired: fired.alert.rule,
    "severity": lambda fired: fired.severity.value,
    "starts_at": lambda fired: fired.starts_at,
    "status": lambda fired: "firing" if fired.ends_at is None else "resolved",
    "subject": lambda fired: fired.alert.subject,
    "summary": lambda fired: fired.alert.summary,
}
MAPPINGS: Final[Mapping[str, Callable[[Fired], Mapping[str, object]]]] = {
    "details": lambda fired: fired.alert.details,
    "labels": lambda fired: fired.labels,
}
SHIPPED: Final[Mapping[str, str]] = {"title": "{severity}: {rule} on {subject}", "text": "{summary}"}


class Template:
    """A text with fields. Raises ValueError where one is not known."""

    def __init__(self, text: str) -> None:
        self._parts = list(_parts(text))

    def render(self, fired: Fired) -> str:
        return "".join(before + _value(field, fired) for before, field in self._parts)


class Templates(NamedTuple):
    """The title is short, the text says all."""

    title: Template
    text: Template


def parse(given: Mapping[str, str]) -> Templates:
    """The shipped ones, but for those that are given. Raises ValueError."""
    return Templates(**{name: Template(text) for name, text in {**SHIPPED, **given}.items()})


def wrong(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The templates that cannot be used, by name, and why."""
    for name, text in given.items():
        if name not in SHIPPED:
            yield name, f"unknown template; known are {', '.join(sorted(SHIPPED))}"
            continue
        try:
            Template(text)
        except ValueError as error:
            yield name, str(error)


def _parts(text: str) -> Iterator[tuple[str, str | None]]:
    for before, field, spec, conversion in Formatter().parse(text):
        if field is not None and (not _is_known(field) or spec or conversion):
            known = [*FIELDS, *(f"{name}.NAME" for name in MAPPINGS)]
            raise ValueError(f"unknown field {{{field}}}; known are {', '.join(sorted(known))}")
        yield before, field


def _is_known(field: str) -> bool:
    mapping, dot, name = field.partition(".")
    return bool(mapping in MAPPINGS and name) if dot else field in FIELDS


def _value(field: str | None, fired: Fired) -> str:
    if field is None:
        return ""
    mapping, dot, name = field.partition(".")
    found = MAPPINGS[mapping](fired).get(name) if dot else FIELDS[field](fired)
    return "" if found is None else str(found)


DEFAULT: Final = parse({})
