"""What a person or a program reads of the verdicts. A line of a difference is YAML that can be put into the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from rich.text import Text

from schemas.config import Seconds
from streams import narration
from streams.rule_tests.diff import Difference
from streams.rule_tests.expected import Within
from streams.rule_tests.reading import Suite
from streams.rule_tests.run import TIMES, Verdict

BRIEF: Final = ("at", "rule", "subject", "status", "severity", "value")  # what a finding that nobody expected tells
BRIEF_COMMAND: Final = ("at", "action", "endpoint", "rule", "parameters", "held")
WRONG: Final = "bold reverse"


class Colour(StrEnum):
    """Of a line."""

    SAME = "dim"
    EXPECTED = "red"
    GOT = "green"


def lines(file: Suite, verdicts: Mapping[int, Verdict]) -> Iterator[Text]:
    """A file as `promtool test rules` tells it; `verdicts` by the place of the test."""
    yield Text(f"Unit testing: {narration.printable(file.name)}")
    failed = [place for place, verdict in verdicts.items() if not verdict.passed]
    for place in failed:
        name = narration.printable(file.tests[place].name)
        yield Text(f"  FAILED: {name} ({file.name}:{file.lines[place]})", style="bold red")
        yield from _failure(verdicts[place])
    if failed or file.problems:
        yield from (Text(f"  {problem}") for problem in file.problems)
        yield Text(f"  FAILED ({len(failed)} of {_tests(len(verdicts))})" if failed else "  FAILED", style="bold red")
    else:
        yield Text(f"  SUCCESS ({_tests(len(verdicts))})", style="bold green")


def objects(file: Suite, verdicts: Mapping[int, Verdict]) -> Iterator[dict[str, Any]]:
    """One for each test; of a file that cannot be read, one with its problems."""
    if file.problems:
        problems = [problem._asdict() for problem in file.problems]
        yield {"file": file.name, "line": None, "test": None, "passed": False, "problems": problems}
    for place, verdict in verdicts.items():
        yield {
            "file": file.name,
            "line": file.lines[place],
            "test": file.tests[place].name,
            "passed": verdict.passed,
            "findings": [_object(difference) for difference in verdict.findings],
            "commands": [_object(difference) for difference in verdict.commands],
            "unread": list(verdict.unread),
        }


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"


def _failure(verdict: Verdict) -> Iterator[Text]:
    for reason in verdict.unread:
        yield Text(f"    {narration.printable(reason)}")
    for kind, found in (("findings", verdict.findings), ("commands", verdict.commands)):
        if not all(difference.is_same for difference in found):
            yield Text(f"    {kind}: - expected, + got")
            for difference in found:
                yield from _difference(difference, BRIEF if kind == "findings" else BRIEF_COMMAND)


def _difference(difference: Difference, brief: tuple[str, ...]) -> Iterator[Text]:
    expected, got, wrong = difference
    if expected is None:
        yield _line("+", {name: (got or {})[name] for name in brief}, Colour.GOT, (), "is not expected")
    elif got is None:
        yield _line("-", expected, Colour.EXPECTED, (), "did not come")
    elif not wrong:
        yield _line(" ", expected, Colour.SAME, (), "")
    else:
        yield _line("-", expected, Colour.EXPECTED, wrong, "")
        what = "differs in " + ", ".join(wrong)
        yield _line("+", {name: _asked(expected[name], got[name]) for name in expected}, Colour.GOT, wrong, what)


def _line(sign: str, fields: Mapping[str, Any], colour: Colour, wrong: tuple[str, ...], remark: str) -> Text:
    line = Text(f"      {sign} - {{", style=colour)
    for number, (name, value) in enumerate(fields.items()):
        line.append(", " if number else "")
        line.append(narration.printable(f"{name}: {_value(name, value)}"), style=WRONG if name in wrong else "")
    line.append("}")
    return line.append(f"  # {remark}") if remark else line


def _asked(expected: object, got: object) -> object:
    """Of a mapping, what was asked for; where that is not there, the whole of it shows what is."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        known = {name: _asked(one, got[name]) for name, one in expected.items() if name in got}
        return known if len(known) == len(expected) else got
    return got


def _value(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value('', one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value("", one) for one in value) + "]"
    if isinstance(value, float):
        return Seconds(value).text if name in TIMES else f"{value:.9g}"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)


def _object(difference: Difference) -> dict[str, Any]:
    expected, got, wrong = difference
    outcome = "unexpected" if expected is None else "missing" if got is None else "differs" if wrong else "same"
    return {"outcome": outcome, "expected": _plain(expected), "got": _plain(got), "fields": list(wrong)}


def _plain(fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """With numbers and times as they are written in the file."""
    if fields is None:
        return None
    times = {name: value.text for name, value in fields.items() if isinstance(value, (Seconds, Within))}
    return {**fields, **times}
