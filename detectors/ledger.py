"""The ledger of one budget: what its endpoints cost, integrated in event time, exact whatever the order of arrival.

It knows two sums: that of the last hour, and that of the day so far. An exact one needs a look at every account. A
bound of each is kept up to date with every event, at little cost: it tells when a look is worth it.

The hour's sum is rounded once an account, the day's once for all of them: so it does not change when an endpoint is
forgotten. What one costs is told in `detectors/account.py`.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from detectors.account import LARGEST, Account, Cost, Step, hourly, rounded, share
from detectors.day import Day, day_of
from schemas.outputs import Bill
from schemas.units import HOUR_US, US

WINDOW_US: Final = HOUR_US
LATENESS_US: Final = 300 * US  # a report may come so late, and the sum is still exact
KEEP_US: Final = 2 * HOUR_US  # history before the clock that is kept as it came: the window, and bills that reach in
ROUNDING_NANO: Final = 2  # by which a number may be rounded up, now or once the window has moved
TIDY_EVERY: Final = 64  # steps or bills, after which an account drops what can no longer matter
MOST_STEPS: Final = 256  # of replicas, beyond which those from before `KEEP_US` are thinned
MOST_LINES: Final = 2000  # of bills, that an account keeps apart
SPARE: Final = 64  # entries of the look ahead that may be of lines which are gone


class Ledger:
    """The accounts of one budget and its clock, which is the largest event time that its roll-ups brought.

    `upper_nano` is never less than the spend of the window that ends now, `day.upper_nano` never less than that of the
    day: they let a rule skip the exact sum.
    """

    def __init__(self, timezone: str = "UTC") -> None:
        self.now_us = 0
        self.upper_nano = 0
        self.day = Day()
        self.rate_nano = 0  # per hour, by the newest reports
        self.accounts: dict[str, Account] = {}
        self.prices: dict[str, int] = {}
        self.changed: set[str] = set()
        self._timezone = timezone
        self._settled: dict[str, tuple[int, Cost]] = {}  # what accounts cost from midnight until then; made anew
        self._ahead: list[Step] = []  # heap of bills that end after now: (end, nano-dollars per hour)
        self._ahead_nano = 0  # their sum per hour
        self._ahead_most = SPARE  # the length beyond which there must be lines in it that are gone

    def advance(self, time_us: int) -> None:
        """Move the clock; it never goes back. At midnight a day begins."""
        if time_us > self.now_us:
            if self.now_us:
                rate_nano = self.rate_nano + self._ahead_nano
                added = rate_nano * (time_us - self.now_us) // HOUR_US + 1
                self.upper_nano += added
                self.day.upper_nano += added
            self.now_us = time_us
            while self._ahead and self._ahead[0][0] <= time_us:
                self._ahead_nano -= heappop(self._ahead)[1]
            if time_us >= self.day.ends_us:
                self._begin_day()

    def keep_days_of(self, timezone: str) -> None:
        """Count days in another time zone. What was forgotten of a day that began earlier is not in its sum."""
        self._timezone = timezone
        if self.now_us and day_of(self.now_us, timezone) != (self.day.started_us, self.day.ends_us):
            self._begin_day()

    def _begin_day(self) -> None:
        self.day = Day(*day_of(self.now_us, self._timezone))
        self._settled.clear()
        self.spend_today()

    def price(self, endpoint: str, price_nano: int) -> None:
        """What a replica of an endpoint costs an hour; holds for all of the window, and for all of the day."""
        known = self.prices.get(endpoint)
        self.prices[endpoint] = price_nano
        account = self.accounts.get(endpoint)
        if account is not None and known is not None and known != price_nano:
            self.rate_nano += account.replicas * (price_nano - known)
            self._rise(account, self._sums(account, known), price_nano)

    def scale(self, endpoint: str, time_us: int, replicas: int) -> None:
        """An endpoint's replicas from then on. Call `advance` first."""
        account = self._account(endpoint)
        price = self.prices.get(endpoint, 0)
        old = account.replicas
        added = account.scale(time_us, replicas, self.now_us)
        if added and time_us < self._settled.get(endpoint, (0,))[0]:
            del self._settled[endpoint]
        self.rate_nano += (account.replicas - old) * price
        more = max(0, added) * price // HOUR_US + ROUNDING_NANO
        self.upper_nano += more
        self.day.upper_nano += more
        if len(account.steps) % TIDY_EVERY == 0:
            self._tidy(account)
            if len(account.steps) > MOST_STEPS:
                self._thin(endpoint, account, price)

    def charge(self, endpoint: str, bill: Bill) -> None:
        """A line of a bill: replaces what was estimated for its period."""
        account = self._account(endpoint)
        price = self.prices.get(endpoint, 0)
        start_us = max(bill.start_us, self.day.started_us)
        end_us = max(start_us, min(max(bill.end_us, bill.start_us + 1), self.now_us))
        before = account.cost(start_us, end_us).at(price)
        if not account.charge(bill):
            return
        self._settled.pop(endpoint, None)
        window = [(self.now_us - WINDOW_US, self.now_us)]
        self.upper_nano += max(0, share(bill, window)) + ROUNDING_NANO  # what it replaces is left in the bound
        self.day.upper_nano += account.cost(start_us, end_us).at(price) - before + 2 * account.roundings
        self._expect(bill)
        if len(account.bills) % TIDY_EVERY == 0 or len(account.bills) > MOST_LINES:
            self._tidy(account)
        if len(account.bills) > MOST_LINES:
            self._condense(account, price)

    def adopt(self, endpoint: str, price_nano: int, account: Account) -> None:
        """Take an account as it was kept, once the clock is set. Call `mind` after the last one."""
        self.prices[endpoint], self.accounts[endpoint] = price_nano, account
        self.rate_nano += account.replicas * price_nano

    def forget(self, endpoint: str) -> None:
        """Close the account of an endpoint that is silent; what it spent today is still spent."""
        price, account = self.prices.get(endpoint, 0), self.accounts.get(endpoint)
        if account is not None:
            cost = self._cost_today(endpoint, account)
            more, self.day.gone_rest = divmod(self.day.gone_rest + cost.replica_us * price, HOUR_US)
            gone_nano = self.day.gone_nano + cost.billed_nano + more
            self.day.gone_nano = max(-LARGEST, min(LARGEST, gone_nano))
        self.close(endpoint)

    def close(self, endpoint: str) -> None:
        """The endpoint is no longer this budget's affair."""
        price = self.prices.pop(endpoint)
        account = self.accounts.pop(endpoint, None)
        self.changed.discard(endpoint)
        self._settled.pop(endpoint, None)
        if account is not None:
            self.rate_nano -= account.replicas * price

    def _tidy(self, account: Account) -> None:
        account.forget(min(self.day.started_us, self.now_us - KEEP_US), self.now_us - LATENESS_US)

    def _thin(self, endpoint: str, account: Account, price_nano: int) -> None:
        before = self._sums(account, price_nano)
        account.thin(self.now_us - KEEP_US)
        self._settled.pop(endpoint, None)
        self._rise(account, before, price_nano)

    def _condense(self, account: Account, price_nano: int) -> None:
        before = self._sums(account, price_nano)
        account.condense(MOST_LINES // 2, self.now_us - KEEP_US)
        self._rise(account, before, price_nano)
        self._look_ahead()

    def _sums(self, account: Account, price_nano: int) -> tuple[int, int]:
        """What an account adds to the hour, at most, and to the day."""
        day_nano = account.spend(self.day.started_us, self.now_us, price_nano)
        return self._ceiling_of(account, price_nano), day_nano

    def _rise(self, account: Account, before: tuple[int, int], price_nano: int) -> None:
        """Let the bounds follow an account that was read otherwise before."""
        hour_nano, day_nano = self._sums(account, price_nano)
        self.upper_nano += max(0, hour_nano - before[0]) + account.roundings
        self.day.upper_nano += day_nano - before[1] + 2 * account.roundings

    def _expect(self, bill: Bill) -> None:
        """Of a line that reaches past the clock, more will have been spent as the clock moves on."""
        ahead = hourly(bill, self.now_us)
        if ahead is None:
            return
        heappush(self._ahead, ahead)
        self._ahead_nano += ahead[1]
        if len(self._ahead) > self._ahead_most:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Expect what the accounts hold, and nothing of the lines that have left them."""
        bills = (bill for account in self.accounts.values() for bill in account.bills)
        self._ahead = [ahead for bill in bills if (ahead := hourly(bill, self.now_us)) is not None]
        heapify(self._ahead)
        self._ahead_nano = sum(nano for _, nano in self._ahead)
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
            credited = any(bill.cost_nano < 0 for bill in account.near(since_us, self.now_us))
            exact += account.spend(since_us, self.now_us, price) if credited else ceiling - account.roundings
            steps, bills = len(account.steps), len(account.bills)
            self._tidy(account)
            if (steps, bills) != (len(account.steps), len(account.bills)):
                self.changed.add(name)
        return exact

    def spend_today(self) -> int:
        """Nano-dollars spent since midnight, exactly. Costs a look at every account."""
        billed, usage, lines = self.day.gone_nano, self.day.gone_rest, 0
        for name, account in self.accounts.items():
            cost = self._cost_today(name, account)
            billed += cost.billed_nano
            usage += cost.replica_us * self.prices.get(name, 0)
            lines += len(account.bills)
        exact = billed + rounded(usage)
        self.day.upper_nano = exact + lines + ROUNDING_NANO
        return exact

    def _cost_today(self, name: str, account: Account) -> Cost:
        """As the account says, but what is settled is not added up again each time."""
        if not account.bills:
            return account.cost(self.day.started_us, self.now_us)
        kept = self._settled.get(name)
        if kept is None:
            until_us = max(self.day.started_us, account.settled_us(self.now_us))
            kept = self._settled[name] = until_us, account.cost(self.day.started_us, until_us)
        until_us, settled = kept
        since = account.cost(until_us, self.now_us)
        return Cost(settled.billed_nano + since.billed_nano, settled.replica_us + since.replica_us)

    def mind(self) -> None:
        """After accounts were adopted: what their lines say of the future; prices may have risen, and days moved."""
        self._look_ahead()
        slack = sum(account.roundings for account in self.accounts.values())
        if self.upper_nano < self.ceiling() - slack:
            self.upper_nano = self.ceiling()
        upper_nano = self.day.upper_nano
        if upper_nano >= self.spend_today():
            self.day.upper_nano = upper_nano
        self.keep_days_of(self._timezone)

    def ceiling(self) -> int:
        """The least that `upper_nano` may be, as far as is known now."""
        return sum(self._ceiling_of(account, self.prices.get(name, 0)) for name, account in self.accounts.items())

    def dearest(self) -> list[tuple[str, int, int]]:
        """(endpoint, replicas, nano-dollars per replica and hour) of those that cost anything now, dearest first."""
        rows = [(name, account.replicas, self.prices.get(name, 0)) for name, account in self.accounts.items()]
        return sorted((row for row in rows if row[1] * row[2]), key=lambda row: (-row[1] * row[2], row[0]))
