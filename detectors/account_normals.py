"""`AccountNormals`: what is normal for each account of a budget, and for the budget itself, learned step by step.

Steps are of the budget's clock and begin at multiples of their length, so that they are the same however the log was
cut. A step is over once the clock has passed its end by `GRACE_US`: partitions are not read in step with each other.
After a long jump of the clock only the last steps are said to be over; a `LearnedNormal` allows gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from detectors.normal import NormalState
from detectors.normal_bank import Expected, NormalBank
from detectors.table import Ints
from schemas.units import US

BUDGET: Final = ""  # the name of the budget's own series; no endpoint has it
GRACE_US: Final = 60 * US
MOST_STEPS: Final = 12  # that end at once
LEAST_GAPS: Final = 64  # numbers without a series, before the others are numbered anew


class AccountNormalsState(Struct, array_like=True):
    """What belongs to no one endpoint."""

    closed_us: int  # the end of the last step that is over; -1: none was begun
    own: NormalState | None  # the budget's


class AccountNormals:
    """Series by name, in one `NormalBank`."""

    def __init__(self, step_s: int) -> None:
        self.step_us = step_s * US
        self._closed_us = -1
        self._bank = NormalBank(step_s)
        self._numbers: dict[str, int] = {}
        self._used = 0  # numbers that were given, also to series that are gone

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def ended(self, now_us: int) -> list[int]:
        """The ends of the steps that are over, and were not yet said to be."""
        begun_us = (now_us - GRACE_US) // self.step_us * self.step_us
        if self._closed_us < 0:
            self._closed_us = begun_us
        since_us = max(self._closed_us, begun_us - MOST_STEPS * self.step_us)
        self._closed_us = max(self._closed_us, begun_us)
        return list(range(since_us + self.step_us, begun_us + 1, self.step_us))

    def learn(self, end_us: int, values: Mapping[str, float], silent: Collection[str] = ()) -> None:
        """The values of a step that is over, by name; a new name begins a series.

        `silent` are not taught: their value counts towards a new level alone (an episode is open).
        """
        self._begin([name for name in values if name not in self._numbers])
        if values:
            teach = np.array([name not in silent for name in values], dtype=np.bool_)
            middle_s = (end_us - self.step_us / 2) / US  # the hour that a step belongs to is the one it lies in
            self._bank.update(self._numbered(values), middle_s, np.array(list(values.values()), dtype=float), teach)

    def expect(self, names: Collection[str], time_us: int) -> Expected:
        """What a step of each of these series should be at that time."""
        return self._bank.expect(self._numbered(names), time_us / US)

    def describe(self, name: str) -> dict[str, Any]:
        """What is expected of a series that there is, at its last step, and why."""
        return self._bank.describe(self._numbers[name])

    def drop(self, name: str) -> None:
        """Forget a series, if there is one."""
        if self._numbers.pop(name, None) is not None and self._used >= 2 * len(self._numbers) + LEAST_GAPS:
            self._bank.keep(self._numbered(self._numbers))
            self._numbers = {kept: number for number, kept in enumerate(self._numbers)}
            self._used = len(self._numbers)

    def _begin(self, names: Sequence[str]) -> None:
        self._bank.add(len(names))
        self._numbers |= {name: self._used + i for i, name in enumerate(names)}
        self._used += len(names)

    def _numbered(self, names: Collection[str]) -> Ints:
        return np.array([self._numbers[name] for name in names], dtype=np.int64)

    # -- state -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> AccountNormalsState:
        """What belongs to no one endpoint, as plain data."""
        return AccountNormalsState(self._closed_us, self.snapshot_of(BUDGET))

    def restore(self, state: AccountNormalsState) -> None:
        """The inverse."""
        self._closed_us = state.closed_us
        if state.own is not None:
            self.adopt(BUDGET, state.own)

    def snapshot_of(self, name: str) -> NormalState | None:
        """A series as plain data; None: there is none."""
        return self._bank.snapshots(self._numbered([name]))[0] if name in self._numbers else None

    def adopt(self, name: str, state: NormalState) -> None:
        """The inverse, for a series that is new. One of another step is learned anew."""
        if state.step_s == self._bank.step_s:
            self._begin([name])
            self._bank.restore(self._numbered([name]), [state])
