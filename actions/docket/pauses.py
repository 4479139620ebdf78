"""How long to wait before the next attempt: exponentially longer, and not everybody at once."""

from __future__ import annotations

from typing import Final, NamedTuple

from actions.failure import Failure
from schemas.outputs import derive_id
from schemas.units import US

FIRST_US: Final = US // 2
DOUBLINGS: Final = 20  # beyond it nothing grows any more
APPLY_MOST_US: Final = 30 * US
READ_MOST_US: Final = 5 * US  # how soon an effect is seen, once it is there
UNDO_MOST_US: Final = 300 * US
_SHARE_BITS: Final = 16


class Tries(NamedTuple):
    """What was tried in vain: of which job, since when, how often in a row, and when to try again."""

    job: str
    since_us: int
    failures: int = 0
    next_us: int = 0

    def after(self, failure: Failure, now_us: int, most_us: int) -> Tries:
        """The tries after one more."""
        pause_us = pause(self.job, self.failures, most_us)
        if failure.retry_after_s is not None:
            pause_us = max(pause_us, round(failure.retry_after_s * US))
        return self._replace(failures=self.failures + 1, next_us=now_us + pause_us)


def pause(job: str, count: int, most_us: int) -> int:
    """Between half and all of a time that doubles; which share is derived from the job, so that it is repeatable."""
    whole_us = min(FIRST_US << min(count, DOUBLINGS), most_us)
    share = int(derive_id("pause", job, count)[:4], 16)
    return whole_us // 2 + (whole_us // 2 * share >> _SHARE_BITS)
