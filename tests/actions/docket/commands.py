"""Commands as the action stage writes them, signed; and a docket's office."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from actions.commands import seal
from actions.docket import Office
from schemas.executors import DryRun
from schemas.outputs import Action, Command, Cost, Mode, derive_id
from schemas.section import Seconds
from schemas.signatures import PrivateKey
from schemas.units import US, rfc3339

KEY: Final = PrivateKey.generate()
NAME: Final = "hf"
ENDPOINT: Final = "acme/bert"
LIFETIME_S: Final = 900
START_US: Final = 1_800_000_000 * US


def office(give_up_after_s: float = 300) -> Office:
    settings = DryRun(give_up_after=Seconds(give_up_after_s), endpoints=("acme/*",), actions=("throttle", "shutdown"))
    return Office(NAME, settings, ("gateway",), (KEY.public,))


def command(action: Action = Action.THROTTLE, issued_us: int = START_US, **changes: Any) -> Command:
    """A signed command for this executor; `changes` are fields of it."""
    is_restore = action is Action.RESTORE
    plain = Command(
        id="0" * 32,
        action=action,
        endpoint=ENDPOINT,
        parameters={} if is_restore else {"level": 1},
        mode=Mode.AUTO,
        held=None,
        finding_id=derive_id("finding"),
        episode=derive_id("episode"),
        rule="request_surge",
        issued_at=rfc3339(issued_us),
        expires_at=None if is_restore else rfc3339(issued_us + LIFETIME_S * US),
        reason="a surge",
        cost=Cost(),
        before={},
        executor=NAME,
    )
    return KEY.sign(seal(structs.replace(plain, **changes)))


def restore(of: Command, issued_us: int, **changes: Any) -> Command:
    return command(Action.RESTORE, issued_us, restores=of.id, **changes)


def renewal(of: Command, issued_us: int) -> Command:
    return command(of.action, issued_us, restores=of.id, parameters=of.parameters, reason=f"renewed: {of.reason}")
