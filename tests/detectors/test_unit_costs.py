"""Full hours of an endpoint: what it cost, and how many requests it had, each counted once and none by half."""

from __future__ import annotations

import msgspec

from detectors.ledger import Ledger
from detectors.unit_costs import GRACE_US, REACH_US, Hour, Tally, UnitCosts
from schemas.outputs import Bill, Rollup
from schemas.topics import REQUESTS, SCALING
from schemas.units import HOUR_US, NANO, US

START_US = 498_000 * HOUR_US
MINUTE_US = 60 * US


class Book:
    """A ledger and the hours that come of it."""

    def __init__(self, prices: dict[str, int]) -> None:
        self.ledger, self.costs = Ledger(), UnitCosts(set())
        for name, usd in prices.items():
            self.ledger.price(name, usd * NANO)

    def take(self, rollup: Rollup) -> list[Hour]:
        self.ledger.advance(rollup.time_us)
        if rollup.endpoint is not None and rollup.replicas is not None:
            self.ledger.scale(rollup.endpoint, rollup.time_us, rollup.replicas)
        return list(self.costs.observe(rollup, self.ledger))

    def scale(self, minute: int, replicas: int, name: str = "a") -> list[Hour]:
        return self.take(Rollup("all", SCALING, 0, 0, START_US + minute * MINUTE_US, endpoint=name, replicas=replicas))

    def count(self, minute: int, partition: int = 0, **counts: int) -> list[Hour]:
        several = {name: (count, 0) for name, count in counts.items()}
        return self.take(Rollup("all", REQUESTS, partition, 0, START_US + minute * MINUTE_US, requests=several or None))


def test_an_hour_has_its_requests_and_its_cost() -> None:
    """A request of the last minute belongs to it, one of the next minute does not."""
    book = Book({"a": 3})
    book.scale(0, 2)
    told = [hour for minute, n in ((1, 10), (60, 20), (61, 40), (65, 80)) for hour in book.count(minute, a=n)]
    assert told == [Hour("a", START_US + HOUR_US, 30, 6 * NANO, 2 * HOUR_US)]
    assert book.count(125, a=1) == [Hour("a", START_US + 2 * HOUR_US, 120, 6 * NANO, 2 * HOUR_US)]


def test_an_hour_is_complete_a_little_after_its_end() -> None:
    """By the clock of its own partition: whatever the others have been read to."""
    book = Book({"a": 1, "b": 1})
    book.scale(0, 1, "a")
    book.scale(0, 1, "b")
    book.count(1, 0, a=10)
    book.count(1, 1, b=10)
    assert book.count(64, 0, a=1) == []
    assert [hour.endpoint for hour in book.count(60 + GRACE_US // MINUTE_US, 0, a=1)] == ["a"]
    assert book.count(59, 1, b=7) == [], "a backlog that is read later"
    (late,) = book.count(65, 1)
    assert (late.endpoint, late.requests) == ("b", 17)


def test_an_endpoint_without_requests_goes_by_the_clock_of_the_budget() -> None:
    """And its hours have none."""
    book = Book({"a": 1, "b": 1})
    book.scale(0, 1, "a")
    book.scale(0, 2, "b")
    book.count(1, 0, a=10)
    assert book.scale(66, 2, "b") == [Hour("b", START_US + HOUR_US, 0, 2 * NANO, 2 * HOUR_US)]


def test_an_hour_in_which_nobody_asked_has_no_requests() -> None:
    """It is told all the same, once."""
    book = Book({"a": 1, "b": 1})
    book.scale(0, 1, "a")
    book.scale(0, 1, "b")
    book.count(1, 0, a=10, b=5)
    hours = [hour for minute in (70, 125, 130) for hour in book.count(minute, 0, b=1)]
    assert [(hour.endpoint, hour.end_us - START_US, hour.requests) for hour in hours] == [
        ("a", HOUR_US, 10),
        ("b", HOUR_US, 5),
        ("a", 2 * HOUR_US, 0),
        ("b", 2 * HOUR_US, 1),
    ]


def test_an_hour_that_the_ledger_no_longer_knows_is_left_out() -> None:
    """Its partition stood still for too long."""
    book = Book({"a": 1})
    book.scale(0, 1)
    book.count(1, 0, a=10)
    book.scale(REACH_US // MINUTE_US + 1, 1)
    assert book.count(66, 0, a=1) == []


def test_who_has_no_account_is_not_counted() -> None:
    """Nobody knows what it costs, and nothing of it would outlive a restart."""
    book = Book({"a": 1})
    book.count(1, 0, a=10)
    book.scale(2, 1)
    (hour,) = book.count(66, 0, a=1)
    assert hour.requests == 0
    book.costs.drop("a")
    assert book.costs.snapshot_of("a") is None


def test_a_bill_that_is_there_in_time_is_what_the_hour_cost() -> None:
    """It replaces replicas times price."""
    book = Book({"a": 1})
    book.scale(0, 1)
    book.count(1, 0, a=10)
    book.ledger.charge("a", Bill(START_US, START_US + HOUR_US, 7 * NANO, estimated=False, line_id=None))
    (hour,) = book.count(66, 0, a=1)
    assert (hour.cost_nano, hour.replica_us) == (7 * NANO, HOUR_US)


def test_what_is_kept_goes_on_as_if_nothing_had_been() -> None:
    """Of the partitions, and of the endpoint."""
    book = Book({"a": 1})
    book.scale(0, 1)
    book.count(59, 0, a=10)
    book.count(62, 0, a=1)
    kept = book.costs.snapshot_of("a")
    assert kept == Tally(0, {START_US // HOUR_US: 10, START_US // HOUR_US + 1: 1})
    again = UnitCosts(set())
    again.restore(msgspec.json.decode(msgspec.json.encode(book.costs.snapshot()), type=dict[int, int]))
    again.adopt("a", msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=Tally))
    book.costs = again
    (hour,) = book.count(65, 0, a=1)
    assert hour.requests == 10
