"""Why something outside was not done, and whether trying again can help: the answer of executors and receivers."""

from __future__ import annotations

from typing import NamedTuple


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
