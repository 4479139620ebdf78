"""What the brakes of one chain have set, kept in the `before` that they share.

Each plan adds what its command will set, under a key of its own, and a chain keeps all keys of its plans. So a brake
that failed to take the place of another does not leave that one's setting behind, taken for somebody else's.
"""

from __future__ import annotations

from typing import Final

from actions.executors.interface import Saved
from schemas.outputs import Command

SET: Final = "set_"


def with_setting(before: Saved, command: Command, setting: int) -> Saved:
    """How things are, and what the command will set."""
    return {**before, f"{SET}{command.id}": setting}


def settings(before: Saved, own: int | None) -> frozenset[int]:
    """What any brake of the chain has set; `own`: what the one at hand sets, whether or not it was planned."""
    found = {setting for key, setting in before.items() if key.startswith(SET)}
    return frozenset(found if own is None else found | {own})
