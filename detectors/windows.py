"""`WindowRule`: what the rules over a window of requests share.

Such a rule counts requests into steps of some seconds (`steps.py`), and judges all endpoints at once when a step
closes. Its judgement is a level for each:

    0  low: at or below `resolve_below` of the threshold, or nothing to judge
    1  neither low nor above the threshold
    2  above the threshold: an error
    3  critical

While an endpoint's level stays, an open episode of it has nothing to say before its next update is due.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.rollup import Ring
from detectors.rule import RequestRule
from detectors.steps import Cells, StepRing
from detectors.table import NOBODY, Flags, Ints, Table
from schemas.config import Config, RuleSettings
from schemas.outputs import Severity

FIRES: Final = 2  # the least level that does
CRITICAL: Final = 3

S = TypeVar("S", bound=RuleSettings)
Levels = NDArray[np.int8]

_decode_cells = msgspec.msgpack.Decoder(Cells).decode


class WindowRule(RequestRule[S]):
    """A rule over the last `memory_s` seconds, which move by `STEP_S`.

    `COLUMNS` are counted per endpoint and step in `steps`; `ROW` is what the configuration says of an endpoint.
    """

    STEP_S: ClassVar[int]
    COLUMNS: ClassVar[int]
    ROW: ClassVar[np.dtype[np.void]]

    def __init__(self, config: Config, ring: Ring) -> None:
        super().__init__(config, ring)
        self._names: list[str] = []
        self.window_steps = self.memory_s(config) // self.STEP_S
        ahead = ring.seconds // self.STEP_S + 2  # steps that are open, or not read yet, while others are counted
        self.steps = StepRing(self.STEP_S, self.window_steps + ahead, self.COLUMNS)
        self.limits = Table(self.ROW, (0,) * len(self.ROW.names or ()))
        self.step = -1  # the one that closed last
        self._levels: Levels | None = None  # of that step; None: all are low
        self._before: Levels | None = None  # of the second before
        self._firing = NOBODY

    @abstractmethod
    def configured(self, endpoint: str) -> tuple[Any, ...]:
        """A row of `ROW`: what its settings say."""

    @abstractmethod
    def judge(self, step: int, silent: Flags) -> Levels | None:
        """The level of each endpoint when this step closes; None: all are low, which should cost nothing to see."""

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        self._configure(0)
        self.step = -1  # to be judged anew

    def add(self, endpoints: Sequence[str]) -> None:
        first = len(self._names)
        self._names += endpoints
        self.steps.add_endpoints(len(endpoints))
        self.limits.add(len(endpoints))
        self._configure(first)
        if self._levels is not None:
            self._levels = np.append(self._levels, np.zeros(len(endpoints), dtype=np.int8))

    def keep(self, numbers: Ints) -> None:
        self._names = [self._names[number] for number in numbers.tolist()]
        self.steps.keep(numbers)
        self.limits.keep(numbers)
        if self._levels is not None:
            self._levels = self._levels[numbers]

    def take(self, second: int) -> None:
        """Count into `steps` what the ring has of a second that is complete."""

    def close(self, second: int, silent: Flags) -> Ints:
        self.take(second)
        self._before, self._firing = self._levels, NOBODY
        step = (second + 1) // self.STEP_S - 1
        if step != self.step:  # also at the first second after a restart
            self.step = step
            self._levels = self.judge(step, silent) if self.is_in_window(self.steps.newest) else None
            if self._levels is not None:
                self._firing = np.flatnonzero(self._levels >= FIRES)
        return NOBODY

    def is_in_window(self, step: int) -> bool:
        """Whether a step is in the window that ends with the one that closed last, or will be in a later one."""
        return step > self.step - self.window_steps

    def firing(self) -> Ints:
        return self._firing

    def moved(self, endpoints: Ints) -> Flags:
        before, now = _at(self._before, endpoints), _at(self._levels, endpoints)
        moved: Flags = (now > before) | ((now == 0) != (before == 0))  # an episode's severity never falls
        return moved

    def is_quiescent(self, second: int) -> bool:
        return self.steps.newest <= (second + 1) // self.STEP_S - 1 - self.window_steps

    def snapshots(self, numbers: Ints) -> Sequence[Any]:
        return self.steps.of(numbers)

    def restore(self, numbers: Ints, states: Sequence[msgspec.Raw]) -> None:
        self.steps.put(numbers, [_decode_cells(state) for state in states])

    def _configure(self, first: int) -> None:
        """What the configuration says of the endpoints from this number on."""
        rows = [self.configured(endpoint) for endpoint in self._names[first:]]
        self.limits.rows[first:] = np.array(rows, dtype=self.ROW)


def levels_of(judged: Flags, *exceeded: Flags) -> Levels:
    """How many of the three limits each endpoint exceeds; 0 where it is not judged."""
    levels: Levels = np.where(judged, sum((flags.astype(np.int8) for flags in exceeded), np.int8(0)), np.int8(0))
    return levels


def severity_of(level: int) -> Severity:
    """Of an endpoint at this level."""
    return Severity.CRITICAL if level == CRITICAL else Severity.ERROR


def _at(levels: Levels | None, endpoints: Ints) -> Levels:
    return np.zeros(len(endpoints), dtype=np.int8) if levels is None else levels[endpoints]
