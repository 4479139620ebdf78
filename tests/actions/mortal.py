"""`tidegate execute` without a process: its logs, a provider behind real HTTP, a virtual clock, and a death at will.

A process is known by its effects: a result that is in the log, a request that was carried out, an offset that
is committed. Everything else is memory, and gone with it. So whoever kills it between any two of its effects has
killed it at every step there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from actions.docket import Ask, Docket, Entry, Office, Past, Step
from actions.docket.standing import Turn
from schemas.executors import HuggingFace
from schemas.outputs import Command, Id, Result, State
from schemas.units import US
from streams.execute.clerk import asked
from streams.simulator.hosting import USUAL, Hosted
from streams.simulator.hugging_face import CUT_AFTER
from tests.actions.docket.commands import KEY, NAME, START_US
from tests.hosted import LLAMA, Account

SOON_S: Final = 1.0  # until a process is there again
AGAIN_S: Final = 3.0  # after which what is doubled comes once more
MOST_LIVES: Final = 100
LEAST, MOST, REPLICAS = 2, 10, 6
UPDATE_S: Final = 1.0


class Killed(BaseException):
    """Nobody catches it but who keeps processes running."""


class Written(NamedTuple):
    """A command, and when the log takes it: seconds from the start."""

    at_s: float
    command: Command


def llama() -> Hosted:
    """Six replicas, of two to ten. What a pause and a resume forget must be put back."""
    conditions = USUAL._replace(update_s=UPDATE_S)
    return Hosted(LLAMA, price_usd_per_hour=2.0, least=LEAST, most=MOST, wanted=REPLICAS, conditions=conditions)


@dataclass
class World:
    """What outlives a process. `dies_after`: whether it dies after so many effects, counted from the very first.

    `is_lazy`: what was told is in the log only when somebody waits for that; a death takes what is not.
    `is_doubled`: all that is written is there again later: commands as by a worker that was killed, results as by an
    executor that woke up.
    """

    account: Account
    script: Sequence[Written]
    dies_after: Callable[[int], bool] = lambda _: False
    is_lazy: bool = False
    is_doubled: bool = False
    away_s: float = SOON_S
    results: list[Result] = field(default_factory=list)
    committed: int = 0
    effects: int = 0
    deaths: int = 0
    last_braked_s: float = -1.0

    def __post_init__(self) -> None:
        self.account.double.arrives = self._request
        self.is_dying = False
        again = [one._replace(at_s=one.at_s + AGAIN_S) for one in self.script] if self.is_doubled else []
        self.log = sorted([*self.script, *again], key=lambda one: one.at_s)

    @property
    def now_us(self) -> int:
        return START_US + round(self.account.clock.now_s * US)

    @property
    def applied(self) -> Counter[tuple[str, str]]:
        """What the provider has carried out, and how often."""
        return self.account.double.applied

    def told(self) -> list[Result]:
        """The results as they lie in their log."""
        return self.results * 2 if self.is_doubled else self.results

    def written(self) -> list[Written]:
        """The commands that are in their log by now."""
        return [one for one in self.log if one.at_s <= self.account.clock.now_s]

    def effect(self) -> None:
        """One more; maybe the last of this process."""
        self.effects += 1
        if self.dies_after(self.effects):
            raise Killed

    def pass_until(self, at_s: float) -> None:
        """Let time pass, and remember when a brake was last on."""
        clock = self.account.clock
        if self.is_braked():
            self.last_braked_s = max(clock.now_s, at_s)
        clock.now_s = max(clock.now_s, at_s)

    def is_braked(self) -> bool:
        endpoint = self.account.double[LLAMA]
        return endpoint.rest is not None or (endpoint.least, endpoint.most) != (LEAST, MOST)

    def states(self, command_id: Id) -> list[State]:
        return [one.state for one in self.results if one.command_id == command_id and one.state is not None]

    def _request(self) -> None:
        """The provider hears it, and nobody will hear the answer if the process dies over it."""
        assert not self.is_dying, "a request after the last effect"
        self.effects += 1
        if self.dies_after(self.effects):
            self.is_dying = True
            self.account.double.faults.append(CUT_AFTER)


class Process:
    """One life: built of what was told, then fed with the log from the committed offset on, as the real one is."""

    def __init__(self, world: World) -> None:
        self._world, self._executor = world, world.account.executor
        past = Past(NAME)
        for result in world.told():
            past.add(result)
        self._docket = Docket(_office(world.account.url), past)
        self._docket.begin(world.committed)
        self._read_to, self._untold = world.committed, list[Result]()
        self._read()
        self._docket.caught_up(world.now_us)

    async def run(self, until_s: float) -> None:
        """Until then, in virtual time."""
        world = self._world
        while True:
            self._read()
            turns = [self._turn(endpoint) for endpoint in self._docket.endpoints()]
            asks = [turn.ask for turn in turns if turn.ask is not None]
            for ask in asks:
                await self._carry_out(ask)
            self._commit()
            if asks:
                continue
            due_s = self._due_s(turns)
            world.pass_until(min(due_s, until_s))
            if due_s >= until_s:
                return

    def settled(self) -> bool:
        """Whether nothing is in force, and nothing would have to be read again."""
        return not self._docket.in_force() and self._docket.committable() == len(self._world.log)

    def _read(self) -> None:
        log = self._world.written()
        for offset in range(self._read_to, len(log)):
            logged_us = START_US + round(log[offset].at_s * US)
            heard = self._docket.read(Entry(log[offset].command, offset), logged_us, self._world.now_us)
            self._read_to = offset + 1
            self._tell(heard.tell)

    def _turn(self, endpoint: str) -> Turn:
        turn = self._docket.turn(endpoint, self._world.now_us)
        self._tell(turn.tell)
        return turn

    async def _carry_out(self, ask: Ask) -> None:
        if ask.step is Step.APPLY:
            self._acknowledge()
        answer = await asked(self._executor, ask)
        if self._world.is_dying:
            raise Killed
        self._tell(self._docket.answer(ask, answer, self._world.now_us))

    def _tell(self, results: Sequence[Result]) -> None:
        self._untold += results
        if not self._world.is_lazy:
            self._acknowledge()

    def _acknowledge(self) -> None:
        while self._untold:
            self._world.results.append(self._untold.pop(0))
            self._world.effect()

    def _commit(self) -> None:
        """What is settled, and only once all that was told of it is in the log."""
        offset = self._docket.committable()
        if offset != self._world.committed:
            self._acknowledge()
            self._world.committed = offset
            self._world.effect()

    def _due_s(self, turns: Sequence[Turn]) -> float:
        """When there is something to do again."""
        now_s, log = self._world.account.clock.now_s, self._world.log
        due = [(turn.again_us - START_US) / US for turn in turns if turn.again_us is not None]
        due += [one.at_s for one in log if one.at_s > now_s]
        return max(min(due, default=float("inf")), now_s)


async def live(world: World, until_s: float) -> Process:
    """Somebody starts a process whenever there is none, a while later. The one that saw the end."""
    for _ in range(MOST_LIVES):
        try:
            process = Process(world)
            await process.run(until_s)
        except Killed:
            world.deaths, world.is_dying = world.deaths + 1, False
            world.pass_until(world.account.clock.now_s + world.away_s)
        else:
            return process
    raise AssertionError("it never came to an end")


def _office(url: str) -> Office:
    return Office(NAME, HuggingFace(url=url), (), (KEY.public,))
