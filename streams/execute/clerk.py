"""One partition of commands: a task for each endpoint asks the executor what the docket says, and tells the answer.

A brake goes on only when it is written down that it begins, and while the broker says that this process still is the
one to act. It comes off whether or not a broker answers: that is what a dead man's switch is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from aiokafka import TopicPartition

from actions.docket import Answer, Ask, Docket, Entry, Heard, Step, Turn
from actions.executors.interface import Executor, Reading
from actions.failure import Failure
from schemas.outputs import Command, Result
from schemas.units import US, from_rfc3339
from schemas.unreadable import UNREADABLE
from streams import broker
from streams.execute.fence import Fence, Standing
from streams.execute.metrics import ExecuteMetrics

UNFENCED_S: Final = 0.5  # before it is asked again whether one may act
ACKNOWLEDGED_S: Final = 2.0
READS: Final = frozenset({Step.PLAN, Step.READ_BACK, Step.READ_UNDONE})
REASON_CHARS: Final = 300

log = structlog.get_logger("tidegate.execute")


class Hands(NamedTuple):
    """What all clerks of a process share. `tell` hands results over, `told` returns when they are acknowledged.

    `partitions` is how many the topic of commands has.
    """

    executor: Executor
    tell: Callable[[Iterable[Result]], Awaitable[None]]
    told: Callable[[], Awaitable[None]]
    fence: Fence
    metrics: ExecuteMetrics
    now_us: Callable[[], int]
    slots: asyncio.Semaphore
    fail: Callable[[BaseException], None]
    partitions: int = 1


class Clerk:
    """`until`: the end of the partition when it was assigned; nothing is asked before all up to there is read."""

    def __init__(self, partition: TopicPartition, docket: Docket, until: int, hands: Hands) -> None:
        self.docket, self._partition, self._until, self._hands = docket, partition, until, hands
        self._decoder = msgspec.json.Decoder(Command)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken: dict[str, asyncio.Event] = {}
        self.is_caught_up = self._is_closing = False

    async def hear(self, records: Iterable[Any], position: int) -> None:
        """The next records of the log; `position` is the offset after them."""
        touched: set[str] = set()
        for record in records:
            heard = self._read(record, touched)
            if heard.left is not None:
                self._hands.metrics.left(heard.left.value)
            await self._hands.tell(heard.tell)
        if not self.is_caught_up and position >= self._until:
            self.docket.caught_up(self._hands.now_us())
            self.is_caught_up = True
            touched.update(self.docket.endpoints())
        if self.is_caught_up:
            self._wake(touched)

    async def close(self, patience_s: float) -> None:
        """Begin nothing more; what is under way may end, in that time."""
        self._is_closing = True
        self._wake(list(self._tasks))
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _read(self, record: Any, touched: set[str]) -> Heard:  # noqa: ANN401 -- aiokafka's
        now_us = self._hands.now_us()
        try:
            command = self._decoder.decode(record.value or b"")
        except UNREADABLE as error:
            place = f"{record.topic}/{record.partition}@{record.offset}"
            return self.docket.unreadable(record.offset, f"{place}: {error}", now_us)
        touched.add(command.endpoint)
        own = broker.partition_of(command.endpoint.encode(), self._hands.partitions)
        entry = Entry(command, record.offset, own != self._partition.partition)
        return self.docket.read(entry, record.timestamp * 1000, now_us)

    def _wake(self, endpoints: Iterable[str]) -> None:
        for endpoint in endpoints:
            self._woken.setdefault(endpoint, asyncio.Event()).set()
            if endpoint not in self._tasks and not self._is_closing:
                self._tasks[endpoint] = task = asyncio.create_task(self._serve(endpoint))
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._hands.fail(error)

    async def _serve(self, endpoint: str) -> None:
        """Until there is nothing to do or to watch."""
        while not self._is_closing:
            self._woken[endpoint].clear()
            if await self._hands.fence.has_lost(self._partition):
                await asyncio.sleep(UNFENCED_S)
                continue  # until it is closed, or told that it has not
            async with self._hands.slots:
                turn = await self._turn(endpoint)
                if turn.ask is not None and not self._is_closing:
                    await self._carry_out(turn.ask)
                    continue
            if self._woken[endpoint].is_set():
                continue
            if turn.again_us is None:
                break
            await self._rest(endpoint, turn.again_us)
        del self._tasks[endpoint], self._woken[endpoint]

    async def _turn(self, endpoint: str) -> Turn:
        turn = self.docket.turn(endpoint, self._hands.now_us())
        await self._hands.tell(turn.tell)
        return turn

    async def _rest(self, endpoint: str, until_us: int) -> None:
        """Until then, or until something is read."""
        left_s = max(0.0, (until_us - self._hands.now_us()) / US)
        try:
            async with asyncio.timeout(left_s):
                await self._woken[endpoint].wait()
        except TimeoutError:
            pass

    async def _carry_out(self, ask: Ask) -> None:
        if not await self._may(ask.step):
            await asyncio.sleep(UNFENCED_S)
            return  # the next turn says anew what is to be done then
        answer = await asked(self._hands.executor, ask)
        now_us = self._hands.now_us()
        self._note(ask, answer, now_us)
        await self._hands.tell(self.docket.answer(ask, answer, now_us))

    async def _may(self, step: Step) -> bool:
        if step in READS:
            return True
        if step is Step.APPLY and not await self._is_told():
            return False
        standing = await self._hands.fence.ask(self._partition)
        return standing is Standing.LIVE or (step is Step.UNDO and standing is Standing.UNKNOWN)

    async def _is_told(self) -> bool:
        try:
            async with asyncio.timeout(ACKNOWLEDGED_S):
                await self._hands.told()
        except TimeoutError:
            return False
        return True

    def _note(self, ask: Ask, answer: Answer, now_us: int) -> None:
        about = {"step": ask.step.value, "command": ask.command.id, "endpoint": ask.command.endpoint}
        match answer:
            case Failure(reason, retryable):
                self._hands.metrics.failed(ask.step.value, retryable=retryable)
                log.warning("failed", **about, reason=reason[:REASON_CHARS], retryable=retryable)
            case Reading(wrong=str(wrong)):
                log.info("not yet so", **about, reason=wrong[:REASON_CHARS])
            case Reading() if ask.step is Step.READ_BACK:
                self._hands.metrics.verified((now_us - from_rfc3339(ask.command.issued_at)) / US)
            case _:
                pass


async def asked(executor: Executor, ask: Ask) -> Answer:
    """What the executor answers to a question of the docket."""
    command, before = ask.command, ask.before
    match ask.step:
        case Step.PLAN:
            return await executor.plan(command)
        case Step.APPLY:
            return await executor.apply(command, before)
        case Step.READ_BACK:
            return await executor.read_back(command)
        case Step.UNDO:
            return await executor.undo(command, before)
        case Step.READ_UNDONE:
            return await executor.read_back(command, before)
