"""PagerDuty: one incident for each episode, whatever is sent twice, too large or too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from actions.receivers.pagerduty import CALLS, MOST_BYTES, PagerDuty, fitted
from schemas.outputs import Severity, State
from streams.simulator import pagerduty as simulator
from streams.simulator.faulty_server import Fault
from tests.actions.receivers.kinds import pagerduty
from tests.actions.receivers.notifications import ENDS_AT, executed, fired, notification
from tests.actions.receivers.test_limiter import Clock


@asynccontextmanager
async def account(**options: Any) -> AsyncIterator[tuple[simulator.PagerDuty, PagerDuty]]:
    """An account, and the receiver that tells it."""
    async with simulator.PagerDuty() as double:
        receiver = pagerduty(double.url, **options)
        yield double, receiver
        await receiver.close()


def test_an_episode_is_one_incident_from_its_trigger_to_its_resolve() -> None:
    """Told of twice, and once worse, it has one log; the words and the severity are the alert's."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            for alert in (fired(severity=Severity.WARNING), fired(), fired(ends_at=ENDS_AT)):
                assert await receiver.notify(notification(alert)) is None
            (incident,) = double.incidents
            assert (incident.dedup_key, incident.status) == (fired().alert.dedup_key, "resolved")
            assert [event["event_action"] for event in incident.log] == ["trigger", "trigger", "resolve"]
            payload = incident.log[1]["payload"]
            assert payload["summary"] == fired().alert.summary
            assert (payload["severity"], payload["source"], payload["class"]) == (
                "critical",
                "acme/bert",
                "request_surge",
            )
            assert payload["custom_details"]["value"] == 45.0
            assert incident.log[1]["client_url"] == "https://tidegate.example/d/1"

    asyncio.run(scenario())


def test_what_is_no_news_is_not_triggered_again() -> None:
    """Another of its group is news; this incident is open already, and its log is for what happens to it."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            known, news = fired()._replace(is_news=False), fired("latency")
            assert await receiver.notify(notification(known, news)) is None
            assert [incident.dedup_key for incident in double.incidents] == [news.alert.dedup_key]

    asyncio.run(scenario())


def test_what_was_told_in_part_may_have_been_done() -> None:
    """Whoever clears up after a failure must not believe that nothing arrived."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            double.faults += [Fault(200, is_done=True), Fault(503)]
            failure = await receiver.notify(notification(fired(), fired("latency")))
            assert failure is not None
            assert (failure.retryable, failure.nothing_done) == (True, False)

    asyncio.run(scenario())


@pytest.mark.parametrize(("errors", "is_unfit"), [("Invalid routing key", False), ("'summary' is missing", True)])
def test_a_key_that_is_refused_is_not_the_fault_of_the_event(errors: str, *, is_unfit: bool) -> None:
    """Both are answered with 400; what is told with a wrong key must not be dropped."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            double.faults.append(Fault(400, text=f'{{"status": "invalid event", "errors": ["{errors}"]}}'))
            failure = await receiver.notify(notification(fired()))
            assert failure is not None
            assert (failure.retryable, failure.is_unfit) == (False, is_unfit)

    asyncio.run(scenario())


def test_of_a_group_that_was_refused_in_part_something_may_have_been_done() -> None:
    """The end of what arrived must be told, and what can be mended is worth another attempt."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            double.faults += [Fault(403), Fault(400), Fault(202, is_done=True)]
            failure = await receiver.notify(notification(fired(), fired("latency"), fired("error_rate")))
            assert failure is not None
            assert (failure.status, failure.nothing_done) == (403, False)

    asyncio.run(scenario())


@pytest.mark.parametrize("acknowledge", [True, False])
def test_a_brake_acknowledges_only_where_that_is_wanted(*, acknowledge: bool) -> None:
    """After its trigger, so that somebody hears of it; as long as no brake is on nothing is acknowledged."""

    async def scenario() -> None:
        async with account(acknowledge=acknowledge) as (double, receiver):
            await receiver.notify(notification(fired()))
            assert double.incidents[0].status == "triggered"
            await receiver.notify(notification(fired(summary="Command sent", labels={"action": "throttle"})))
            assert double.incidents[0].status == ("acknowledged" if acknowledge else "triggered")
            assert double.incidents[0].count("trigger") == 2

    asyncio.run(scenario())


def test_a_group_that_is_larger_than_a_minute_s_calls_is_told_in_the_end() -> None:
    """What was told of it is not told again, so that each attempt gets further."""

    async def scenario() -> None:
        clock = Clock()
        async with simulator.PagerDuty(clock) as double:
            receiver = pagerduty(double.url, clock)
            large = notification(*[fired(endpoint=f"acme/{n}") for n in range(2 * CALLS + 1)])
            waits = 0
            while (failure := await receiver.notify(large)) is not None:
                assert failure.retryable
                assert failure.retry_after_s == 60.0
                clock.now_s += failure.retry_after_s
                waits += 1
            await receiver.close()
            assert (waits, len(double.incidents)) == (2, 2 * CALLS + 1)
            assert {len(incident.log) for incident in double.incidents} == {1}

    asyncio.run(scenario())


def test_one_event_that_is_refused_keeps_no_other_from_being_told() -> None:
    """The failure is told once all others are, also if these had to be tried again."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            group = notification(*[fired(endpoint=f"acme/{n}") for n in range(4)])
            double.faults += [Fault(202, is_done=True), Fault(400), Fault(503)]
            first = await receiver.notify(group)
            second = await receiver.notify(group)
            assert first is not None
            assert second is not None
            assert (first.retryable, second.retryable) == (True, False)
            assert len(double.incidents) == 3

    asyncio.run(scenario())


def test_the_same_told_once_more_is_really_told() -> None:
    """A repetition after a success reaches an incident that somebody resolved by hand."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            await receiver.notify(notification(fired()))
            double.incidents[0].status = "resolved"
            await receiver.notify(notification(fired()))
            assert [incident.status for incident in double.incidents] == ["resolved", "triggered"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "details",
    [
        {"small": 1, "large": "x" * 600_000},
        {f"d{n}": "y" * 300_000 for n in range(9)},
        {f"k{n}": n for n in range(60_000)},
    ],
    ids=["one", "several", "many"],
)
def test_details_are_cut_to_the_size_that_is_taken(details: dict[str, Any]) -> None:
    """The largest first, and what is small is kept; a long summary is cut, too."""
    event = {"event_action": "trigger", "payload": {"summary": "s", "custom_details": details}}
    assert len(msgspec.json.encode(fitted(event))) <= MOST_BYTES
    assert fitted(event)["payload"]["custom_details"].get("small") == details.get("small")

    async def scenario() -> None:
        async with account() as (double, receiver):
            assert await receiver.notify(notification(fired(summary="ä" * 2000, details=details))) is None
            assert len(double.incidents[0].log[0]["payload"]["summary"]) == 1024

    asyncio.run(scenario())


def test_what_was_carried_out_or_undone_is_a_change_event() -> None:
    """One each, no incident; other steps of a command are none, and it can be switched off."""

    async def scenario() -> None:
        async with account() as (double, receiver):
            for state in (State.APPLYING, State.APPLIED, State.VERIFIED, State.RESTORED):
                assert await receiver.tell_change(executed(state)) is None
            summaries = [change["payload"]["summary"] for change in double.changes]
            assert summaries == [
                "acme/bert: throttle carried out and verified by hf",
                "acme/bert: throttle undone by hf",
            ]
            assert double.changes[0]["payload"]["custom_details"]["after"] == {"max_replicas": 4}
            assert double.incidents == []
        async with account(change_events=False) as (double, receiver):
            assert await receiver.tell_change(executed(State.VERIFIED)) is None
            assert double.changes == []

    asyncio.run(scenario())
