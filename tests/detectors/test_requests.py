"""Requests: what neither the contract of rules nor the laws of stages would surely meet."""

from __future__ import annotations

import msgspec
from msgspec import structs

from detectors.requests import ROLLUP_ENDPOINTS, EndpointState
from detectors.rules.request_surge import Settings
from schemas.config import Input, Seconds
from schemas.outputs import Rollup
from schemas.topics import REQUESTS
from schemas.units import US
from tests.detectors.logs import ENDPOINT, START_S, findings, numbered, request, settings, stage_of


def test_a_late_request_of_a_window_that_is_over_opens_nothing() -> None:
    """Also when a new configuration has just put the threshold below what the window holds."""
    stage = stage_of(REQUESTS, settings(7, request_surge=Settings(window=Seconds(1))))
    log = [request(second, 30) for second in range(80)]
    assert findings(stage, numbered([*log, request(80, 100)])) == []
    stage.reconfigure(settings(7, request_surge=Settings(window=Seconds(1), ratio=1.1)))
    assert findings(stage, numbered([request(76, 1)])) == []
    (opened,) = findings(stage, numbered([request(80.5, 1)]))
    assert opened.evidence["requests"] == 101


def test_an_endpoint_seen_only_late_does_not_keep_the_fold_awake() -> None:
    """A gap of fifty years is stepped over, not walked second by second."""
    stage = stage_of(REQUESTS, settings())
    findings(stage, numbered([request(100, 1), request(1, 1, "acme/late"), request(101, 0, "acme/none")]))
    findings(stage, numbered([request(1_500_000_000, 1)._replace(timestamp=(START_S + 1_500_000_000) * 1000)]))
    assert stage.event_time_us == (START_S + 1_500_000_000) * US


def test_late_requests_are_counted_as_late() -> None:
    """They reach no bucket any more."""
    stage = stage_of(REQUESTS, settings(2))
    counts = stage.fold(numbered([request(10, 1), request(8, 1), request(7.9, 1)])).counts
    assert (counts["events", "accepted"], counts["events", "late"]) == (2, 1)


def test_few_requests_are_no_surge() -> None:
    """Three requests in a window are ten times the normal of a sparse endpoint, and mean nothing."""
    stage = stage_of(REQUESTS, settings())
    log = [request(second, 1) for second in range(0, 1200, 30)] + [request(1200 + n, 1) for n in range(3)]
    assert findings(stage, numbered(log)) == []


def test_an_endpoint_may_have_settings_of_its_own() -> None:
    """A wider ratio keeps one endpoint silent where the other fires."""
    config = settings()
    tolerant = structs.replace(config.defaults, rules={"request_surge": Settings(ratio=50)})
    stage = stage_of(REQUESTS, structs.replace(config, endpoints={"acme/b": tolerant}))
    log = [request(s, 2 if s < 700 else 30, name) for s in range(720) for name in ("acme/a", "acme/b")]
    assert {finding.subject for finding in findings(stage, numbered(log))} == {"acme/a"}


def test_a_minute_with_very_many_endpoints_is_rolled_up_in_several_records() -> None:
    """No record outgrows Kafka's limit, each endpoint is in one, and the sequence goes on rising."""
    stage = stage_of(REQUESTS, settings())
    names = [f"acme/{number:05d}" for number in range(ROLLUP_ENDPOINTS + 1)]
    log = numbered([*(request(START_S, 1, name) for name in names), request(START_S + 70, 1)])
    clock, *rollups = [value for value in stage.fold(log).values if isinstance(value, Rollup)]
    assert clock.requests is None
    assert [len(rollup.requests or {}) for rollup in rollups] == [ROLLUP_ENDPOINTS, 1]
    assert [name for rollup in rollups for name in rollup.requests or {}] == names
    assert rollups[0].seq < rollups[1].seq


def test_an_endpoint_that_is_silent_for_long_is_forgotten() -> None:
    """At a full minute, and not before; one that comes again is new."""
    stage = stage_of(REQUESTS, structs.replace(settings(), input=Input(lateness=Seconds(2), forget_after=Seconds(300))))
    findings(stage, numbered([request(0, 1, "acme/old"), request(1, 1, "acme/back"), request(290, 1, "acme/new")]))
    assert all(fact.state is not None for fact in stage.changed())
    findings(stage, numbered([request(361, 1, "acme/new")]))
    assert all(fact.state is not None for fact in stage.changed())
    findings(stage, numbered([request(362, 1, "acme/new"), request(363, 1, "acme/back")]))
    assert {fact.subject: fact.state is None for fact in stage.changed()} == {
        b"acme/old": True, b"acme/back": False, b"acme/new": False,
    }  # fmt: skip


def test_ever_new_names_leave_no_more_than_the_limit() -> None:
    """A sender that makes up names costs a bounded number of states."""
    config = structs.replace(settings(), input=Input(lateness=Seconds(2), max_endpoints=50))
    stage = stage_of(REQUESTS, config)
    for minute in range(20):
        findings(stage, numbered([request(60 * minute + n / 10, 1, f"{minute}/{n}") for n in range(500)]))
    findings(stage, numbered([request(1205, 1, "last")]))
    states = {fact.subject.decode(): fact.state for fact in stage.changed()}
    assert len(states) > 9000  # all but the last were forgotten, and are named so that their facts can go
    assert [name for name, state in states.items() if state is not None] == [
        *(f"19/{n}" for n in range(450, 500)),
        "last",
    ]


def test_more_open_episodes_than_endpoints_may_be() -> None:
    """After the limit was lowered: the first are forgotten with their episodes, in whatever batches."""
    surge = Settings(window=Seconds(1))
    free = structs.replace(settings(request_surge=surge), input=Input(lateness=Seconds(2)))
    tight = structs.replace(free, input=Input(lateness=Seconds(2), max_endpoints=1))
    names = ("acme/a", "acme/b")
    log = numbered([request(s, 3 if s < 110 else 400, name) for s in range(200) for name in names])
    told = []
    for size in (1, 7, len(log)):
        stage = stage_of(REQUESTS, free)
        assert {finding.subject for finding in findings(stage, log[:300])} == set(names)
        stage.reconfigure(tight)
        rest = log[300:]
        told.append([found for at in range(0, len(rest), size) for found in findings(stage, rest[at : at + size])])
    assert told[0] == told[1] == told[2]
    assert told[0][-1].subject == "acme/b"


def test_what_the_open_minute_counted_is_kept_with_the_endpoint() -> None:
    """A second that closes after a checkpoint, of an endpoint that says nothing more, is in the next one."""
    stage = stage_of(REQUESTS, settings())
    findings(stage, numbered([request(41.5, 7)]))
    assert [fact.subject for fact in stage.changed()] == [ENDPOINT.encode()]
    findings(stage, numbered([request(45, 1, "acme/other")]))
    (kept,) = [fact.state for fact in stage.changed() if fact.subject == ENDPOINT.encode()]
    assert msgspec.msgpack.decode(kept or b"", type=EndpointState).minute == [7, 0]
