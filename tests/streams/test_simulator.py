"""The simulated fleet: reproducible, as busy as its profiles say, and as large as whoever runs it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec
import pytest

from schemas.events import Billing, Request, Scaling
from schemas.topics import BILLING, REQUESTS, SCALING
from schemas.units import HOUR_US, US
from streams.simulator import BACKFILL, LIVE, Emitted, Fleet, Profile, Replicas, draw_profiles, simulate
from streams.simulator.meter import Credit, Meter

START_US = 1_800_000_000 * US
BUSY = Profile("acme/busy", normal_rps=20.0, replicas=4, price_usd_per_hour=2.0, swing=0.0)
CALM = Profile("acme/calm", normal_rps=1.0, replicas=2, price_usd_per_hour=10.0, swing=0.0)
TYPES: dict[str, Any] = {REQUESTS: Request, SCALING: Scaling, BILLING: Billing}


def fleet(*profiles: Profile, seed: int = 7) -> Fleet:
    return Fleet(profiles or (BUSY, CALM), seed, START_US)


def run(subject: Fleet, seconds: float) -> list[Emitted]:
    return list(subject.advance(subject.now_us + round(seconds * US), LIVE))


def requests(events: list[Emitted], endpoint: str) -> list[Request]:
    key = endpoint.encode()
    return [msgspec.json.decode(e.value, type=Request) for e in events if e.topic == REQUESTS and e.key == key]


def scalings(events: list[Emitted], endpoint: str) -> list[Scaling]:
    key = endpoint.encode()
    return [msgspec.json.decode(e.value, type=Scaling) for e in events if e.topic == SCALING and e.key == key]


def rate(events: list[Emitted], endpoint: str, seconds: float) -> float:
    return sum(r.count for r in requests(events, endpoint)) / seconds


def test_the_same_seed_gives_the_same_log() -> None:
    """A log can be made again from its seed alone, and another seed makes another one."""
    assert simulate(3, 20, 60) == simulate(3, 20, 60)
    assert simulate(3, 20, 60) != simulate(4, 20, 60)


def test_a_span_is_the_same_however_finely_it_is_asked_for() -> None:
    """Nothing depends on when the caller looks at its clock."""
    at_once, bit_by_bit = fleet(), fleet()
    whole = run(at_once, 12)
    pieces = [e for until_us in range(0, 12 * US + 1, 70_000) for e in bit_by_bit.advance(START_US + until_us)]
    pieces += bit_by_bit.advance(START_US + 12 * US)
    assert pieces == whole


def test_the_same_replicas_give_the_same_events() -> None:
    """The fleet's answer to what is done to it is part of what can be made again."""
    logs = []
    for _ in range(2):
        subject = fleet()
        before = run(subject, 2)
        subject.follow("acme/busy", Replicas(ready=1, target=1, most=1))
        logs.append(before + run(subject, 3))
    assert logs[0] == logs[1]


def test_events_come_in_the_order_of_their_times_and_within_their_span() -> None:
    """Whoever writes the log needs no sorting."""
    times = [event.time_us for event in simulate(1, 50, 30, START_US)]
    assert times == sorted(times)
    assert times[0] >= START_US
    assert times[-1] < START_US + 30 * US


def test_every_event_is_valid_and_carries_its_endpoint_as_its_key() -> None:
    """What the simulator writes is what the contract says, in both cadences."""
    subject = fleet()
    events = [*subject.advance(START_US + 30 * US, BACKFILL), *run(subject, 5)]
    events.append(subject.bill("acme/busy", START_US, subject.now_us))
    for event in events:
        decoded = msgspec.json.decode(event.value, type=TYPES[event.topic])
        assert decoded.endpoint.encode() == event.key
        assert round(decoded.time * US) == event.time_us


def test_rates_are_those_of_the_profiles() -> None:
    """Over five minutes the mean is within five standard deviations of what the profile says."""
    events = list(fleet().advance(START_US + 300 * US, BACKFILL))
    for profile in (BUSY, CALM):
        tolerance = 5 * (profile.normal_rps / 300) ** 0.5
        assert rate(events, profile.name, 300) == pytest.approx(profile.normal_rps, abs=tolerance)


def test_an_endpoint_that_sleeps_says_so_and_wakes() -> None:
    """State scaledToZero, requests are answered with 503, and once it is wanted again it starts from nothing."""
    subject = fleet()
    subject.want("acme/busy", 0)
    asleep = run(subject, 10)[50:]
    subject.want("acme/busy", None)
    awake = run(subject, 10)
    assert scalings(asleep, "acme/busy")[-1].state == "scaledToZero"
    assert {row.status for row in requests(asleep, "acme/busy")[20:]} == {503}
    assert scalings(awake, "acme/busy")[-1].state == "running"


def test_an_endpoint_that_fails_and_is_slow_says_so_in_its_requests() -> None:
    """The others do not, and once it is well again it does not either."""
    subject = fleet()
    subject.slow_down("acme/busy", 10.0, queue_depth=30)
    subject.fail("acme/busy", 0.5)
    ill = run(subject, 20)
    subject.slow_down("acme/busy", 1.0)
    subject.fail("acme/busy", 0.0)
    well = run(subject, 20)
    counts = Counter[int]()
    for row in requests(ill, "acme/busy"):
        counts[row.status] += row.count
    assert counts[500] / counts.total() == pytest.approx(0.5, abs=0.15)
    assert {row.queue_depth for row in requests(ill, "acme/busy")} == {30}
    assert median(row.duration_s or 0 for row in requests(ill, "acme/busy")) == pytest.approx(1.2, rel=0.2)
    for rows in (requests(well, "acme/busy"), requests(ill, "acme/calm")):
        assert {(row.status, row.queue_depth) for row in rows} == {(200, 0)}
        assert median(row.duration_s or 0 for row in rows) == pytest.approx(0.12, rel=0.3)


def test_an_hour_of_the_usual_fleet_has_a_handy_size() -> None:
    """Two hundred endpoints make some ten thousand rows a minute, and a scaling event each in 15 seconds."""
    topics = Counter(event.topic for event in simulate(1, 200, 60))
    assert 5_000 < topics[REQUESTS] < 12_000
    assert 200 * 4 <= topics[SCALING] < 200 * 6


def test_profiles_are_different_and_drawn_from_the_seed() -> None:
    """Names are unique however large the fleet is, and no endpoint is drawn above its own limit."""
    profiles = draw_profiles(5, 1000)
    assert len({profile.name for profile in profiles}) == 1000
    assert profiles == draw_profiles(5, 1000)
    assert all(p.replicas * (1 + p.swing) <= p.expected_max and 0.2 <= p.normal_rps <= 30 for p in profiles)


def test_the_day_has_a_shape() -> None:
    """An endpoint that swings is busier at its peak than at night."""
    night = replace(BUSY, swing=0.5, peak_hour=(START_US / HOUR_US + 12) % 24)
    noon = replace(BUSY, swing=0.5, peak_hour=(START_US / HOUR_US) % 24)
    mean = [rate(list(fleet(p).advance(START_US + 60 * US, BACKFILL)), BUSY.name, 60) for p in (night, noon)]
    assert mean[0] < 15
    assert mean[1] > 25


def test_a_surge_is_nine_times_the_traffic_of_one_endpoint() -> None:
    """The load of one endpoint changes from the next step on, and of no other."""
    subject = fleet()
    subject.load("acme/busy", 9.0)
    events = run(subject, 20)
    assert rate(events, "acme/busy", 20) == pytest.approx(180, rel=0.1)
    assert rate(events, "acme/calm", 20) < 3


def test_a_runaway_shows_its_target_at_once_and_climbs() -> None:
    """The target jumps, the replicas follow within seconds, and each change is reported when it happens."""
    subject = fleet()
    run(subject, 6)
    subject.want("acme/busy", 40)
    reports = scalings(run(subject, 4), "acme/busy")
    assert reports[0].target_replicas == 40
    ready = [report.ready_replicas for report in reports]
    assert ready == sorted(ready)
    assert ready[-1] == 40
    assert len(set(ready)) > 10


def test_who_is_run_by_somebody_else_has_the_replicas_that_are_said() -> None:
    """Whatever its autoscaler wants; and its events tell of the most that it may have."""
    subject = fleet()
    subject.want("acme/busy", 40)
    run(subject, 5)
    subject.follow("acme/busy", Replicas(ready=8, target=9, most=9))
    last = scalings(run(subject, 5), "acme/busy")[-1]
    assert (last.ready_replicas, last.target_replicas, last.max_replicas) == (8, 9, 9)
    assert subject.wish("acme/busy") == 40
    assert subject.reading("acme/busy").capped


def test_who_is_paused_turns_everybody_away() -> None:
    """No replicas, state paused, and requests are answered with 400, as Hugging Face does."""
    subject = fleet()
    subject.follow("acme/busy", Replicas(ready=0, target=0, most=0))
    events = run(subject, 5)
    last = scalings(events, "acme/busy")[-1]
    assert (last.ready_replicas, last.state) == (0, "paused")
    assert {r.status for r in requests(events, "acme/busy")} == {400}
    assert subject.reading("acme/busy").usd_per_hour == 0


def test_every_endpoint_reports_its_replicas_at_least_every_five_seconds() -> None:
    """A watermark that follows the scaling topic keeps moving."""
    subject = fleet()
    times_us = [e.time_us for e in run(subject, 60) if e.topic == SCALING and e.key == b"acme/calm"]
    assert all(0 < later - earlier <= 5_100_000 for earlier, later in pairwise(times_us))


def test_a_bill_is_a_share_of_what_was_run() -> None:
    """Two replicas at $10 an hour for half an hour are $10; with a quarter off, $7.50."""
    subject = fleet()
    list(subject.advance(START_US + HOUR_US, BACKFILL))
    half_us = HOUR_US // 2
    bill = msgspec.json.decode(subject.bill("acme/calm", START_US + half_us, START_US + 2 * half_us, 0.75).value)
    assert bill["cost_usd"] == pytest.approx(7.5)


def test_the_meter_integrates_and_takes_bills_into_account() -> None:
    """Changes count from their moment on, and a credit counts by how much of its period is asked for."""
    meter = Meter([CALM])
    meter.note("acme/calm", 0, 1)
    meter.note("acme/calm", HOUR_US // 2, 3)
    assert meter.cost_usd("acme/calm", 0, HOUR_US) == pytest.approx(20.0)
    assert meter.cost_usd("acme/calm", HOUR_US // 4, HOUR_US // 2) == pytest.approx(2.5)
    meter.credit(Credit("acme/calm", 0, HOUR_US // 2, 4.0))
    assert meter.spend_usd(["acme/calm"], 0, HOUR_US) == pytest.approx(16.0)
    assert meter.spend_usd(["acme/calm"], HOUR_US // 4, HOUR_US) == pytest.approx(15.5)
