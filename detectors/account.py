"""What one endpoint costs one budget: its replicas over time, and the lines of its bills.

What it costs at a moment is, in this order: what a bill says of it (its cost spread evenly over its period), else what
a provider's estimated line says, else its replicas times its price. The replicas hold until the next report, so an
endpoint that falls silent goes on costing. A credit is subtracted, and replaces nothing: it does not say what was used.

Money is integers: replicas x microseconds are summed, multiplied by the price, and rounded once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from msgspec import Struct, field, structs

from schemas.outputs import Bill, derive_id
from schemas.units import HOUR_US

LARGEST: Final = 2**63 - 1  # nano-dollars that state can hold: nine billion dollars
SLOT_US: Final = HOUR_US // 4  # into which old history is drawn together: every midnight ends one, in whatever zone

Interval = tuple[int, int]
Step = tuple[int, int]  # from this time on, so many replicas; or until then, so much
Kind = tuple[bool, bool, bool]


class Cost(NamedTuple):
    """What was spent in an interval: nano-dollars by bills, and replicas x microseconds that no bill tells of."""

    billed_nano: int = 0
    replica_us: int = 0

    def at(self, price_nano: int) -> int:
        """Nano-dollars, at so many per replica and hour."""
        return self.billed_nano + rounded(self.replica_us * price_nano)


class Account(Struct, array_like=True):
    """`steps` is sorted by time, `bills` by end; these have each line once, with a digest of its id."""

    steps: list[Step] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)

    def scale(self, time_us: int, replicas: int, now_us: int) -> int:
        """So many replicas from then on; of two reports of one moment the larger holds.

        Returns how many replica-microseconds this adds before now; below 0 where it takes some away.
        """
        after = bisect_right(self.steps, time_us, key=_time)
        since, before = self.steps[after - 1] if after else (-1, 0)
        until_us = self.steps[after][0] if after < len(self.steps) else now_us
        if since == time_us:
            replicas = max(replicas, before)
            self.steps[after - 1] = (time_us, replicas)
        else:
            self.steps.insert(after, (time_us, replicas))
        return (replicas - before) * max(0, until_us - time_us)

    def charge(self, bill: Bill) -> bool:
        """Add a line of a bill, unless it was counted already."""
        digest = None if bill.line_id is None else derive_id("line", bill.line_id)
        if digest is not None and any(known.line_id == digest for known in self.bills):
            return False
        insort(self.bills, structs.replace(bill, line_id=digest), key=_end)
        return True

    def thin(self, before_us: int) -> None:
        """Before then, let each slot have two steps at most, and the same replica-time as it had.

        A whole number of replicas for one part of the slot, and one more for the other. The sum of a day stays exact;
        what a bill replaces is so only if its period ends with slots.
        """
        old = bisect_left(self.steps, before_us // SLOT_US * SLOT_US, key=_time)
        thinned: dict[int, int] = {}
        for slot, grouped in groupby(self.steps[:old], key=lambda step: step[0] // SLOT_US):
            steps, start_us = list(grouped), slot * SLOT_US
            if len(steps) > 2:  # noqa: PLR2004 -- see above
                replicas, more_us = divmod(self._replica_us(start_us, start_us + SLOT_US), SLOT_US)
                last = steps[-1][1]
                steps = [(start_us, replicas + (more_us > 0)), (start_us + more_us, replicas)]
                steps.append((start_us + SLOT_US, last))
            thinned.update(steps)
        self.steps = list((thinned | dict(self.steps[old:])).items())

    def condense(self, most: int, before_us: int) -> None:
        """Add up lines until there are about so many.

        First those that ended before then: of one kind, in one slot, and of one period or each where the last one
        ended, which loses nothing but the ids. Then all of one period; then each two of one kind that end one
        after another, which spreads what the two cost over both of their periods.
        """
        recent = bisect_left(self.bills, before_us, key=_end)
        self._set(_adjoined(self.bills[:recent]) + self.bills[recent:])
        if len(self.bills) > most:
            self._set(_of_one_period(self.bills))
        if len(self.bills) > most:
            kinds = [list(alike) for _, alike in groupby(sorted(self.bills, key=_kind_and_period), key=_kind)]
            self._set([_total(alike[i : i + 2]) for alike in kinds for i in range(0, len(alike), 2)])

    def _set(self, bills: Sequence[Bill]) -> None:
        self.bills = sorted(bills, key=_end)

    def is_billed(self, since_us: int) -> bool:
        """Whether a line says what was, or will be, spent since then."""
        return bool(self.bills) and self.bills[-1].end_us >= since_us

    @property
    def replicas(self) -> int:
        """How many there are by the newest report."""
        return self.steps[-1][1] if self.steps else 0

    @property
    def up_since_us(self) -> int | None:
        """Since when there have been any without a break, as far as reports are kept; None: there are none."""
        since_us = None
        for time_us, replicas in reversed(self.steps):
            if not replicas:
                break
            since_us = time_us
        return since_us

    def spend(self, start_us: int, end_us: int, price_nano: int) -> int:
        """Nano-dollars spent in [start, end) at so many nano-dollars per replica and hour."""
        return self.cost(start_us, end_us).at(price_nano)

    def ceiling(self, start_us: int, end_us: int, price_nano: int) -> int:
        """At least as much, and still so once credits have left the window or roundings fall otherwise."""
        near = [bill for bill in self.near(start_us, end_us) if bill.cost_nano >= 0]
        return self._cost((start_us, end_us), near).at(price_nano) + self.roundings

    @property
    def roundings(self) -> int:
        """How many numbers are rounded for a spend."""
        return 1 + len(self.bills)

    def cost(self, start_us: int, end_us: int) -> Cost:
        """What was spent in [start, end)."""
        return self._cost((start_us, end_us), self.near(start_us, end_us))

    def settled_us(self, now_us: int) -> int:
        """Before when all lines have ended, and after when none began before: what was spent up to there is settled."""
        quiet_us = now_us
        for bill in reversed(self.bills):
            if bill.end_us <= quiet_us:
                return bill.end_us
            quiet_us = min(quiet_us, bill.start_us)
        return 0

    def near(self, start_us: int, end_us: int) -> list[Bill]:
        """The lines that may say what was spent in [start, end)."""
        return [
            bill
            for bill in self.bills[bisect_left(self.bills, start_us, key=_end) :]
            if bill.start_us < end_us and (start_us < bill.end_us or start_us == bill.start_us)
        ]

    def _cost(self, interval: Interval, near: Sequence[Bill]) -> Cost:
        if not near:
            return Cost(0, self._replica_us(*interval))
        final = [bill for bill in near if not bill.estimated]
        estimated = [bill for bill in near if bill.estimated]
        window = [interval]
        unbilled = _without(window, _charged(final))
        unknown = _without(unbilled, _charged(estimated))
        billed = sum(share(bill, window) for bill in final) + sum(share(bill, unbilled) for bill in estimated)
        return Cost(billed, sum(self._replica_us(start, end) for start, end in unknown))

    def _replica_us(self, start_us: int, end_us: int) -> int:
        """Replicas x microseconds in [start, end)."""
        total, until = 0, end_us
        for since, replicas in reversed(self.steps):
            if since < until:
                total += replicas * (until - max(since, start_us))
                until = max(since, start_us)
            if since <= start_us:
                break
        return total

    def forget(self, before_us: int, merge_us: int) -> None:
        """Drop what ended before; steps before `merge_us` that change nothing can no longer matter either."""
        self.bills = self.bills[bisect_left(self.bills, before_us, key=_end) :]
        first = max(0, bisect_right(self.steps, before_us, key=_time) - 1)
        kept: list[Step] = []
        for step in self.steps[first:]:
            if not (kept and step[0] < merge_us and kept[-1][1] == step[1]):
                kept.append(step)
        self.steps = kept


def rounded(usage: int) -> int:
    """Replicas x microseconds x nano-dollars per hour, as nano-dollars."""
    return (usage + HOUR_US // 2) // HOUR_US


def share(bill: Bill, windows: Sequence[Interval]) -> int:
    """The part of a line that falls into the windows. A line without length counts where it stands."""
    length = bill.end_us - bill.start_us
    if length == 0:
        return bill.cost_nano if any(start <= bill.start_us < end for start, end in windows) else 0
    inside = sum(max(0, min(end, bill.end_us) - max(start, bill.start_us)) for start, end in windows)
    return (2 * bill.cost_nano * inside + length) // (2 * length)


def hourly(bill: Bill, now_us: int) -> Step | None:
    """When a line ends, and what it costs an hour until then; None if it ended already, or is a credit."""
    end_us = max(bill.end_us, bill.start_us + 1)
    if bill.cost_nano <= 0 or end_us <= now_us:
        return None
    return end_us, -(-bill.cost_nano * HOUR_US // (end_us - bill.start_us))


def _time(step: Step) -> int:
    return step[0]


def _end(bill: Bill) -> int:
    return bill.end_us


def _kind(bill: Bill) -> Kind:
    """Lines of one kind replace the same: estimated or final; a charge or a credit; over a time or at a moment."""
    return bill.estimated, bill.cost_nano < 0, bill.start_us == bill.end_us


def _kind_and_period(bill: Bill) -> tuple[Kind, int, int]:
    return _kind(bill), bill.end_us, bill.start_us


def _of_one_period(bills: Sequence[Bill]) -> list[Bill]:
    lines = sorted(bills, key=_kind_and_period)
    return [_total(list(same)) for _, same in groupby(lines, key=_kind_and_period)]


def _adjoined(bills: Sequence[Bill]) -> list[Bill]:
    """Lines of one kind and period added up, then those that follow one another without a gap within a slot."""
    lines: list[Bill] = []
    for bill in _of_one_period(bills):
        if lines and _adjoin(lines[-1], bill):
            lines[-1] = _total([lines[-1], bill])
        else:
            lines.append(bill)
    return lines


def _adjoin(one: Bill, other: Bill) -> bool:
    same_slot = one.start_us // SLOT_US == (other.end_us - 1) // SLOT_US
    return same_slot and one.end_us == other.start_us and _kind(one) == _kind(other)


def _total(lines: Sequence[Bill]) -> Bill:
    """One line in the place of several of one kind."""
    if len(lines) == 1:
        return lines[0]
    end_us = max(bill.end_us for bill in lines)
    start_us = end_us if _kind(lines[0])[2] else min(bill.start_us for bill in lines)
    cost_nano = max(-LARGEST, min(LARGEST, sum(bill.cost_nano for bill in lines)))
    return Bill(start_us, end_us, cost_nano, lines[0].estimated, None)


def _charged(bills: Iterable[Bill]) -> list[Interval]:
    """The periods whose cost the lines say."""
    return sorted((bill.start_us, bill.end_us) for bill in bills if bill.cost_nano >= 0)


def _without(windows: Sequence[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """The windows less the holes, which are sorted.

    >>> _without([(0, 10)], [(2, 3), (5, 20)])
    [(0, 2), (3, 5)]
    """
    left: list[Interval] = []
    for window_start, end in windows:
        start = window_start
        for hole_start, hole_end in holes:
            if hole_start >= end:
                break
            if start < hole_start:
                left.append((start, hole_start))
            start = max(start, hole_end)
        if start < end:
            left.append((start, end))
    return left
