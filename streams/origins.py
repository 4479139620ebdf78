"""Where a value of the configuration came from: the line of the file that gives it, or the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streams.typed_yaml import KeyPath
from streams.yaml_lines import Place


class Origin(NamedTuple):
    """A line of the configuration file, counted from 1, and the key that stands there."""

    file: str
    line: int
    path: KeyPath

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Origins:
    """The key paths that a file gives, such as `("rules", "request_surge", "ratio")`, with their places.

    What YAML's anchors and merges bring stands where it is written.
    """

    def __init__(self, file: str, places: Mapping[KeyPath, Place]) -> None:
        self.file = file
        self._places = places

    def first(self, paths: Iterable[KeyPath]) -> Origin | None:
        """Of the first of the paths that the file gives; None: the value is the default."""
        return next((Origin(self.file, self._places[path].line, path) for path in paths if path in self._places), None)


NO_FILE = Origins("", {})
