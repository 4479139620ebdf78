"""One receiver's task: takes what is due, writes down that it begins, sends, writes down what came of it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from actions.alerting.backlog import FIRST_PAUSE_S, LONGEST_PAUSE_S, SHORTEST_PAUSE_S, Delivery
from actions.alerting.dispatch import Dispatch
from actions.failure import Failure
from actions.receivers.interface import Receiver
from schemas.outputs import Result
from schemas.units import US, to_us
from streams.alert.metrics import OVERFLOW, AlertMetrics

MOST_CHANGES: Final = 1000  # that wait for one receiver; they are no alerts, and the oldest are dropped

log = structlog.get_logger("tidegate.alert")


class Links(NamedTuple):
    """What all tasks share. `save` makes durable what changed, `sure` returns when this process may send."""

    dispatch: Dispatch
    metrics: AlertMetrics
    clock: Callable[[], int]
    save: Callable[[], Awaitable[None]]
    sure: Callable[[], Awaitable[None]]


class Change(NamedTuple):
    """A result that receivers may show, and its offset."""

    offset: int
    result: Result


class Deliverer:
    """Runs until it is told to `stop`, and never stops in the middle of a notification."""

    def __init__(self, name: str, receiver: Receiver, links: Links) -> None:
        self._name, self._receiver, self._links = name, receiver, links
        self._backlog = links.dispatch.backlogs[name]
        self._woken, self._stopping = asyncio.Event(), False
        self._changes: deque[Change] = deque()
        self._changes_after_us, self._pause_s = 0, FIRST_PAUSE_S

    async def run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            if not (await self._tell() or await self._tell_change()):
                await self._sleep()

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    def stop(self) -> None:
        """`run` returns after what is under way."""
        self._stopping = True
        self.wake()

    def add_change(self, change: Change) -> None:
        """To be told when no alert is due."""
        self._changes.append(change)
        if len(self._changes) > MOST_CHANGES:
            self._changes.popleft()
            self._links.metrics.failed.labels(self._name, OVERFLOW).inc()

    @property
    def oldest_change(self) -> int | None:
        """The offset of the first that was not told."""
        return self._changes[0].offset if self._changes else None

    async def close(self) -> None:
        await self._receiver.close()

    async def _tell(self) -> bool:
        await self._links.sure()
        if self._stopping:  # the lease was in doubt, and is lost
            return False
        delivery = self._links.dispatch.take(self._name, self._links.clock())
        if delivery is None:
            return False
        await self._links.save()
        await self._links.sure()  # Kafka may have been away for so long that another delivers by now
        if self._stopping:
            return False
        failure = await self._receiver.notify(delivery.notification)
        self._links.metrics.answered(self._name, failure)
        if failure is None:
            self._backlog.delivered(self._links.clock())
            self._tell_log(delivery)
        else:
            self._failed(delivery, failure)
        await self._links.save()
        return True

    async def _tell_change(self) -> bool:
        if self._stopping or not self._changes or self._links.clock() < self._changes_after_us:
            return False
        change = self._changes[0]
        failure = await self._receiver.tell_change(change.result)
        if failure is not None and failure.retryable:
            asked_s = failure.retry_after_s
            pause_s = self._pause_s if asked_s is None else max(asked_s, SHORTEST_PAUSE_S)
            self._changes_after_us = self._links.clock() + to_us(pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return True
        if failure is not None:
            log.error("change not told", receiver=self._name, command=change.result.command_id, reason=failure.reason)
        self._pause_s = FIRST_PAUSE_S
        if change in self._changes:  # too many may have come meanwhile
            self._changes.remove(change)
        return True

    async def _sleep(self) -> None:
        due = [self._backlog.wake_us(), self._changes_after_us if self._changes else None]
        wake_us = min((at_us for at_us in due if at_us is not None), default=None)
        timeout_s = None if wake_us is None else max(0.0, (wake_us - self._links.clock()) / US)
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return

    def _failed(self, delivery: Delivery, failure: Failure) -> None:
        pause_s = self._backlog.failed(failure, self._links.clock(), random.random())  # noqa: S311 -- no secret
        if failure.is_unfit:
            log.error("dropped", receiver=self._name, reason=failure.reason, episodes=sorted(delivery.told))
            return
        tell = log.error if not failure.retryable else log.warning if failure.retry_after_s is None else log.info
        tell("not delivered", receiver=self._name, reason=failure.reason, retry_in_s=round(pause_s, 1))

    def _tell_log(self, delivery: Delivery) -> None:
        reasons = {episode: reason.value for episode, reason in delivery.reasons.items()}
        log.info("delivered", receiver=self._name, episodes=reasons)
