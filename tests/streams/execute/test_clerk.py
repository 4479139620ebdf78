"""A clerk alone: no brake goes on unless that is written down and this process is the one to act; off it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition

from actions.docket import Docket, Past
from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Command, Refusal, Result, State
from schemas.units import US, from_rfc3339
from streams.broker import partition_of
from streams.execute.clerk import Clerk, Hands
from streams.execute.fence import Fence, Standing
from streams.execute.metrics import ExecuteMetrics
from tests.actions.docket.commands import NAME, START_US, command, office, restore

PARTITION: Final = TopicPartition("control.commands.v1", 0)
PATIENCE_S: Final = 10.0
AT_ONCE: Final = 3
SESSION_S: Final = 1000.0


class Outside:
    """An executor that remembers what it was asked, and how much of it at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = self.most = 0
        self.open = asyncio.Event()
        self.open.set()
        self.doors = frozenset({"plan", "apply", "read_back", "undo", "read_undone"})  # where it waits until it is open
        self.bug: Exception | None = None

    async def plan(self, _: Command) -> Plan | Failure:
        return await self._ask("plan") or Plan({}, ("a change",))

    async def apply(self, _: Command, __: Saved) -> Failure | None:
        return await self._ask("apply")

    async def undo(self, _: Command, __: Saved) -> Failure | None:
        return await self._ask("undo")

    async def read_back(self, _: Command, back_to: Saved | None = None) -> Reading | Failure:
        return await self._ask("read_back" if back_to is None else "read_undone") or Reading({}, None)

    async def close(self) -> None:
        """Nothing is open."""

    async def _ask(self, what: str) -> Failure | None:
        self.asked.append(what)
        if self.bug is not None:
            raise self.bug
        self.now += 1
        self.most = max(self.most, self.now)
        if what in self.doors:
            await self.open.wait()
        self.now -= 1
        return None


class Stood(Fence):
    """A fence that says what a test wants."""

    def __init__(self) -> None:
        super().__init__(None, SESSION_S)
        self.standing, self.asked = Standing.LIVE, 0

    def sleep(self) -> None:
        """As if this process had been stopped for as long as its session lasts."""
        self._beat_s -= SESSION_S

    async def ask(self, partition: TopicPartition) -> Standing:
        del partition
        self.asked += 1
        return self.standing


class Logged(NamedTuple):
    """A record as the consumer hands it over."""

    offset: int
    value: bytes
    timestamp: int = START_US // 1000
    topic: str = PARTITION.topic
    partition: int = 0


class Room:
    """A clerk with all that it needs, and a clock that a test sets."""

    def __init__(self) -> None:
        self.outside, self.fence = Outside(), Stood()
        self.told: list[Result] = []
        self.now_us, self.acknowledged = START_US, asyncio.Event()
        self.acknowledged.set()
        self.failures: list[BaseException] = []
        self.changed = asyncio.Condition()
        hands = Hands(
            self.outside, self._tell, self._wait, self.fence, ExecuteMetrics(NAME), lambda: self.now_us,
            asyncio.Semaphore(AT_ONCE), self.failures.append,
        )  # fmt: skip
        self.clerk = Clerk(PARTITION, Docket(office(), Past(NAME)), 0, hands)
        self._offset = 0

    async def hear(self, *commands: Command) -> None:
        records = [Logged(self._offset + n, msgspec.json.encode(each)) for n, each in enumerate(commands)]
        self._offset += len(records)
        await self.clerk.hear(records, self._offset)

    async def until(self, reached: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not reached():  # noqa: ASYNC110  (many things may change it)
                await asyncio.sleep(0.005)

    def states(self, given: Command) -> list[State | None]:
        return [result.state for result in self.told if result.command_id == given.id]

    async def _tell(self, results: Iterable[Result]) -> None:
        self.told += results

    async def _wait(self) -> None:
        await self.acknowledged.wait()


def play(scenario: Callable[[Room], Awaitable[None]]) -> None:
    async def played() -> None:
        room = Room()
        try:
            await scenario(room)
        finally:
            room.outside.open.set()
            await room.clerk.close(0)

    asyncio.run(played())


def test_nothing_is_applied_before_it_is_written_down_that_it_begins() -> None:
    """`applying` must be acknowledged first: it holds what to come back to."""

    async def scenario(room: Room) -> None:
        room.acknowledged.clear()
        await room.hear(given := command())
        await room.until(lambda: State.APPLYING in room.states(given))
        await asyncio.sleep(0.05)
        assert room.outside.asked == ["plan"]
        room.acknowledged.set()
        await room.until(lambda: State.VERIFIED in room.states(given))

    play(scenario)


@pytest.mark.parametrize("standing", [Standing.LOST, Standing.UNKNOWN])
def test_nothing_is_applied_by_who_may_not_be_the_one_to_act(standing: Standing) -> None:
    """Neither by a zombie, nor while no broker answers."""

    async def scenario(room: Room) -> None:
        room.fence.standing = standing
        await room.hear(given := command())
        await room.until(lambda: State.APPLYING in room.states(given))
        await asyncio.sleep(0.05)
        assert room.outside.asked == ["plan"]

    play(scenario)


@pytest.mark.parametrize(("standing", "is_undone"), [(Standing.LOST, False), (Standing.UNKNOWN, True)])
def test_the_dead_mans_switch_needs_no_broker_but_no_zombie_pulls_it(standing: Standing, is_undone: bool) -> None:  # noqa: FBT001
    """Whose partition another has leaves the undo to that one; who is cut off does it alone."""

    async def scenario(room: Room) -> None:
        await room.hear(given := command())
        await room.until(lambda: State.VERIFIED in room.states(given))
        room.fence.standing = standing
        room.acknowledged.clear()
        room.now_us = from_rfc3339(given.expires_at or "") + 6 * US
        await room.hear(command(endpoint="acme/other", executor="gateway"))
        await room.hear(given)  # wakes the desk
        await room.until(lambda: State.EXPIRED in room.states(given))
        if is_undone:
            await room.until(lambda: State.RESTORED in room.states(given))
        else:
            await asyncio.sleep(0.05)
        assert ("undo" in room.outside.asked) is is_undone

    play(scenario)


@pytest.mark.parametrize("standing", Standing)
def test_who_was_stopped_says_nothing_of_what_it_has_lost(standing: Standing) -> None:
    """What it would say is no longer so; it hears first whether it still is the one, and goes on if it is."""

    async def scenario(room: Room) -> None:
        await room.hear(given := command())
        await room.until(lambda: State.VERIFIED in room.states(given))
        room.fence.standing = standing
        room.now_us = from_rfc3339(given.expires_at or "") + 6 * US
        room.fence.asked = 0
        room.fence.sleep()
        await room.hear(given)  # wakes the desk
        await room.until(lambda: room.fence.asked or State.EXPIRED in room.states(given))
        await asyncio.sleep(0.02)
        assert (State.EXPIRED in room.states(given)) is (standing is not Standing.LOST)

    play(scenario)


def test_a_backlog_is_read_before_anything_is_asked() -> None:
    """What was commanded while nobody ran, and taken back since, is never done."""

    async def scenario(room: Room) -> None:
        room.clerk = Clerk(PARTITION, Docket(office(), Past(NAME)), 2, room.clerk._hands)
        await room.hear(given := command())
        await asyncio.sleep(0.02)
        assert not room.clerk.is_caught_up
        await room.hear(restore(given, START_US + US))
        await room.until(lambda: State.RESTORED in room.states(given))
        assert room.outside.asked == []

    play(scenario)


def test_only_so_many_are_asked_about_at_once() -> None:
    """And each endpoint has its turn."""

    async def scenario(room: Room) -> None:
        room.outside.open.clear()
        given = [command(endpoint=f"acme/{n}") for n in range(3 * AT_ONCE)]
        await room.hear(*given)
        await room.until(lambda: room.outside.now == AT_ONCE)
        room.outside.open.set()
        await room.until(lambda: all(State.VERIFIED in room.states(each) for each in given))
        assert room.outside.most == AT_ONCE

    play(scenario)


def test_what_is_under_way_may_end_and_nothing_new_begins() -> None:
    """A stop waits for the answer, and tells it."""

    async def scenario(room: Room) -> None:
        room.outside.doors = frozenset({"apply"})
        room.outside.open.clear()
        await room.hear(given := command())
        await room.until(lambda: "apply" in room.outside.asked)
        closing = asyncio.create_task(room.clerk.close(PATIENCE_S))
        await asyncio.sleep(0.02)
        room.outside.open.set()
        await closing
        assert room.states(given)[-1] is State.APPLIED
        assert "read_back" not in room.outside.asked

    play(scenario)


def test_a_bug_of_an_executor_is_no_verdict() -> None:
    """It stops the process, and nothing is told of the command."""

    async def scenario(room: Room) -> None:
        room.outside.bug = RuntimeError("a bug")
        await room.hear(given := command())
        await room.until(lambda: room.failures)
        assert room.states(given) == []

    play(scenario)


def test_a_clerk_knows_in_which_partition_an_endpoint_lies() -> None:
    """A signed command that somebody has copied into another one is refused, however fresh it is."""

    async def scenario(room: Room) -> None:
        hands = room.clerk._hands._replace(partitions=4)
        given = command()
        own = partition_of(given.endpoint.encode(), 4)
        for number in range(4):
            place = TopicPartition(PARTITION.topic, number)
            clerk = Clerk(place, Docket(office(), Past(NAME)), 0, hands)
            record = Logged(0, msgspec.json.encode(given), partition=number)
            refused = [one.refusal for one in clerk._read(record, set()).tell]
            assert refused == ([] if number == own else [Refusal.MISPLACED])

    play(scenario)
