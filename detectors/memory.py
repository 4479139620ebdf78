"""Steps and time: what a model's memory is made of."""

from __future__ import annotations

from typing import Final

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
DAY_HOURS: Final = 24
WARM_STEPS: Final = 60  # steps before anything is judged, ...
LEAST_WARM_STEPS: Final = 20  # ... or a day of them if that is shorter, but so many at least


def warm_steps(step_s: float) -> int:
    """How many steps must have taught before anything is judged.

    >>> warm_steps(10), warm_steps(60), warm_steps(3600)
    (60, 60, 24)
    """
    return max(LEAST_WARM_STEPS, min(WARM_STEPS, int(DAY_S / step_s)))


def rate(half_life: float) -> float:
    """What a new value weighs in an average of this half-life, in steps."""
    return float(1.0 - 0.5 ** (1.0 / half_life))
