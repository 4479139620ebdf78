"""`Inputs`: how far the partitions of the inputs have been read and told, by the roll-ups that came of them.

That nothing is told does not mean that nothing happened: the worker that reads the partition may be away, or behind.
Only two things prove a silence: later roll-ups of the same partition, or a roll-up of the source `clock/TOPIC`, which
says that at a moment of the wall clock the partition had been read to its end.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct, field

from schemas.units import US

MINUTE_US: Final = 60 * US


class Silence(NamedTuple):
    """From when until when nothing came."""

    begin_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        return max(0, self.end_us - self.begin_us)


class Part(Struct, array_like=True):
    """One partition of an input. -1: not known."""

    newest_us: int = -1  # time of the newest roll-up of what it holds
    told_us: int = -1  # all minutes of requests until then are told
    until_us: int = -1  # it is known to have been read until then
    read_us: int = -1  # at that moment of the wall clock it was read to its end, and has told nothing since ...
    heard_us: int = -1  # ... then the newest request was of this second, told or not

    def tell(self, time_us: int) -> None:
        """A roll-up of what it holds. Those of one minute may come one after another, all with one time."""
        self.newest_us, self.read_us = max(self.newest_us, time_us), -1
        self.until_us = max(self.until_us, time_us)
        self.told_us = max(self.told_us, (self.newest_us - 1) // MINUTE_US * MINUTE_US)

    def mark(self, time_us: int, heard_us: int | None) -> None:
        """At that time of the wall clock it was read to its end."""
        self.read_us, self.heard_us = time_us, -1 if heard_us is None else heard_us
        self.until_us = max(self.until_us, time_us)
        self.told_us = max(self.told_us, self.newest_us // MINUTE_US * MINUTE_US)

    def silence(self, since_us: int) -> Silence:
        """The longest that is proven of somebody in whose last told minute, which ended at `since_us`, requests came.

        Requests that are heard and not told yet may be anybody's.
        """
        by_log = Silence(since_us, self.told_us)
        heard_us = self.heard_us if self.heard_us > self.told_us else since_us
        by_clock = Silence(max(since_us, heard_us), self.read_us)
        return max(by_log, by_clock, key=_length)


class Inputs(Struct, array_like=True):
    """All partitions of all inputs of which anything is known, by topic and number."""

    parts: dict[str, dict[int, Part]] = field(default_factory=dict)

    def part(self, topic: str, partition: int) -> Part:
        return self.parts.setdefault(topic, {}).setdefault(partition, Part())

    def of(self, topic: str) -> list[Part]:
        return list(self.parts.get(topic, {}).values())

    def until_us(self, topic: str) -> int:
        """Until when all of a topic is known to have been read; -1: nothing is."""
        return min((part.until_us for part in self.of(topic)), default=-1)

    def silence(self, topic: str, since_us: int) -> Silence:
        """What all its partitions prove together."""
        each = [part.silence(since_us) for part in self.of(topic)]
        begin_us = max((one.begin_us for one in each), default=0)
        return Silence(begin_us, min((one.end_us for one in each), default=0))

    @property
    def now_us(self) -> int:
        """The latest moment that any of them knows of."""
        return max((part.until_us for parts in self.parts.values() for part in parts.values()), default=-1)


def _length(silence: Silence) -> int:
    return silence.length_us
