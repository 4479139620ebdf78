"""Where findings, commands and alerts are read from: here a replay's output, the topics in `topic_source.py`."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property

from streams.lines import STDIN, opened

Take = Callable[[bytes], None]


class Source(ABC):
    """Records that can be read more than once; `name` is how a person knows them."""

    name: str

    @abstractmethod
    def each(self, take: Take) -> int:
        """Hand over every record, in its order; how many there were."""


class FileSource(Source):
    """Lines of JSON in a file, or on standard input."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.name = "standard input" if file == STDIN else file

    def each(self, take: Take) -> int:
        if self._file == STDIN:
            return _hand_over(self._typed, take)
        with opened(self._file) as file:
            return _hand_over(file, take)

    @cached_property
    def _typed(self) -> list[bytes]:
        return sys.stdin.buffer.readlines()  # which can be read once only


def _hand_over(lines: Iterable[bytes], take: Take) -> int:
    read = 0
    for read, line in enumerate(lines, 1):  # noqa: B007 -- the last number is how many there were
        take(line)
    return read
