"""The ledger of one budget: what its endpoints cost, integrated in event time, exact whatever the order of arrival.

What an endpoint costs at a moment is, in this order: what a bill says of it (its cost spread evenly over its
period), else what a provider's estimated line says, else its replicas times its price. The replicas hold until the
next report, so an endpoint that falls silent goes on costing. A credit is subtracted, and replaces nothing: it does
not say what was used.

Money is integers: replicas x microseconds are summed, multiplied by the price, and rounded once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby
from typing import Final

from msgspec import Struct, field, structs

from schemas.outputs import Bill, derive_id
from schemas.units import HOUR_US, US

WINDOW_US: Final = HOUR_US
LATENESS_US: Final = 300 * US  # a report may come so late, and the sum is still exact
KEEP_US: Final = 2 * HOUR_US  # history before the clock that is kept: the window, and bills that reach into it
ROUNDING_NANO: Final = 2  # by which a number may be rounded up, now or once the window has moved
TIDY_EVERY: Final = 64  # steps or bills, after which an account drops what can no longer matter
MOST_LINES: Final = 1000  # of bills, that an account keeps apart
LARGEST: Final = 2**63 - 1  # nano-dollars that state can hold: nine billion dollars
SPARE: Final = 64  # entries of the look ahead that may be of lines which are gone

Interval = tuple[int, int]
Step = tuple[int, int]  # from this time on, so many replicas; or until then, so much


class Account(Struct, array_like=True):
    """What one endpoint costs one budget. `steps` is sorted; `bills` has each line once, with a digest of its id."""

    steps: list[Step] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)

    def scale(self, time_us: int, replicas: int, now_us: int) -> int:
        """So many replicas from then on; of two reports of one moment the larger holds.

        Returns how many replica-microseconds this adds before now, or 0 where it takes some away.
        """
        after = bisect_right(self.steps, time_us, key=_time)
        since, before = self.steps[after - 1] if after else (-1, 0)
        until_us = self.steps[after][0] if after < len(self.steps) else now_us
        if since == time_us:
            self.steps[after - 1] = (time_us, max(replicas, before))
        else:
            self.steps.insert(after, (time_us, replicas))
        return max(0, replicas - before) * max(0, until_us - time_us)

    def charge(self, bill: Bill) -> bool:
        """Add a line of a bill, unless it was counted already."""
        digest = None if bill.line_id is None else derive_id("line", bill.line_id)
        if digest is not None and any(known.line_id == digest for known in self.bills):
            return False
        self.bills.append(structs.replace(bill, line_id=digest))
        return True

    def condense(self) -> None:
        """Add up lines: those of one period, or, if too many are left, each two of one kind that end one after another.

        The first loses nothing but the ids; the second spreads what the two cost over both of their periods.
        """
        lines = sorted(self.bills, key=_kind_and_period)
        lines = [_total(list(same)) for _, same in groupby(lines, key=_kind_and_period)]
        if len(lines) > MOST_LINES // 2:
            kinds = [list(alike) for _, alike in groupby(lines, key=_kind)]
            lines = [_total(alike[i : i + 2]) for alike in kinds for i in range(0, len(alike), 2)]
        self.bills = lines

    def is_billed(self, since_us: int) -> bool:
        """Whether a line says what was, or will be, spent since then."""
        return any(bill.end_us >= since_us for bill in self.bills)

    @property
    def replicas(self) -> int:
        """How many there are by the newest report."""
        return self.steps[-1][1] if self.steps else 0

    def spend(self, start_us: int, end_us: int, price_nano: int) -> int:
        """Nano-dollars spent in [start, end) at so many nano-dollars per replica and hour."""
        return self._spend((start_us, end_us), price_nano, self.bills)

    def ceiling(self, start_us: int, end_us: int, price_nano: int) -> int:
        """At least as much, and still so once credits have left the window or roundings fall otherwise."""
        charges = [bill for bill in self.bills if bill.cost_nano >= 0]
        return self._spend((start_us, end_us), price_nano, charges) + self.roundings

    @property
    def roundings(self) -> int:
        """How many numbers are rounded for a spend."""
        return 1 + len(self.bills)

    def _spend(self, interval: Interval, price_nano: int, bills: Sequence[Bill]) -> int:
        near = [bill for bill in bills if bill.end_us >= interval[0] and bill.start_us < interval[1]]
        final = [bill for bill in near if not bill.estimated]
        estimated = [bill for bill in near if bill.estimated]
        window = [interval]
        unbilled = _without(window, _charged(final))
        unknown = _without(unbilled, _charged(estimated))
        usage = sum(self._replica_us(start, end) for start, end in unknown)
        billed = sum(_share(bill, window) for bill in final) + sum(_share(bill, unbilled) for bill in estimated)
        return billed + (usage * price_nano + HOUR_US // 2) // HOUR_US

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
        self.bills = [bill for bill in self.bills if bill.end_us >= before_us]
        first = max(0, bisect_right(self.steps, before_us, key=_time) - 1)
        kept: list[Step] = []
        for step in self.steps[first:]:
            if not (kept and step[0] < merge_us and kept[-1][1] == step[1]):
                kept.append(step)
        self.steps = kept


class Ledger:
    """The accounts of one budget and its clock, which is the largest event time that its roll-ups brought.

    `upper_nano` is never less than the spend of the window that ends now: it lets a rule skip the exact sum.
    """

    def __init__(self) -> None:
        self.now_us = 0
        self.upper_nano = 0
        self.rate_nano = 0  # per hour, by the newest reports
        self.accounts: dict[str, Account] = {}
        self.prices: dict[str, int] = {}
        self.changed: set[str] = set()
        self._ahead: list[Step] = []  # heap of bills that end after now: (end, nano-dollars per hour)
        self._ahead_nano = 0  # their sum per hour
        self._ahead_most = SPARE  # the length beyond which there must be lines in it that are gone

    def advance(self, time_us: int) -> None:
        """Move the clock; it never goes back."""
        if time_us > self.now_us:
            if self.now_us:
                rate_nano = self.rate_nano + self._ahead_nano
                self.upper_nano += rate_nano * (time_us - self.now_us) // HOUR_US + 1
            self.now_us = time_us
            while self._ahead and self._ahead[0][0] <= time_us:
                self._ahead_nano -= heappop(self._ahead)[1]

    def price(self, endpoint: str, price_nano: int) -> None:
        """What a replica of an endpoint costs an hour; holds for all of the window."""
        known = self.prices.get(endpoint)
        self.prices[endpoint] = price_nano
        if known is not None and known != price_nano and endpoint in self.accounts:
            self.rate_nano += self.accounts[endpoint].replicas * (price_nano - known)
            self.spend()

    def scale(self, endpoint: str, time_us: int, replicas: int) -> None:
        """An endpoint's replicas from then on. Call `advance` first."""
        account = self._account(endpoint)
        price = self.prices.get(endpoint, 0)
        old = account.replicas
        added = account.scale(time_us, replicas, self.now_us)
        self.rate_nano += (account.replicas - old) * price
        self.upper_nano += added * price // HOUR_US + ROUNDING_NANO
        if len(account.steps) % TIDY_EVERY == 0:
            account.forget(self.now_us - KEEP_US, self.now_us - LATENESS_US)

    def charge(self, endpoint: str, bill: Bill) -> None:
        """A line of a bill: replaces what was estimated for its period."""
        account = self._account(endpoint)
        if not account.charge(bill):
            return
        window = [(self.now_us - WINDOW_US, self.now_us)]
        self.upper_nano += max(0, _share(bill, window)) + ROUNDING_NANO  # what it replaces is left in the bound
        self._expect(bill)
        if len(account.bills) % TIDY_EVERY == 0 or len(account.bills) > MOST_LINES:
            account.forget(self.now_us - KEEP_US, self.now_us - LATENESS_US)
        if len(account.bills) > MOST_LINES:
            self._condense(account, self.prices.get(endpoint, 0))

    def adopt(self, endpoint: str, price_nano: int, account: Account) -> None:
        """Take an account as it was kept, once the clock is set. Call `mind` after the last one."""
        self.prices[endpoint], self.accounts[endpoint] = price_nano, account
        self.rate_nano += account.replicas * price_nano

    def close(self, endpoint: str) -> None:
        """The endpoint is no longer this budget's affair, or is forgotten."""
        price = self.prices.pop(endpoint)
        account = self.accounts.pop(endpoint, None)
        self.changed.discard(endpoint)
        if account is not None:
            self.rate_nano -= account.replicas * price

    def _condense(self, account: Account, price_nano: int) -> None:
        before = self._ceiling_of(account, price_nano)
        account.condense()
        self.upper_nano += max(0, self._ceiling_of(account, price_nano) - before) + account.roundings
        self._look_ahead()

    def _expect(self, bill: Bill) -> None:
        """Of a line that reaches past the clock, more will have been spent as the clock moves on."""
        ahead = _hourly(bill, self.now_us)
        if ahead is None:
            return
        heappush(self._ahead, ahead)
        self._ahead_nano += ahead[1]
        if len(self._ahead) > self._ahead_most:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Expect what the accounts hold, and nothing of the lines that have left them."""
        bills = (bill for account in self.accounts.values() for bill in account.bills)
        self._ahead = [ahead for bill in bills if (ahead := _hourly(bill, self.now_us)) is not None]
        heapify(self._ahead)
        self._ahead_nano = sum(hourly for _, hourly in self._ahead)
        self._ahead_most = 2 * len(self._ahead) + SPARE

    def _account(self, endpoint: str) -> Account:
        self.changed.add(endpoint)
        return self.accounts.setdefault(endpoint, Account())

    def _ceiling_of(self, account: Account, price_nano: int) -> int:
        return account.ceiling(self.now_us - WINDOW_US, self.now_us, price_nano)

    def spend(self) -> int:
        """Nano-dollars spent in the window that ends now, exactly. Costs a look at every account."""
        since_us, exact, self.upper_nano = self.now_us - WINDOW_US, 0, 0
        for name, account in self.accounts.items():
            price = self.prices.get(name, 0)
            ceiling = account.ceiling(since_us, self.now_us, price)
            self.upper_nano += ceiling
            credited = any(bill.cost_nano < 0 for bill in account.bills)
            exact += account.spend(since_us, self.now_us, price) if credited else ceiling - account.roundings
            steps, bills = len(account.steps), len(account.bills)
            account.forget(self.now_us - KEEP_US, self.now_us - LATENESS_US)
            if (steps, bills) != (len(account.steps), len(account.bills)):
                self.changed.add(name)
        return exact

    def mind(self) -> None:
        """After accounts were adopted: what their lines say of the future, and that their prices may have risen."""
        self._look_ahead()
        slack = sum(account.roundings for account in self.accounts.values())
        if self.upper_nano < self.ceiling() - slack:
            self.upper_nano = self.ceiling()

    def ceiling(self) -> int:
        """The least that `upper_nano` may be, as far as is known now."""
        return sum(self._ceiling_of(account, self.prices.get(name, 0)) for name, account in self.accounts.items())

    def dearest(self) -> list[tuple[str, int, int]]:
        """(endpoint, replicas, nano-dollars per replica and hour) of those that cost anything now, dearest first."""
        rows = [(name, account.replicas, self.prices.get(name, 0)) for name, account in self.accounts.items()]
        return sorted((row for row in rows if row[1] * row[2]), key=lambda row: (-row[1] * row[2], row[0]))


def _time(step: Step) -> int:
    return step[0]


def _hourly(bill: Bill, now_us: int) -> Step | None:
    """When a line ends, and what it costs an hour until then; None if it ended already, or is a credit."""
    end_us = max(bill.end_us, bill.start_us + 1)
    if bill.cost_nano <= 0 or end_us <= now_us:
        return None
    return end_us, -(-bill.cost_nano * HOUR_US // (end_us - bill.start_us))


def _kind(bill: Bill) -> tuple[bool, bool, bool]:
    """Lines of one kind replace the same: estimated or final; a charge or a credit; over a time or at a moment."""
    return bill.estimated, bill.cost_nano < 0, bill.start_us == bill.end_us


def _kind_and_period(bill: Bill) -> tuple[tuple[bool, bool, bool], int, int]:
    return _kind(bill), bill.end_us, bill.start_us


def _total(lines: Sequence[Bill]) -> Bill:
    """One line in the place of several of one kind."""
    if len(lines) == 1:
        return lines[0]
    end_us = max(bill.end_us for bill in lines)
    start_us = end_us if _kind(lines[0])[2] else min(bill.start_us for bill in lines)
    cost_nano = max(-LARGEST, min(LARGEST, sum(bill.cost_nano for bill in lines)))
    return Bill(start_us, end_us, cost_nano, lines[0].estimated, None)


def _share(bill: Bill, windows: Sequence[Interval]) -> int:
    """The part of a line that falls into the windows. A line without length counts where it stands."""
    length = bill.end_us - bill.start_us
    if length == 0:
        return bill.cost_nano if any(start <= bill.start_us < end for start, end in windows) else 0
    inside = sum(max(0, min(end, bill.end_us) - max(start, bill.start_us)) for start, end in windows)
    return (2 * bill.cost_nano * inside + length) // (2 * length)


def _charged(bills: Iterable[Bill]) -> list[Interval]:
    """The periods whose cost the lines say."""
    return [(bill.start_us, bill.end_us) for bill in bills if bill.cost_nano >= 0]


def _without(windows: Sequence[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """The windows less the holes.

    >>> _without([(0, 10)], [(2, 3), (5, 20)])
    [(0, 2), (3, 5)]
    """
    left = list(windows)
    for hole_start, hole_end in holes:
        left = [
            piece
            for start, end in left
            for piece in ((start, min(end, hole_start)), (max(start, hole_end), end))
            if piece[0] < piece[1]
        ]
    return left
