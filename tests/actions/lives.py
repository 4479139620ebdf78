"""Commands and results for the tests, as the worker and the executors write them."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from actions.commands import seal
from schemas.outputs import (
    Action,
    Approval,
    Command,
    Cost,
    Held,
    Mode,
    Refusal,
    Result,
    State,
    derive_id,
)
from schemas.units import US, rfc3339
from tests.actions.findings import at

LIFETIME_S: Final = 900.0
UNSEALED: Final = "0" * 32


def command(endpoint: str = "acme/bert", at_s: float = 0.0, **fields: Any) -> Command:
    """A throttle in mode auto for the executor hf, unless told otherwise."""
    told = Command(
        id=UNSEALED,
        action=Action.THROTTLE,
        endpoint=endpoint,
        parameters={"max_replicas": 4},
        mode=Mode.AUTO,
        held=None,
        finding_id=derive_id("finding", endpoint),
        episode=derive_id("episode", endpoint),
        rule="runaway_replicas",
        issued_at=rfc3339(at(at_s)),
        expires_at=rfc3339(at(at_s + LIFETIME_S)),
        reason="runaway_replicas on it: 40 replicas, limit 10 replicas",
        cost=Cost(saves_usd_per_hour=36.0),
        before={"max_replicas": 10},
        executor="hf",
    )
    return sealed(structs.replace(told, **fields))


def proposal(endpoint: str = "acme/bert", at_s: float = 0.0, persons: int = 2, **fields: Any) -> Command:
    """The same, waiting for persons for ten minutes."""
    asked = Approval(persons, rfc3339(at(at_s) + 600 * US), "reject")
    return command(endpoint, at_s, mode=Mode.APPROVE, held=Held.AWAITING_APPROVAL, approval=asked, **fields)


def issued(asked: Command, at_s: float, *persons: str) -> Command:
    """What carries out a proposal."""
    end = rfc3339(at(at_s + LIFETIME_S))
    fields = {"held": None, "approval": None, "proposal": asked.id, "approved_by": persons}
    return sealed(structs.replace(asked, issued_at=rfc3339(at(at_s)), expires_at=end, **fields))


def renewal(earlier: Command, at_s: float) -> Command:
    fields = {
        "restores": earlier.id,
        "proposal": None,
        "reason": f"renewed: {earlier.reason.removeprefix('renewed: ')}",
    }
    times = {"issued_at": rfc3339(at(at_s)), "expires_at": rfc3339(at(at_s + LIFETIME_S))}
    return sealed(structs.replace(earlier, **fields, **times))


def restore(earlier: Command, at_s: float, **fields: Any) -> Command:
    told: dict[str, Any] = {
        "action": Action.RESTORE,
        "parameters": {},
        "expires_at": None,
        "cost": Cost(),
        "proposal": None,
    }
    told |= {"restores": earlier.id, "issued_at": rfc3339(at(at_s)), "reason": f"resolved: {earlier.reason}"}
    return sealed(structs.replace(earlier, **(told | fields)))


def result(about: Command, state: State | None, at_s: float = 1.0, **fields: Any) -> Result:
    """What the command's executor says."""
    told = Result(
        id=UNSEALED,
        command_id=about.id,
        state=state,
        refusal=None,
        endpoint=about.endpoint,
        action=about.action,
        executor=about.executor,
        at=rfc3339(at(at_s)),
    )
    told = structs.replace(told, **fields)
    return structs.replace(told, id=derive_id("result", repr(told)))


def refusal(about: Command, why: Refusal, at_s: float = 1.0, **fields: Any) -> Result:
    return result(about, None, at_s, refusal=why, **fields)


def sealed(told: Command) -> Command:
    """Unsigned, with an id that its content gives."""
    return seal(structs.replace(told, signature=None))
