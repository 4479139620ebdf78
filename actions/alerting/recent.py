"""What was seen lately in a log: a worker that was killed writes some alerts again, with the ids that they had."""

from __future__ import annotations

from typing import Final

from schemas.outputs import Id

MOST: Final = 20_000  # more than a worker writes between two checkpoints


class Recent:
    """The last `most` ids."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._ids: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id_: Id) -> bool:
        """Whether it is new."""
        key = bytes.fromhex(id_)
        if key in self._ids:
            return False
        self._ids[key] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
        return True
