"""What can go wrong that a person can mend. Anything else is a bug, and stops loudly.

    TidegateError           a user's mistake or a broken dependency: one message, no traceback, exit code 1
    +-- UsageError          the command line asks for what cannot be: exit code 2
    +-- ConfigError         the configuration has errors: every one of them, with its line

A message names the value, what was expected, and where.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple


class TidegateError(Exception):
    """The message is for the person at the keyboard."""

    exit_code: ClassVar[int] = 1


class UsageError(TidegateError):
    """The command line asks for what cannot be."""

    exit_code = 2


class Problem(NamedTuple):
    """What is wrong in a configuration, and where. Lines and columns count from 1; line 0 is the file."""

    file: str
    line: int
    column: int
    path: str  # `rules.request_surge.ratio`
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.severity, self.path, self.message) if part)


class ConfigError(TidegateError):
    """A configuration that cannot be used; `problems` are its errors and warnings, by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


__all__ = ["ConfigError", "Problem", "TidegateError", "UsageError"]
