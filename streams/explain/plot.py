"""A small picture of an episode: its values as bars, its limit and its normal as lines, over time.

Each finding is a bar, at its time; before them come the values of `evidence["history"]`, if a finding has one:
`{"step_s": seconds, "values": [...]}`, whose last value is that of the finding. Else nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite
from typing import Final, NamedTuple

from rich.text import Text

from actions.evidence import number
from actions.wording import clock, figure
from schemas.outputs import Finding, Status
from schemas.units import US, from_rfc3339, rfc3339

HEIGHT: Final = 8  # rows of the picture itself
NARROWEST: Final = 12  # columns that a picture must have
WIDEST: Final = 100
ABSURD: Final = 50.0  # times the largest value: a limit there means that nothing is judged
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_EIGHTHS: Final = " ____####"
_MARKS: Final = {Status.OPEN: "O", Status.RESOLVED: "R"}


class Ink(NamedTuple):
    """What is drawn with; a `bar` grows in eighths of a row."""

    bar: str
    limit: str
    normal: str
    edge: str


UNICODE: Final = Ink(_EIGHTHS, "─", "·", "│")
ASCII: Final = Ink(_ASCII_EIGHTHS, "-", ".", "|")


class Scale(NamedTuple):
    """From times and values to columns and rows; row 0 is the lowest."""

    begin_us: int
    end_us: int
    top: float
    columns: int

    def column(self, at_us: int) -> int:
        share = (at_us - self.begin_us) / max(1, self.end_us - self.begin_us)
        return round(share * (self.columns - 1))

    def row(self, value: float) -> int:
        return min(HEIGHT - 1, int(self.eighths(value) // 8))

    def eighths(self, value: float) -> int:
        """Of the rows that a bar fills; what is more than nothing can be seen."""
        return max(int(value > 0), round(max(0.0, value) / self.top * HEIGHT * 8))


def picture(findings: Sequence[Finding], width: int, ink: Ink = UNICODE) -> list[Text]:
    """The lines of the picture, none wider than `width`; none at all where there is no room for it."""
    samples = list(_samples(findings))
    top = _top(findings, [value for _, value in samples])
    labels = _labels(findings[-1], top) if findings else {}
    margin = max(map(len, labels.values()), default=0) + 1
    columns = min(width, WIDEST) - margin - 1
    if not samples or columns < NARROWEST:
        return []
    scale = Scale(samples[0][0], samples[-1][0], top, columns)
    rows = _drawn(findings, samples, scale, ink)
    lines = [
        Text(f"{labels.get(row, ''):>{margin}}{ink.edge}").append_text(rows[row]) for row in reversed(range(HEIGHT))
    ]
    return [*lines, *(Text(" " * (margin + 1) + line) for line in _below(findings, scale, ink))]


def _samples(findings: Sequence[Finding]) -> Iterator[tuple[int, float]]:
    first = next((one for one in findings if _history(one)), None)
    if first is not None:
        step_us, values = _history(first)
        end_us = from_rfc3339(first.at) - step_us * len(values)
        yield from ((end_us + step_us * n, value) for n, value in enumerate(values[:-1], 1))
    yield from ((from_rfc3339(one.at), one.value) for one in findings)


def _history(finding: Finding) -> tuple[int, list[float]]:
    """Step in microseconds and values; no values where the evidence has none that can be drawn."""
    told = finding.evidence.get("history")
    step_s = number(told, "step_s") if isinstance(told, dict) else None
    values = told.get("values") if isinstance(told, dict) else None
    if step_s is None or step_s <= 0 or not isinstance(values, list):
        return 0, []
    drawable = all(isinstance(one, int | float) and isfinite(one) for one in values)
    return round(step_s * US), [float(one) for one in values] if drawable else []


def _top(findings: Sequence[Finding], values: Sequence[float]) -> float:
    highest = max(values, default=0.0)
    lines = [one.threshold for one in findings] + [one.baseline or 0.0 for one in findings]
    seen = [line for line in lines if line <= ABSURD * highest or highest <= 0]
    return max(highest, *seen, 0.0) * 1.05 or 1.0


def _labels(last: Finding, top: float) -> dict[int, str]:
    """What stands beside a row: the limit and the normal of the end, if they are in the picture."""
    scale = Scale(0, 1, top, 1)
    labels = {0: "0", HEIGHT - 1: figure(top)}
    for value in (last.baseline, last.threshold):
        if value is not None and 0 < value <= top:
            labels[scale.row(value)] = figure(value)
    return labels


def _drawn(findings: Sequence[Finding], samples: Sequence[tuple[int, float]], scale: Scale, ink: Ink) -> list[Text]:
    """The rows, lowest first."""
    limits = _lines(findings, scale)
    bars: dict[int, float] = {}
    for at_us, value in samples:
        column = scale.column(at_us)
        bars[column] = max(value, bars.get(column, value))
    rows = [Text() for _ in range(HEIGHT)]
    for column in range(scale.columns):
        limit, normal = limits[column]
        full = scale.eighths(bars[column]) if column in bars else 0
        for row, text in enumerate(rows):
            part = min(8, max(0, full - 8 * row))
            if part:
                text.append(ink.bar[part], "red" if bars[column] > limit else "cyan")
            elif limit <= scale.top and row == scale.row(limit):
                text.append(ink.limit, "yellow")
            else:
                text.append(ink.normal if normal is not None and row == scale.row(normal) else " ", "green")
    return rows


def _lines(findings: Sequence[Finding], scale: Scale) -> list[tuple[float, float | None]]:
    """Limit and normal of each column: those of the finding that is the last one by then, before them of the first."""
    found: list[tuple[float, float | None]] = []
    ends = [scale.column(from_rfc3339(after.at)) for _, after in pairwise(findings)] + [scale.columns]
    for one, end in zip(findings, ends, strict=True):
        found += [(one.threshold, one.baseline)] * (end - len(found))
    return found


def _below(findings: Sequence[Finding], scale: Scale, ink: Ink) -> Iterator[str]:
    marks = [" "] * scale.columns
    for one in findings:
        if one.status in _MARKS:
            marks[scale.column(from_rfc3339(one.at))] = _MARKS[one.status]
    yield "".join(marks).rstrip()
    begin, end = clock(rfc3339(scale.begin_us)), clock(rfc3339(scale.end_us))[11:]
    room = scale.columns - len(begin) - len(end)
    yield f"{begin}{' ' * room}{end}" if room > 1 else begin[11:][: scale.columns]
    legend = f"{ink.bar[8]} value  {ink.limit} limit  {ink.normal} normal  O opened  R resolved"
    yield legend[: scale.columns]
