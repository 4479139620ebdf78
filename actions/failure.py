"""Why something outside was not done, and whether trying again can help: the answer of executors and receivers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

UNFIT: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)  # what was sent is wrong; any other refusal is about the way there: a credential, an address, a redirect


class Failure(NamedTuple):
    """A value, not an exception: a receiver that is down is no bug.

    `reason` names what was asked and what was answered, and no secret; `retry_after_s` is what the other side asks for;
    `status` that of the HTTP answer, if there was one. `nothing_done`: nobody was reached, or they said no; else it may
    have been done, and only the answer is missing.
    """

    reason: str
    retryable: bool
    retry_after_s: float | None = None
    status: int | None = None
    nothing_done: bool = False

    @property
    def is_unfit(self) -> bool:
        """Whether what was sent will never be taken, whoever mends whatever."""
        return not self.retryable and self.status in UNFIT
