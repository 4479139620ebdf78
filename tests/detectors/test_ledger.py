"""Money: exact for every order of arrival, and never more than its bound says."""

from __future__ import annotations

import copy
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from detectors import ledger as ledgers
from detectors.account import SLOT_US, Account
from detectors.day import day_of
from detectors.ledger import KEEP_US, LATENESS_US, MOST_LINES, WINDOW_US, Ledger
from schemas.outputs import Bill
from schemas.units import HOUR_US, NANO, US, from_rfc3339

NOW_US: Final = 500_000 * HOUR_US
PRICE: Final = 2 * NANO  # per replica and hour
Step = tuple[int, int]


def ledger_at(time_us: int, *endpoints: str) -> Ledger:
    ledger = Ledger()
    ledger.advance(time_us)
    for endpoint in endpoints:
        ledger.price(endpoint, PRICE)
    return ledger


def summed_today(ledger: Ledger) -> int:
    """The spend of the day, slowly: each account from midnight on, all of it rounded once."""
    costs = [(account.cost(ledger.day.started_us, ledger.now_us), name) for name, account in ledger.accounts.items()]
    usage = sum(cost.replica_us * ledger.prices[name] for cost, name in costs)
    return sum(cost.billed_nano for cost, _ in costs) + (2 * usage + HOUR_US) // (2 * HOUR_US)


def summed(ledger: Ledger) -> int:
    """The spend of the window, without what the ledger does on the way."""
    since_us = ledger.now_us - WINDOW_US
    return sum(account.spend(since_us, ledger.now_us, ledger.prices[name]) for name, account in ledger.accounts.items())


def bill(start_h: float, end_h: float, usd: float, line_id: str | None = None) -> Bill:
    """A final line; hours count from NOW."""
    return estimate(start_h, end_h, usd, line_id)[0]


def estimate(start_h: float, end_h: float, usd: float, line_id: str | None = None) -> tuple[Bill, Bill]:
    """A line as final and as estimated."""
    start_us, end_us = NOW_US + round(start_h * HOUR_US), NOW_US + round(end_h * HOUR_US)
    cost_nano = round(usd * NANO)
    return (
        Bill(start_us, end_us, cost_nano, estimated=False, line_id=line_id),
        Bill(start_us, end_us, cost_nano, estimated=True, line_id=line_id),
    )


def exact(steps: list[Step], start_us: int, end_us: int, price: int) -> Fraction:
    """The integral of replicas x price, slowly; of two reports of one moment the larger holds."""
    known: dict[int, int] = {}
    for time_us, replicas in steps:
        known[time_us] = max(replicas, known.get(time_us, 0))
    edges = [*sorted(known.items()), (end_us, 0)]
    usage = 0
    for (since, replicas), (until, _) in pairwise(edges):
        usage += replicas * max(0, min(until, end_us) - max(since, start_us))
    return Fraction(usage * price, HOUR_US)


STEPS: Final = st.lists(st.tuples(st.integers(0, 290 * US), st.integers(0, 50)), min_size=1, max_size=30)


@given(STEPS.flatmap(lambda steps: st.tuples(st.just(steps), st.permutations(steps))), st.integers(1, 10**12))
def test_money_does_not_depend_on_the_order_of_arrival(orders: tuple[list[Step], list[Step]], price: int) -> None:
    """Within the lateness any order integrates to the exact sum, rounded once."""
    for steps in orders:
        ledger = Ledger()
        ledger.price("a", price)
        for after_us, replicas in steps:
            ledger.advance(NOW_US + after_us)
            ledger.scale("a", NOW_US + after_us, replicas)
        ledger.advance(NOW_US + 300 * US)
        sought = exact([(NOW_US + after, n) for after, n in steps], 0, ledger.now_us, price)
        assert ledger.spend() == sought // 1 + (sought % 1 >= Fraction(1, 2))


def test_replicas_cost_until_the_next_report() -> None:
    """A silent endpoint goes on costing."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 3)
    ledger.advance(NOW_US + HOUR_US // 2)
    assert ledger.spend() == 3 * PRICE // 2
    ledger.advance(NOW_US + 9 * HOUR_US)
    assert ledger.spend() == 3 * PRICE
    assert ledger.rate_nano == 3 * PRICE


def test_what_lies_before_the_window_is_over() -> None:
    """Spend is that of the last hour alone."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 40)
    ledger.advance(NOW_US + HOUR_US)
    ledger.scale("a", NOW_US + HOUR_US, 0)
    ledger.advance(NOW_US + HOUR_US + HOUR_US // 4)
    assert ledger.spend() == 40 * PRICE * 3 // 4


def charged(*lines: Bill, replicas: int = 5) -> int:
    """Nano-dollars of the last hour, with so many replicas all the time and these lines."""
    ledger = ledger_at(NOW_US - 2 * HOUR_US, "a")
    ledger.scale("a", NOW_US - 2 * HOUR_US, replicas)
    ledger.advance(NOW_US)
    for line in lines:
        ledger.charge("a", line)
    assert ledger.upper_nano >= summed(ledger)
    return ledger.spend()


def test_a_bill_replaces_the_estimate_of_its_period() -> None:
    """Half an hour is billed, the other half is replicas times price."""
    assert charged(bill(-1, -0.5, 7.0)) == 7 * NANO + 5 * PRICE // 2


def test_a_bill_of_nothing_replaces_too() -> None:
    """What was free cost nothing."""
    assert charged(bill(-1, 0, 0.0)) == 0


def test_a_bill_is_spread_evenly_over_its_period() -> None:
    """Only the part that lies in the window counts."""
    assert charged(bill(-3, 0, 9.0)) == 3 * NANO
    assert charged(bill(-0.5, 0.5, 9.0)) == 9 * NANO // 2 + 5 * PRICE // 2


def test_overlapping_bills_add_up() -> None:
    """Two lines about one hour (compute, storage) are both paid, and the estimate is replaced once."""
    assert charged(bill(-1, 0, 4.0, "compute"), bill(-0.5, 0, 1.0, "storage")) == 5 * NANO


def test_a_final_line_comes_before_an_estimated_one() -> None:
    """An estimated line counts where no final one does; both come before replicas."""
    estimated = estimate(-1, 0, 8.0)[1]
    assert charged(estimated) == 8 * NANO
    assert charged(estimated, bill(-1, -0.75, 1.0)) == NANO + 6 * NANO
    assert charged(bill(-1, -0.75, 1.0), estimated) == NANO + 6 * NANO


def test_a_credit_is_subtracted_and_replaces_nothing() -> None:
    """It does not say what was used: a refund must not blind anybody to a runaway."""
    assert charged(bill(-1, 0, -3.0)) == 5 * PRICE - 3 * NANO
    assert charged(bill(-1, 0, 6.0), bill(-1, 0, -2.0)) == 4 * NANO


def test_a_line_without_length_counts_where_it_stands() -> None:
    """A fee at a moment is spent at that moment, and replaces nothing."""
    assert charged(bill(-0.5, -0.5, 6.0)) == 5 * PRICE + 6 * NANO
    assert charged(bill(-1, -1, 6.0)) == 5 * PRICE + 6 * NANO
    assert charged(bill(-1.01, -1.01, 6.0)) == 5 * PRICE
    assert charged(bill(0, 0, 6.0)) == 5 * PRICE


def test_a_repeated_line_is_counted_once() -> None:
    """By its id; lines without an id are all different."""
    assert charged(bill(-1, 0, 4.0, "x"), bill(-1, 0, 4.0, "x")) == 4 * NANO
    assert charged(bill(-1, 0, 4.0), bill(-1, 0, 4.0)) == 8 * NANO


def test_a_late_bill_corrects_the_window() -> None:
    """It comes when half of its period has left the window, and counts with the rest."""
    ledger = ledger_at(NOW_US - HOUR_US, "a")
    ledger.scale("a", NOW_US - HOUR_US, 5)
    ledger.advance(NOW_US + HOUR_US // 2)
    assert ledger.spend() == 5 * PRICE
    ledger.charge("a", bill(-1, 0, 100.0))
    assert ledger.spend() == 50 * NANO + 5 * PRICE // 2


def test_a_new_price_holds_for_all_of_the_window() -> None:
    """A price was wrong before, too."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 4)
    ledger.advance(NOW_US + HOUR_US)
    ledger.price("a", 3 * PRICE)
    assert ledger.spend() == 12 * PRICE
    assert ledger.rate_nano == 12 * PRICE


def test_the_dearest_come_first() -> None:
    """Sorted by what they cost an hour, then by name; what costs nothing is left out."""
    ledger = ledger_at(NOW_US, "a", "b", "c", "d")
    for endpoint, replicas in (("c", 2), ("b", 2), ("a", 1), ("d", 0)):
        ledger.scale(endpoint, NOW_US, replicas)
    assert ledger.dearest()[:2] == [("b", 2, PRICE), ("c", 2, PRICE)]
    assert len(ledger.dearest()) == 3


def test_a_closed_account_costs_nothing_more() -> None:
    """What a budget no longer covers is not its money."""
    ledger = ledger_at(NOW_US, "a", "b")
    ledger.scale("a", NOW_US, 4)
    ledger.close("a")
    ledger.close("b")
    ledger.advance(NOW_US + HOUR_US)
    assert (ledger.spend(), ledger.rate_nano, dict(ledger.accounts)) == (0, 0, {})


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, int, int, Bill | int]:
    """(endpoint, how far the clock goes, how far back the time lies, a line or replicas)."""
    endpoint = draw(st.sampled_from("abc"))
    forth_us = draw(st.sampled_from([0, 1, US, 59 * US, 1000 * US + 7, HOUR_US, 5 * HOUR_US]))
    back_us = draw(st.sampled_from([0, 0, 1, 30 * US, 299 * US, HOUR_US]))
    if draw(st.booleans()):
        return endpoint, forth_us, back_us, draw(st.integers(0, 100))
    length_us = draw(st.sampled_from([0, 1, 600 * US, HOUR_US, 24 * HOUR_US]))
    cost_nano = draw(st.integers(-(10**12), 10**12))
    start_us = draw(st.integers(-2 * HOUR_US, HOUR_US))
    line_id = draw(st.sampled_from([None, "x", "y"]))
    return (
        endpoint,
        forth_us,
        back_us,
        Bill(start_us, start_us + length_us, cost_nano, draw(st.booleans()), line_id),
    )


def play(ledger: Ledger, move: tuple[str, int, int, Bill | int]) -> None:
    endpoint, forth_us, back_us, what = move
    ledger.advance(ledger.now_us + forth_us)
    now_us = ledger.now_us
    if isinstance(what, int):
        ledger.scale(endpoint, now_us - back_us, what)
    else:
        start_us, end_us = now_us + what.start_us, now_us + what.end_us
        ledger.charge(endpoint, Bill(start_us, end_us, what.cost_nano, what.estimated, what.line_id))


def test_lines_of_one_period_are_added_up_without_a_loss() -> None:
    """An account keeps a thousand lines apart; a line of each second of a GPU's hour is more."""
    ledger = ledger_at(NOW_US, "a")
    lines = MOST_LINES + 400
    for n in range(lines):
        ledger.charge("a", bill(-1, 0, 0.125, f"line {n}"))
    assert len(ledger.accounts["a"].bills) <= MOST_LINES
    assert ledger.spend() == lines * NANO // 8


def test_lines_of_many_periods_are_added_up_to_the_same_sum() -> None:
    """Charges and credits, final and estimated, fees at a moment: their number is bounded, their sums are kept."""
    account = Account()
    lines = [
        Bill(NOW_US + n, NOW_US + n + (n % 3) * US, (-1) ** (n // 3) * n, estimated=n % 2 == 0, line_id=None)
        for n in range(MOST_LINES)
    ]
    for line in lines:
        account.charge(line)
    account.condense(MOST_LINES // 2, NOW_US - KEEP_US)
    kinds = {(line.estimated, line.cost_nano < 0, line.start_us == line.end_us) for line in lines}
    assert {(b.estimated, b.cost_nano < 0, b.start_us == b.end_us) for b in account.bills} == kinds
    for kind in kinds:
        sums = [
            sum(b.cost_nano for b in some if (b.estimated, b.cost_nano < 0, b.start_us == b.end_us) == kind)
            for some in (lines, account.bills)
        ]
        assert sums[0] == sums[1]
    assert len(account.bills) <= MOST_LINES // 2 + len(kinds)


@given(st.lists(moves(), max_size=40), st.integers(1, 10**10))
def test_the_bound_holds_when_lines_are_added_up(log: list[tuple[str, int, int, Bill | int]], price: int) -> None:
    """Also of the lines that reach past the clock, whose money is then spread otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers, "MOST_LINES", 3)
        ledger = ledger_at(NOW_US)
        for endpoint in "abc":
            ledger.price(endpoint, price)
        for move in log:
            play(ledger, move)
            assert ledger.upper_nano >= summed(ledger)
        for after_us in (1, US, HOUR_US // 2, HOUR_US, 30 * HOUR_US):
            ledger.advance(ledger.now_us + after_us)
            assert ledger.upper_nano >= summed(ledger)


def test_the_bound_minds_money_that_is_spread_into_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line from before the window, added up with one inside it, costs something there."""
    monkeypatch.setattr(ledgers, "MOST_LINES", 1)
    ledger = ledger_at(NOW_US, "a")
    ledger.charge("a", bill(-1.9, -1.1, 100.0))
    ledger.charge("a", bill(-0.1, 0, 0.0))
    assert ledger.upper_nano >= summed(ledger) > 50 * NANO


def test_the_look_ahead_forgets_lines_that_are_gone() -> None:
    """Accounts that come and go leave nothing behind, although their lines run on."""
    ledger = ledger_at(NOW_US)
    for n in range(1000):
        ledger.price(f"job-{n}", PRICE)
        ledger.charge(f"job-{n}", bill(0, 700, 1.0))
        ledger.close(f"job-{n}")
    assert len(ledger._ahead) <= 2 * ledgers.SPARE


@given(st.lists(moves(), max_size=25), st.sets(st.integers(0, 25)), st.integers(1, 10**10))
def test_the_bound_is_never_below_the_spend(
    log: list[tuple[str, int, int, Bill | int]], asked: set[int], price: int
) -> None:
    """Whatever comes, and whenever the exact sum was asked for in between."""
    ledger = ledger_at(NOW_US)
    for endpoint in "abc":
        ledger.price(endpoint, price)
    for place, move in enumerate(log):
        play(ledger, move)
        assert ledger.upper_nano >= summed(ledger)
        if place in asked:
            assert ledger.spend() == summed(ledger)
            assert ledger.upper_nano >= summed(ledger)
    for after_us in (1, US, HOUR_US // 2, HOUR_US, 30 * HOUR_US):
        ledger.advance(ledger.now_us + after_us)
        assert ledger.upper_nano >= summed(ledger)


@given(st.lists(moves(), max_size=25))
def test_an_adopted_account_goes_on_alike(log: list[tuple[str, int, int, Bill | int]]) -> None:
    """Rate, bound and spend after a restart are those that there were."""
    ledger = ledger_at(NOW_US, "a", "b", "c")
    for move in log:
        play(ledger, move)
    again = Ledger()
    again.now_us, again.upper_nano = ledger.now_us, ledger.upper_nano
    for endpoint, account in copy.deepcopy(ledger.accounts).items():
        again.adopt(endpoint, PRICE, account)
    again.mind()
    later_us = ledger.now_us + 100 * US
    for one in (ledger, again):
        one.advance(later_us)
    assert (again.rate_nano, again.upper_nano) == (ledger.rate_nano, ledger.upper_nano)
    assert again.spend() == ledger.spend()


def test_the_bound_minds_a_price_that_rose_while_nobody_looked() -> None:
    """A restart with a higher price must not hide the spend behind the old bound."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 2)
    ledger.advance(NOW_US + HOUR_US)
    again = Ledger()
    again.now_us, again.upper_nano = ledger.now_us, ledger.upper_nano
    again.adopt("a", 10 * PRICE, ledger.accounts["a"])
    again.mind()
    assert again.upper_nano >= 20 * PRICE


@given(
    st.lists(st.tuples(st.integers(-4 * HOUR_US, 0), st.integers(0, 3)), max_size=40),
    st.lists(st.tuples(st.integers(-5 * HOUR_US, 0), st.integers(0, 2 * HOUR_US)), max_size=5),
)
def test_forgetting_does_not_change_the_window(steps: list[Step], periods: list[tuple[int, int]]) -> None:
    """Only what can no longer matter goes."""
    account = Account()
    for after_us, replicas in steps:
        account.scale(NOW_US + after_us, replicas, NOW_US)
    for start_us, length_us in periods:
        account.charge(Bill(NOW_US + start_us, NOW_US + start_us + length_us, NANO, estimated=False, line_id=None))
    before = account.spend(NOW_US - WINDOW_US, NOW_US, PRICE)
    account.forget(NOW_US - KEEP_US, NOW_US - LATENESS_US)
    assert account.spend(NOW_US - WINDOW_US, NOW_US, PRICE) == before


@pytest.mark.parametrize("replicas", [0, 7])
def test_a_chatty_source_does_not_fill_the_memory(replicas: int) -> None:
    """Reports that change nothing are merged, old ones dropped."""
    ledger = ledger_at(NOW_US, "a")
    for second in range(0, 4 * 3600, 5):
        ledger.advance(NOW_US + second * US)
        ledger.scale("a", NOW_US + second * US, replicas)
    assert len(ledger.accounts["a"].steps) < 200


# -- the day -----------------------------------------------------------------------------------------------------------

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Adelaide")
NOON_US: Final = {  # of a day of 25 hours, of one of 23, and of an ordinary one
    "UTC": "2026-11-22T12:00:00Z",
    "Europe/Berlin": "2026-10-25T12:00:00Z",
    "America/New_York": "2026-03-08T12:00:00Z",
    "Asia/Kolkata": "2026-11-22T12:00:00Z",
    "Australia/Adelaide": "2026-10-04T02:00:00Z",
}
DAY_STEPS: Final = st.lists(st.tuples(st.integers(0, 14 * 3600), st.integers(0, 50)), min_size=1, max_size=40)


def noon_in(zone: str) -> Ledger:
    ledger = Ledger(zone)
    ledger.advance(from_rfc3339(NOON_US[zone]))
    return ledger


@pytest.mark.parametrize("zone", ZONES)
@given(DAY_STEPS, st.randoms(use_true_random=False), st.integers(1, 10**12))
def test_the_days_sum_does_not_depend_on_the_order_of_arrival(
    zone: str, steps: list[Step], random: Random, price: int
) -> None:
    """From midnight of a day of 23, 24 or 25 hours to any moment of it, reports up to five minutes late."""
    start_us, end_us = day_of(from_rfc3339(NOON_US[zone]), zone)
    times = [(start_us - HOUR_US + after_s * US, replicas) for after_s, replicas in steps]
    arrivals = sorted(times, key=lambda step: step[0] + random.randrange(LATENESS_US))
    ledger = Ledger(zone)
    ledger.price("a", price)
    for time_us, replicas in arrivals:
        ledger.advance(time_us)
        ledger.scale("a", time_us, replicas)
        assert ledger.day.upper_nano >= summed_today(ledger)
    ledger.advance(min(end_us - 1, max(ledger.now_us, start_us) + random.randrange(5 * HOUR_US)))
    sought = exact(times, start_us, ledger.now_us, price)
    assert ledger.spend_today() == sought // 1 + (sought % 1 >= Fraction(1, 2))


@given(st.lists(st.tuples(st.integers(0, 23 * 3600), st.integers(0, 50)), min_size=30, max_size=60))
def test_the_days_sum_is_exact_of_however_many_reports(steps: list[Step]) -> None:
    """History is drawn together when there is much of it, and nothing is lost of the sum, nor of the last hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers, "MOST_STEPS", 4)
        patch.setattr(ledgers, "TIDY_EVERY", 2)
        ledger = Ledger()
        ledger.price("a", PRICE)
        start_us = day_of(NOW_US, "UTC")[0]
        times = sorted((start_us + after_s * US, replicas) for after_s, replicas in steps)
        for time_us, replicas in times:
            ledger.advance(time_us)
            ledger.scale("a", time_us, replicas)
            assert ledger.day.upper_nano >= summed_today(ledger)
        ledger.advance(start_us + 23 * HOUR_US + 1001 * US)
        for since_us, spent in ((start_us, ledger.spend_today()), (ledger.now_us - WINDOW_US, ledger.spend())):
            sought = exact(times, since_us, ledger.now_us, PRICE)
            assert spent == sought // 1 + (sought % 1 >= Fraction(1, 2))


@pytest.mark.parametrize("every_s", [5, 61])
def test_what_is_kept_of_a_day_of_scaling_is_bounded(every_s: int) -> None:
    """An endpoint that never rests, for a day and a half."""
    ledger = ledger_at(NOW_US, "a")
    for second in range(0, 36 * 3600, every_s):
        ledger.advance(NOW_US + second * US)
        ledger.scale("a", NOW_US + second * US, second % 7)
    assert len(ledger.accounts["a"].steps) <= 2 * 26 * 4 + 2 * 3600 // every_s + 2 * ledgers.TIDY_EVERY


def test_a_slot_of_many_steps_has_two_and_the_same_replica_time() -> None:
    """Whole numbers of replicas, and what came after goes on."""
    account = Account([(NOW_US + minute * 60 * US, 3 * minute % 7) for minute in range(20)])
    before = [account.cost(NOW_US + place * SLOT_US, NOW_US + (place + 1) * SLOT_US) for place in range(3)]
    account.thin(NOW_US + SLOT_US + 1)
    assert [account.cost(NOW_US + place * SLOT_US, NOW_US + (place + 1) * SLOT_US) for place in range(3)] == before
    assert len(account.steps) == 2 + 5
    account.thin(NOW_US + SLOT_US + 1)
    assert len(account.steps) == 2 + 5


def test_lines_that_follow_one_another_are_drawn_together_without_a_loss() -> None:
    """Those of this morning; those that ended in the last two hours keep their ids."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 9)
    ledger.advance(NOW_US + 6 * HOUR_US)
    for second in range(0, 5 * 3600, 8):
        start_us = NOW_US + second * US
        ledger.charge("a", Bill(start_us, start_us + 8 * US, 1000, estimated=False, line_id=f"{second}"))
    kept = ledger.accounts["a"].bills
    assert len(kept) <= MOST_LINES
    assert any(line.line_id is None for line in kept)
    assert all(line.line_id is not None for line in kept if line.end_us > ledger.now_us - KEEP_US)
    assert ledger.spend_today() == 2250 * 1000 + 9 * PRICE


@given(st.lists(moves(), max_size=25), st.sets(st.integers(0, 25)), st.integers(1, 10**10), st.sampled_from(ZONES))
def test_the_days_bound_is_never_below_its_spend(
    log: list[tuple[str, int, int, Bill | int]], asked: set[int], price: int, zone: str
) -> None:
    """Whatever comes, whenever the exact sum was asked for, and across midnights; and what is settled stays right."""
    ledger = noon_in(zone)
    for endpoint in "abc":
        ledger.price(endpoint, price)
    for place, move in enumerate(log):
        play(ledger, move)
        assert ledger.day.upper_nano >= summed_today(ledger)
        if place in asked:
            assert ledger.spend_today() == summed_today(ledger)
            assert ledger.day.upper_nano >= summed_today(ledger)
        if place % 5 == 4:
            ledger.price("abc"[place % 3], price * (place % 4))
            assert ledger.day.upper_nano >= summed_today(ledger)
    for after_us in (1, US, HOUR_US // 2, HOUR_US, 30 * HOUR_US):
        ledger.advance(ledger.now_us + after_us)
        assert ledger.day.upper_nano >= summed_today(ledger)
        assert ledger.spend_today() == summed_today(ledger)


@given(st.lists(moves(), max_size=40), st.integers(1, 10**10))
def test_the_days_bound_holds_when_history_is_drawn_together(
    log: list[tuple[str, int, int, Bill | int]], price: int
) -> None:
    """Of lines and of steps."""
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in (("MOST_LINES", 3), ("MOST_STEPS", 3), ("TIDY_EVERY", 2)):
            patch.setattr(ledgers, name, limit)
        ledger = ledger_at(NOW_US, "a", "b", "c")
        for endpoint in "abc":
            ledger.price(endpoint, price)
        for move in log:
            play(ledger, move)
            assert ledger.day.upper_nano >= summed_today(ledger)
            assert ledger.spend_today() == summed_today(ledger)


def test_the_days_bound_is_close_while_bills_replace_what_was_estimated() -> None:
    """Else every hour's bills would ask for the exact sum again and again."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 5)
    for hour in range(1, 6):
        ledger.advance(NOW_US + hour * HOUR_US)
        ledger.charge("a", bill(hour - 1, hour, 9.0, f"hour {hour}"))
    assert summed_today(ledger) <= ledger.day.upper_nano <= summed_today(ledger) + 100


def test_a_bill_of_this_morning_rewrites_the_days_sum() -> None:
    """However long ago its period ended; one of yesterday does not."""
    ledger = ledger_at(NOW_US, "a")  # 08:00
    ledger.scale("a", NOW_US, 5)
    ledger.advance(NOW_US + 12 * HOUR_US)
    assert ledger.spend_today() == 60 * PRICE
    ledger.charge("a", bill(1, 2, 100.0))
    assert ledger.spend_today() == 59 * PRICE - 4 * PRICE + 100 * NANO
    ledger.charge("a", bill(-30, -20, 100.0))
    assert ledger.spend_today() == 59 * PRICE - 4 * PRICE + 100 * NANO


def test_a_second_bill_for_the_same_hours_counts_too() -> None:
    """Although their sum was settled: what is kept of it in between is made anew."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 5)
    ledger.advance(NOW_US + 12 * HOUR_US)
    ledger.charge("a", bill(0, 4, 100.0))
    assert ledger.spend_today() == 8 * 5 * PRICE + 100 * NANO
    ledger.charge("a", bill(1, 2, 50.0))
    assert ledger.spend_today() == 8 * 5 * PRICE + 150 * NANO


def test_a_day_begins_at_nothing() -> None:
    """What ran before midnight counts from midnight on."""
    ledger = ledger_at(NOW_US, "a")  # 08:00
    ledger.scale("a", NOW_US, 5)
    ledger.advance(NOW_US + 15 * HOUR_US)
    assert ledger.spend_today() == 75 * PRICE
    ledger.advance(NOW_US + 16 * HOUR_US)
    assert (ledger.spend_today(), ledger.day.started_us) == (0, NOW_US + 16 * HOUR_US)
    ledger.advance(NOW_US + 17 * HOUR_US)
    assert ledger.spend_today() == 5 * PRICE


def test_another_time_zone_has_another_midnight() -> None:
    """Of the same history, as far as it is kept."""
    ledger = ledger_at(NOW_US, "a")  # 08:00 in London
    ledger.scale("a", NOW_US, 5)
    ledger.advance(NOW_US + 12 * HOUR_US)
    ledger.keep_days_of("Asia/Kolkata")  # where the day began at 18:30
    assert ledger.day.upper_nano >= ledger.spend_today() == 5 * PRICE * 3 // 2
    ledger.keep_days_of("UTC")
    assert ledger.spend_today() == 60 * PRICE


@given(st.lists(moves(), max_size=25), st.integers(0, 25), st.integers(1, 10**10))
def test_who_is_forgotten_has_spent_what_it_spent(
    log: list[tuple[str, int, int, Bill | int]], place: int, price: int
) -> None:
    """To the nano-dollar: neither does the sum of the day change, nor what is added to it later."""
    ledger = ledger_at(NOW_US)
    for endpoint in "abc":
        ledger.price(endpoint, price)
    for move in log[:place]:
        play(ledger, move)
    ledger.scale("a", ledger.now_us, 0)
    before = ledger.spend_today()
    ledger.forget("a")
    assert ledger.day.upper_nano >= ledger.spend_today() == before
    ledger.forget("b")
    ledger.forget("c")
    assert ledger.spend_today() == before
    ledger.advance(ledger.now_us + 24 * HOUR_US)
    assert ledger.spend_today() == 0


@given(st.lists(moves(), max_size=25), st.sampled_from(ZONES))
def test_an_adopted_account_has_the_same_day(log: list[tuple[str, int, int, Bill | int]], zone: str) -> None:
    """Bound and sum after a restart are those that there were."""
    ledger = noon_in(zone)
    for endpoint in "abc":
        ledger.price(endpoint, PRICE)
    for move in log:
        play(ledger, move)
    again = Ledger(zone)
    again.now_us, again.upper_nano, again.day = ledger.now_us, ledger.upper_nano, structs.replace(ledger.day)
    for endpoint, account in copy.deepcopy(ledger.accounts).items():
        again.adopt(endpoint, PRICE, account)
    again.mind()
    later_us = ledger.now_us + 100 * US
    for one in (ledger, again):
        one.advance(later_us)
    assert again.day == ledger.day
    assert again.spend_today() == ledger.spend_today()


def test_the_days_bound_minds_a_price_that_rose_while_nobody_looked() -> None:
    """A restart with a higher price must not hide the spend behind the old bound."""
    ledger = ledger_at(NOW_US, "a")
    ledger.scale("a", NOW_US, 2)
    ledger.advance(NOW_US + 10 * HOUR_US)
    again = Ledger()
    again.now_us, again.upper_nano, again.day = ledger.now_us, ledger.upper_nano, ledger.day
    again.adopt("a", 10 * PRICE, ledger.accounts["a"])
    again.mind()
    assert again.day.upper_nano >= again.spend_today() == 200 * PRICE
