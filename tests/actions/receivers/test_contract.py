"""What every receiver must do, against a real HTTP server of its kind."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from actions.failure import Failure
from actions.receivers.interface import Notification, Receiver
from schemas.outputs import State
from streams.simulator.faulty_server import Fault
from tests.actions.receivers.kinds import KINDS, TIMEOUT, Kind, standing
from tests.actions.receivers.notifications import ENDS_AT, executed, fired, notification

RETRYABLE: Final = (
    Fault(),
    Fault(408),
    Fault(429, {"Retry-After": "7"}),
    Fault(500),
    Fault(503),
    Fault(200, delay_s=0.5),
)
FINAL: Final = (Fault(400), Fault(401), Fault(403), Fault(404), Fault(410), Fault(302, {"Location": "/elsewhere"}))

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


async def told(receiver: Receiver, *notifications: Notification) -> list[Failure | None]:
    """Deliver one after another."""
    return [await receiver.notify(each) for each in notifications]


@every_kind
def test_the_same_notification_twice_does_no_harm(kind: Kind) -> None:
    """The other side knows what it knew after the first, at most with one more message of the same words."""

    async def scenario() -> None:
        async with standing(kind) as (double, receiver):
            once = notification(fired(), fired("latency"))
            assert await told(receiver, once) == [None]
            known = kind.state(double)
            assert known
            assert await told(receiver, once) == [None]
            assert kind.state(double) == known

    asyncio.run(scenario())


@every_kind
def test_a_resolve_is_told(kind: Kind) -> None:
    """After it nothing fires any more there."""

    async def scenario() -> None:
        async with standing(kind) as (double, receiver):
            assert await told(receiver, notification(fired())) == [None]
            assert kind.statuses(double)[-1] == "firing"
            assert await told(receiver, notification(fired(ends_at=ENDS_AT))) == [None]
            assert kind.statuses(double)[-1] == "resolved"

    asyncio.run(scenario())


@every_kind
def test_a_failure_says_whether_to_try_again_and_no_secret(kind: Kind) -> None:
    """Whatever goes wrong, also where the other side repeats all that it was told."""

    async def scenario() -> None:
        async with standing(kind) as (double, receiver):
            echo = f"{' '.join(kind.secrets).ljust(185, '.')} {kind.secrets[-1]}"  # what is quoted ends within it
            double.faults.extend(fault._replace(text=echo) for fault in (*RETRYABLE, *FINAL))
            for fault in (*RETRYABLE, *FINAL):
                failure = await receiver.notify(notification(fired()))
                assert failure is not None
                assert (fault, failure.retryable) == (fault, fault in RETRYABLE)
                assert failure.retry_after_s == (7 if fault.status == 429 else None)
                assert failure.nothing_done is (fault.status == 503 or 400 <= (fault.status or 0) < 500)
                assert failure.reason.startswith("pager: POST")
                assert not [secret for secret in kind.secrets if secret[:10] in f"{failure!r} {receiver!r}"]

    asyncio.run(scenario())


@every_kind
def test_nobody_there_is_a_failure_to_try_again(kind: Kind) -> None:
    """Whoever is down may come back; a name that is none is not an address."""

    async def scenario() -> None:
        async with standing(kind) as (double, _):
            url = double.url
        receiver = kind.receiver(url)
        failure = await receiver.notify(notification(fired()))
        await receiver.close()
        assert failure is not None
        assert failure.retryable
        assert failure.nothing_done
        assert not [secret for secret in kind.secrets if secret in failure.reason]

    asyncio.run(asyncio.wait_for(scenario(), 20 * TIMEOUT))


@every_kind
def test_what_arrived_though_the_answer_was_lost_is_told_again_without_harm(kind: Kind) -> None:
    """The connection is cut after the deed: the next attempt ends where one would have."""

    async def scenario() -> None:
        async with standing(kind) as (double, receiver):
            double.faults.append(Fault(is_done=True))
            first, second = await told(receiver, notification(fired()), notification(fired()))
            assert first is not None
            assert first.retryable
            assert not first.nothing_done
            assert second is None
            assert len(kind.state(double)) == 1

    asyncio.run(scenario())


@every_kind
def test_a_change_is_told_or_passed_over(kind: Kind) -> None:
    """Nobody fails at it."""

    async def scenario() -> None:
        async with standing(kind) as (_, receiver):
            assert await receiver.tell_change(executed(State.VERIFIED)) is None

    asyncio.run(scenario())


@every_kind
def test_a_large_group_is_told_whole_or_in_parts(kind: Kind) -> None:
    """Sixty alerts with long words of every alphabet are nothing that the other side refuses."""

    async def scenario() -> None:
        async with standing(kind) as (double, receiver):
            many = [fired(endpoint=f"acme/{n}", summary="<é&> " * 600) for n in range(60)]
            assert await told(receiver, notification(*many)) == [None]
            assert kind.state(double)

    asyncio.run(scenario())
