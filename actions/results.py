"""What the action stage itself writes on `control.results.v1`: what came of a proposal, and of what operators said."""

from __future__ import annotations

from msgspec import structs

from schemas.orders import Order
from schemas.outputs import UNSEALED, Command, Refusal, Result, State, content_id
from schemas.units import rfc3339


def about(command: Command, state: State, at_us: int, *, reason: str = "", by: tuple[str, ...] = ()) -> Result:
    """A command has come to a state."""
    return seal(
        Result(
            id=UNSEALED,
            command_id=command.id,
            state=state,
            refusal=None,
            endpoint=command.endpoint,
            action=command.action,
            executor=None,
            at=rfc3339(at_us),
            reason=reason,
            by=by,
        )
    )


def unheard(order: Order, refusal: Refusal, at_us: int, reason: str) -> Result:
    """Why nothing comes of what an operator said."""
    return seal(
        Result(
            id=UNSEALED,
            command_id=order.command_id,
            state=None,
            refusal=refusal,
            endpoint=None,
            action=None,
            executor=None,
            at=rfc3339(at_us),
            reason=f"{order.verb} {order.id[:8]}: {reason}",
            by=(order.who,),
        )
    )


def seal(result: Result) -> Result:
    """The result with the id that its content gives."""
    return structs.replace(result, id=content_id("result", result))
