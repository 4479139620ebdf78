"""Whom to forget: names in the order in which they were last heard of, and how far that order was forgotten.

Each hearing has a place, counted from 0. Whoever is forgotten was heard of before all that are kept; so one number,
the place of the last one forgotten, says of every state that a log may still hold whether it is dead: it is if it was
written no later than at that place. An older state of the same name has an earlier place, and is dead, too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

Name = TypeVar("Name", bound=Hashable)


class Heard(Struct, frozen=True, array_like=True):
    """When a name was last heard of: the event time of its log by then, and the place among all hearings."""

    time_us: int
    place: int


class Marks(Struct, array_like=True):
    """What belongs to no one name: how often any was heard of, and the place of the last one forgotten."""

    hearings: int = 0
    forgotten: int = -1


class Recency(Generic[Name]):
    """Who was heard of, those that were silent longest first. All of it is a function of the calls alone."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._heard: OrderedDict[Name, Heard] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, name: Name) -> bool:
        return name in self._heard

    def __getitem__(self, name: Name) -> Heard:
        return self._heard[name]

    def hear(self, name: Name, time_us: int) -> None:
        """A name is heard of; `time_us` never falls from one call to the next."""
        self._heard[name] = Heard(time_us, self.marks.hearings)
        self._heard.move_to_end(name)
        self.marks.hearings += 1

    def silent(self, before_us: int) -> Iterator[Name]:
        """Those of whom nothing was heard since then; forget each, or hear of it, before asking for the next."""
        while self._heard:
            name, heard = next(iter(self._heard.items()))
            if heard.time_us >= before_us:
                return
            yield name

    def longest_silent(self, most: int) -> Iterator[Name]:
        """Those that are beyond the `most` last heard of; forget each before asking for the next."""
        while len(self._heard) > most:
            yield next(iter(self._heard))

    def forget(self, name: Name) -> None:
        """Forget a name: the first of all."""
        self.marks.forgotten = max(self.marks.forgotten, self._heard.pop(name).place)

    def restore(self, marks: Marks, heard: Mapping[Name, Heard]) -> list[Name]:
        """Become what these describe. Returns the names that are forgotten, and were written all the same."""
        self.marks = marks
        for name, last in sorted(heard.items(), key=lambda item: item[1].place):
            if last.place > marks.forgotten:
                self._heard[name] = last
        return [name for name in heard if name not in self._heard]
