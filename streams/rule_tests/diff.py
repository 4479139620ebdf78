"""What was expected beside what came: the alignment in which the fewest lines differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from streams.rule_tests.expected import is_met

WHO: Final = ("rule", "status", "subject", "action", "endpoint")  # where these differ, it is not the same thing
ALONE: Final = 1.0  # what it costs to leave one without a partner


class Difference(NamedTuple):
    """What was expected, and what came in its place; None: nothing. `fields` are those that differ."""

    expected: Mapping[str, Any] | None
    got: Mapping[str, Any] | None
    fields: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        return self.expected is not None and self.got is not None and not self.fields


def differences(expected: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Every expected and every actual one, in order."""
    costs = _costs(expected, got)
    i = j = 0
    found: list[Difference] = []
    while i < len(expected) or j < len(got):
        here = costs[i][j]
        if i < len(expected) and j < len(got) and here == _cost(expected[i], got[j]) + costs[i + 1][j + 1]:
            found.append(Difference(expected[i], got[j], differing(expected[i], got[j])))
            i, j = i + 1, j + 1
        elif i < len(expected) and here == ALONE + costs[i + 1][j]:
            found.append(Difference(expected[i], None))
            i += 1
        else:
            found.append(Difference(None, got[j]))
            j += 1
    return found


def differing(expected: Mapping[str, Any], got: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, value in expected.items() if not is_met(value, got[name]))


def _costs(expected: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """What it costs to align what is left from the i-th expected and the j-th actual one."""
    rows, columns = len(expected), len(got)
    costs = [[ALONE * (rows - i + columns - j) for j in range(columns + 1)] for i in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            together = _cost(expected[i], got[j]) + costs[i + 1][j + 1]
            costs[i][j] = min(together, ALONE + costs[i + 1][j], ALONE + costs[i][j + 1])
    return costs


def _cost(expected: Mapping[str, Any], got: Mapping[str, Any]) -> float:
    """Nothing if it is what was expected; more than both cost alone if it is something else."""
    fields = differing(expected, got)
    if any(name in WHO for name in fields):
        return 3 * ALONE
    return ALONE * len(fields) / (len(fields) + 1)
