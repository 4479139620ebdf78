from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actions.alerting.dispatch import Came, Dispatch
from actions.failure import Failure
from actions.receivers.interface import Notification
from schemas.config import Kafka
from schemas.outputs import Result
from schemas.receivers import Route
from schemas.section import Seconds
from streams.alert.deliverer import MOST_CHANGES, Change, Deliverer, Links
from streams.alert.lease import Lease
from streams.alert.metrics import AlertMetrics
from tests.actions.alerting.alerts import START_US, alert, config
from tests.streams.alert.test_live import result

WAIT_S = 20.0
BOTH = Route(receiver="one", routes=(Route(receiver="two", continue_=True), Route()))


class Told:
    """A receiver that answers what it is told to, once it may."""

    def __init__(self, answers: list[Failure | None] | None = None, of_changes: Failure | None = None) -> None:
        self.may_answer, self.was_asked = asyncio.Event(), asyncio.Event()
        self.notifications: list[Notification] = []
        self.order: list[str] = []
        self.kept: list[bool] = []
        self.is_kept: Callable[[], bool] = lambda: True
        self._answers, self._of_changes = answers or [], of_changes

    async def notify(self, notification: Notification) -> Failure | None:
        self.notifications.append(notification)
        self.order.append("alert")
        self.kept.append(self.is_kept())
        self.was_asked.set()
        await self.may_answer.wait()
        return self._answers.pop(0) if self._answers else None

    async def tell_change(self, result: Result) -> Failure | None:  # noqa: ARG002
        self.order.append("change")
        return self._of_changes

    async def close(self) -> None:
        return


class Scene:
    """Deliverers over one dispatch, with what they have saved."""

    def __init__(self, **receivers: Told) -> None:
        self.dispatch = Dispatch(config(*receivers, route=BOTH if len(receivers) > 1 else None))
        self.metrics, self.saved = AlertMetrics(), dict[str, Any]()
        self.saving: Callable[[], None] = lambda: None
        self.is_sure = asyncio.Event()
        self.is_sure.set()
        links = Links(self.dispatch, self.metrics, lambda: START_US, self.save, self.sure)
        self.deliverers = [Deliverer(name, receiver, links) for name, receiver in receivers.items()]
        self.dispatch.hear(alert("e"), Came(0, START_US))

    async def save(self) -> None:
        self.saving()
        self.saved.update(self.dispatch.changed())

    async def sure(self) -> None:
        await self.is_sure.wait()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tidegate_notifications_{name}", labels) or 0.0


def test_that_it_was_tried_is_saved_before_it_is_sent_and_that_it_was_told_after() -> None:
    """Whatever a crash cuts off, the end will be told."""

    async def scenario() -> None:
        told = Told()
        scene = Scene(one=told)
        (deliverer,) = scene.deliverers
        told.is_kept = lambda: any(subject.startswith("story/") for subject in scene.saved)
        running = asyncio.create_task(deliverer.run())
        await told.was_asked.wait()
        before = dict(scene.saved)
        deliverer.stop()
        assert not running.done(), "never in the middle of a notification"
        told.may_answer.set()
        await running
        assert told.kept == [True]
        assert scene.saved != before
        assert scene.count("delivered_total", receiver="one") == 1

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_one_that_does_not_answer_holds_up_nobody_else() -> None:
    """Each has a task of its own."""

    async def scenario() -> None:
        slow, quick = Told(), Told()
        quick.may_answer.set()
        scene = Scene(one=slow, two=quick)
        running = asyncio.gather(*[deliverer.run() for deliverer in scene.deliverers])
        await slow.was_asked.wait()
        await quick.was_asked.wait()
        for number in range(1, 4):
            quick.was_asked.clear()
            scene.dispatch.hear(alert(str(number)), Came(number, START_US))
            scene.deliverers[1].wake()
            await quick.was_asked.wait()
        assert (len(slow.notifications), len(quick.notifications)) == (1, 4)
        slow.may_answer.set()
        for deliverer in scene.deliverers:
            deliverer.stop()
        await running

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_nothing_is_sent_once_the_lease_that_was_in_doubt_is_lost() -> None:
    """A process that was stopped and wakes up must not page: another may have told the end by now."""

    async def scenario() -> None:
        told = Told()
        scene = Scene(one=told)
        scene.is_sure.clear()
        (deliverer,) = scene.deliverers
        running = asyncio.create_task(deliverer.run())
        await asyncio.sleep(0)
        deliverer.stop()
        scene.is_sure.set()
        await running
        assert told.notifications == []

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_nothing_is_sent_if_the_lease_was_lost_while_it_was_being_written_down() -> None:
    """Kafka may be away for a minute: who delivers by then has told the end, and this would open it anew."""

    async def scenario() -> None:
        told = Told()
        told.may_answer.set()
        scene = Scene(one=told)
        (deliverer,) = scene.deliverers
        scene.saving = scene.is_sure.clear
        running = asyncio.create_task(deliverer.run())
        while scene.is_sure.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
        deliverer.stop()
        scene.is_sure.set()
        await running
        assert told.notifications == []

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_a_change_that_is_to_be_told_again_at_once_is_told_after_a_pause() -> None:
    """`Retry-After: 0` is no invitation to ask ten thousand times a second."""

    async def scenario() -> None:
        told = Told(of_changes=Failure("429", retryable=True, retry_after_s=0.0))
        scene = Scene(one=told)
        (deliverer,) = scene.deliverers
        deliverer.add_change(Change(0, result("new")))
        assert await deliverer._tell_change()
        assert not await deliverer._tell_change()
        assert told.order == ["change"]

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_a_lease_is_in_doubt_after_kafka_was_away_for_half_a_session() -> None:
    """Shorter than that the group cannot have noticed."""

    async def scenario() -> None:
        lease = Lease(Kafka(session_timeout=Seconds(600)), lambda: asyncio.sleep(0))
        lease.doubt(299)
        await lease.sure()
        lease.doubt(301)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lease.sure(), 0.01)

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_what_is_refused_is_counted_apart_from_what_is_tried_again() -> None:
    """The one wants a person, the other patience."""

    async def scenario() -> None:
        told = Told([Failure("busy", retryable=True, retry_after_s=0.1), Failure("400", retryable=False, status=400)])
        told.may_answer.set()
        scene = Scene(one=told)
        (deliverer,) = scene.deliverers
        assert await deliverer._tell()
        assert scene.dispatch.backlogs["one"].wake_us() == START_US + 100_000
        scene.dispatch.backlogs["one"]._blocked_until_us = 0
        scene.dispatch.backlogs["one"].look_now()
        assert await deliverer._tell()
        assert not await deliverer._tell()
        assert scene.count("failed_total", receiver="one", reason="later") == 1
        assert scene.count("failed_total", receiver="one", reason="refused") == 1

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_changes_are_told_after_alerts_and_not_kept_for_ever() -> None:
    """They are no pages: of too many the oldest are dropped, and counted."""

    async def scenario() -> None:
        told = Told()
        told.may_answer.set()
        scene = Scene(one=told)
        (deliverer,) = scene.deliverers
        for offset in range(MOST_CHANGES + 1):
            deliverer.add_change(Change(offset, result("new")))
        assert deliverer.oldest_change == 1
        assert scene.count("failed_total", receiver="one", reason="overflow") == 1
        running = asyncio.create_task(deliverer.run())
        while deliverer.oldest_change is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        deliverer.stop()
        await running
        assert told.order == ["alert", *["change"] * MOST_CHANGES]

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))
