"""Orders of operators and reports of executors for the tests, as the action stage hears them."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from actions import ActionFold, passed_on
from actions.results import seal as seal_result
from schemas.config import Config, Operator
from schemas.orders import Order, Verb, seal
from schemas.outputs import Command, Finding, Result, State
from schemas.signatures import PrivateKey
from schemas.units import rfc3339
from tests.actions.findings import Outputs, at, settings

KEYS: Final = {name: PrivateKey.generate() for name in ("alice", "bob", "carol", "worker")}
_offsets = count()


def operators(*names: str, **approves: bool) -> dict[str, Any]:
    """The section of the configuration."""
    return {
        name: Operator(public_key=str(KEYS[name].public), approves=approves.get(name, True))
        for name in (*names, *approves)
    }


def order(verb: Verb, who: str, at_s: float, **fields: Any) -> Order:
    """Signed by the person."""
    fields = {"why": "so it shall be", **fields}
    return KEYS[who].sign(seal(Order(id="0" * 32, verb=verb, who=who, at=rfc3339(at(at_s)), **fields)))


def passed(given: Order, at_s: float, config: Config) -> Finding | Result | None:
    """What becomes of an order at the door."""
    return passed_on.pass_on(given, at(at_s), next(_offsets), config)


def obey(fold: ActionFold, given: Order, at_s: float, config: Config) -> Outputs:
    """What comes of an order that is let in."""
    heard = passed(given, at_s, config)
    assert isinstance(heard, Finding), heard
    return list(fold.apply(heard, at(at_s)))


def failed(command: Command, at_s: float, state: State = State.FAILED) -> Finding:
    """An executor's word about a command."""
    result = seal_result(
        Result(
            id="0" * 32,
            command_id=command.id,
            state=state,
            refusal=None,
            endpoint=command.endpoint,
            action=command.action,
            executor="hf",
            at=rfc3339(at(at_s)),
            reason="403 Forbidden",
        )
    )
    heard = passed_on.report(result, at(at_s), next(_offsets), settings())
    assert heard is not None
    return heard
