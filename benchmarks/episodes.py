"""Memory over episodes that open, are acted on and resolve: of what decides, what carries out, and what tells.

Pure and in this process, on a clock of its own: what is allocated is measured at some marks, after everything that is
to be written down was. Episodes come so far apart that what is kept for a day is as much as it will be at the first
mark; the ids of alerts, of which the last 20 000 are remembered, are then just all there.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import structs

from actions import ActionFold, alerts, commands, passed_on
from actions.alerting.dispatch import Came, Dispatch
from actions.docket import Docket, Office, Past, Step
from actions.docket.standing import Answer, Ask, Entry
from actions.executors.interface import Plan, Reading
from benchmarks.process import say
from benchmarks.table import Column, Row, Table
from detectors import SETTINGS
from schemas.config import Config
from schemas.executors import DryRun
from schemas.outputs import Action, Command, Finding, Mode, Result, Severity, State, Status, derive_id
from schemas.receivers import Alerting, Alertmanager, PagerDuty, Route, Slack, WebhookReceiver
from schemas.signatures import PrivateKey
from schemas.units import HOUR_US, US, rfc3339

MARKS: Final = (0.1, 0.5, 1.0)  # of the episodes: where it is looked at
ENDPOINTS: Final = 1_000
START_US: Final = 1_800_000_000 * US
EVERY_US: Final = 240 * US  # from one episode to the next: commands and restores stay below 20 actions an hour
LASTS_US: Final = 120 * US
TOLD_US: Final = 10 * US  # after which a receiver has taken what it is told
WRITTEN_EVERY: Final = 50  # episodes: a checkpoint
NAME: Final = "hf"
SCALED: Final = {"ready_replicas": 40, "max_replicas": 50}
CONFIG: Final = Config(
    mode=Mode.AUTO,
    rules={name: settings() for name, settings in SETTINGS.items()},
    executors={NAME: DryRun()},
    receivers={
        "pager": PagerDuty(),
        "manager": Alertmanager(url="http://localhost"),
        "chat": Slack(),
        "hook": WebhookReceiver(),
    },
    alerting=Alerting(
        route=Route(
            receiver="pager",
            routes=tuple(Route(receiver=name, continue_=True) for name in ("manager", "chat", "hook", "pager")),
        )
    ),
)

Sizes = list[float]


class Part(Protocol):
    """What is measured. `done`: commands written, commands verified, or notifications taken."""

    done: int

    def episode(self, number: int, endpoint: str) -> None:
        """From its opening to its end."""


class Deciding:
    """The action stage, with executors that do what it says, and report it."""

    def __init__(self) -> None:
        self._fold = ActionFold(CONFIG)
        self._results = 0
        self.done = 0

    def episode(self, number: int, endpoint: str) -> None:
        for finding in findings(number, endpoint):
            for output in self._fold.apply(finding, None):
                if isinstance(output, Command):
                    self._carry_out(output)
        if number % WRITTEN_EVERY == 0:
            self._fold.changed()
            self._fold.position()

    def _carry_out(self, command: Command) -> None:
        """Each result that the stage hears of comes back to it."""
        self.done += command.held is None
        for state in (State.APPLYING, State.APPLIED, State.VERIFIED):
            self._results += 1
            result = Result(
                id=derive_id(command.id, state.value), command_id=command.id, state=state, refusal=None,
                endpoint=command.endpoint, action=command.action, executor=NAME, at=command.issued_at,
            )  # fmt: skip
            at_us = START_US + self._results
            passed = passed_on.report(result, at_us, self._results, CONFIG)
            if passed is not None:
                self._fold.apply(structs.replace(passed, at=command.issued_at), None)


class CarryingOut:
    """The executor's docket: a brake, applied and read back, and its restore."""

    def __init__(self) -> None:
        key = PrivateKey.generate()
        self._sign = key.sign
        self._docket = Docket(Office(NAME, DryRun(), (), (key.public,)), Past(NAME))
        self._docket.caught_up(START_US)
        self._brake, self._restore = lifetime()
        self._offset = 0
        self._forgot_us = START_US
        self.done = 0

    def episode(self, number: int, endpoint: str) -> None:
        at_us = START_US + number * EVERY_US
        brake = self._issued(self._brake, endpoint, at_us)
        self._hear(brake, at_us)
        over_us = at_us + LASTS_US
        self._hear(self._issued(structs.replace(self._restore, restores=brake.id), endpoint, over_us), over_us)
        self._docket.committable()
        if at_us >= self._forgot_us + HOUR_US:
            self._docket.forget(at_us)
            self._forgot_us = at_us

    def _issued(self, like: Command, endpoint: str, at_us: int) -> Command:
        expires_at = None if like.expires_at is None else rfc3339(at_us + 900 * US)
        found = structs.replace(like, endpoint=endpoint, issued_at=rfc3339(at_us), expires_at=expires_at)
        return self._sign(commands.seal(found))

    def _hear(self, command: Command, now_us: int) -> None:
        self._offset += 1
        self._docket.read(Entry(command, self._offset), now_us, now_us)
        while (ask := self._docket.turn(command.endpoint, now_us).ask) is not None:
            told = self._docket.answer(ask, answered(ask), now_us)
            self.done += sum(result.state is State.VERIFIED for result in told)


class Telling:
    """The dispatch of alerts to four receivers, each of which takes what it is told."""

    def __init__(self) -> None:
        self._dispatch = Dispatch(CONFIG)
        self._offset = 0
        self.done = 0

    def episode(self, number: int, endpoint: str) -> None:
        opened, resolved = findings(number, endpoint)
        for alert, at_us in (
            (alerts.fires(opened), START_US + number * EVERY_US),
            (alerts.resolves(resolved, 0), START_US + number * EVERY_US + LASTS_US),
        ):
            self._offset += 1
            self._dispatch.hear(alert, Came(self._offset, at_us))
            for receiver in CONFIG.receivers:
                self._tell(receiver, at_us + TOLD_US)
        if number % WRITTEN_EVERY == 0:
            list(self._dispatch.changed())

    def _tell(self, receiver: str, now_us: int) -> None:
        while self._dispatch.take(receiver, now_us) is not None:
            self._dispatch.backlogs[receiver].delivered(now_us)
            self.done += 1


PARTS: Final[dict[str, Callable[[], Part]]] = {
    "action stage": Deciding,
    "executor's docket": CarryingOut,
    "dispatch of alerts": Telling,
}


def run(count: int) -> list[Table]:
    marks = [int(count * mark) for mark in MARKS]
    rows: list[Row] = []
    for name, part in PARTS.items():
        for endpoints in (ENDPOINTS, count):  # or each is new
            sizes = growth(part(), marks, endpoints)
            say(f"episodes: {name}, {endpoints:,} endpoints: {sizes[-1]:,.0f} KiB")
            rows.append((name, endpoints, *sizes, sizes[-1] / sizes[-2]))
    return [table(rows, marks)]


def table(rows: Sequence[Row], marks: Sequence[int]) -> Table:
    sizes = [Column(f"KiB at {mark:,}") for mark in marks]
    return Table(
        "Memory over episodes that open, are acted on and resolve",
        (Column(""), Column("endpoints"), *sizes, Column("last / before", ".2f")),
        rows,
        (f"one every {EVERY_US // US} s of event time; allocated by Python, after a collection (tracemalloc)",),
    )


def growth(part: Part, marks: Sequence[int], endpoints: int) -> Sizes:
    """KiB that are allocated at each mark beyond what was before the first episode."""
    sizes: Sizes = []
    tracemalloc.start()
    try:
        begun = _allocated()
        for number in range(1, marks[-1] + 1):
            part.episode(number, f"bench/endpoint-{number % endpoints:07d}")
            if number in marks:
                sizes.append((_allocated() - begun) / 1024)
    finally:
        tracemalloc.stop()
    return sizes


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def findings(number: int, endpoint: str) -> tuple[Finding, Finding]:
    """A runaway of the endpoint, and that it is over."""
    opened_us = START_US + number * EVERY_US
    episode = derive_id("episode", endpoint, opened_us)
    opened = Finding(
        id=derive_id(episode, "open"), episode=episode, rule="runaway_replicas", subject=endpoint, endpoint=endpoint,
        status=Status.OPEN, severity=Severity.CRITICAL, opened_at=rfc3339(opened_us), at=rfc3339(opened_us), score=5.0,
        value=40.0, threshold=8.0, baseline=None, unit="replicas", evidence={"before": SCALED}, config_version="v",
    )  # fmt: skip
    over = {"id": derive_id(episode, "over"), "status": Status.RESOLVED, "at": rfc3339(opened_us + LASTS_US)}
    return opened, structs.replace(opened, **over, score=0.5, value=4.0)


class Lifetime(NamedTuple):
    """Two commands as the action stage writes them, unsigned."""

    brake: Command
    restore: Command


def lifetime() -> Lifetime:
    fold = ActionFold(CONFIG)
    written = [output for finding in findings(0, "bench/any") for output in fold.apply(finding, None)]
    brake, restore = (output for output in written if isinstance(output, Command))
    if restore.action is not Action.RESTORE:
        raise AssertionError(f"expected a restore, got {restore.action}")
    return Lifetime(brake, restore)


def answered(ask: Ask) -> Answer:
    """Of an outside that does at once what it is told."""
    match ask.step:
        case Step.PLAN:
            return Plan(dict(SCALED), ("max_replicas 50 -> 8",))
        case Step.APPLY | Step.UNDO:
            return None
        case Step.READ_BACK | Step.READ_UNDONE:
            return Reading(dict(SCALED), None)
