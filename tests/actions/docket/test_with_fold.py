"""The action stage and an executor together: what the one decides is what the other has in force."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from actions.docket import Answer, Ask, Docket, Entry, Office, Past, Step
from actions.docket.desk import GRACE_US
from actions.executors.interface import Plan, Reading
from actions.lifecycle import IN_FORCE, Lives
from schemas.config import Config
from schemas.executors import DryRun
from schemas.outputs import Action, Command, Mode, Result
from schemas.units import US, from_rfc3339
from tests.actions.docket.commands import KEY
from tests.actions.test_laws import Log, configs, everything, laws, logs

NAME: Final = "all"
MOST_ASKS: Final = 20


class Fleet:
    """Endpoints under the last brake that was applied, or none; one executor that never fails."""

    def __init__(self) -> None:
        self.braked: dict[str, Any] = {}
        self.results: list[Result] = []
        self.docket = Docket(Office(NAME, DryRun(), (), (KEY.public,)), Past(NAME))
        self.docket.caught_up(0)
        self._offset = 0

    def hear(self, command: Command, now_us: int) -> None:
        heard = self.docket.read(Entry(command, self._offset), now_us, now_us)
        self._offset += 1
        self.results += heard.tell

    def settle(self, now_us: int) -> None:
        for endpoint in self.docket.endpoints():
            for _ in range(MOST_ASKS):
                turn = self.docket.turn(endpoint, now_us)
                self.results += turn.tell
                if turn.ask is None:
                    break
                self.results += self.docket.answer(turn.ask, self._do(turn.ask), now_us)
            else:
                raise AssertionError(f"{endpoint} never settles")

    def _do(self, ask: Ask) -> Answer:
        endpoint, wanted = ask.command.endpoint, brake_of(ask.command)
        match ask.step:
            case Step.PLAN:
                return Plan({"braked": self.braked.get(endpoint)}, ("a change",))
            case Step.APPLY:
                self.braked[endpoint] = wanted
            case Step.UNDO:
                self.braked[endpoint] = ask.before["braked"]
            case Step.READ_BACK:
                return Reading({}, None if self.braked.get(endpoint) == wanted else "another")
            case Step.READ_UNDONE:
                return Reading({}, None if self.braked.get(endpoint) == ask.before["braked"] else "still braked")
        return None


def brake_of(command: Command) -> tuple[Action, dict[str, Any]]:
    return command.action, command.parameters


@laws
@given(configs(), logs(), st.integers(1, 5))
def test_what_is_decided_is_what_is_in_force(config: Config, log: Log, every: int) -> None:
    """Whenever the executor has caught up; and of all that ever came into force, the records say that it is over."""
    acting = {name: structs.replace(known, mode=None) for name, known in config.endpoints.items()}
    config = structs.replace(config, executors={NAME: DryRun()}, mode=Mode.AUTO, endpoints=acting)
    fleet, lives = Fleet(), Lives()
    decided: dict[str, Command | None] = {}
    now_us = 0
    for count, command in enumerate(everything(config, log)):
        signed = KEY.sign(command)
        lives.add_command(signed)
        now_us = max(now_us, from_rfc3339(command.issued_at))
        fleet.hear(signed, now_us)
        if command.held is None:
            decided[command.endpoint] = None if command.action is Action.RESTORE else command
        if count % every == 0:
            fleet.settle(now_us)
            wanted = {name: brake_of(c) for name, c in decided.items() if c is not None and _ends_us(c) > now_us}
            graced = {name for name, c in decided.items() if c is not None and 0 <= now_us - _ends_us(c) < GRACE_US}
            assert {name: brake for name, brake in _in_force(fleet).items() if name not in graced} == wanted
    fleet.settle(now_us + 1_000_000 * US)
    assert _in_force(fleet) == {}
    for result in fleet.results:
        lives.add_result(result)
    assert not [life for life in lives if life.command and life.command.held is None and _is_open(life)]


def _in_force(fleet: Fleet) -> dict[str, Any]:
    return {name: brake for name, brake in fleet.braked.items() if brake is not None}


def _ends_us(command: Command) -> int:
    return from_rfc3339(command.expires_at or "")


def _is_open(life: Any) -> bool:
    return life.state in IN_FORCE and life.command.action is not Action.RESTORE
