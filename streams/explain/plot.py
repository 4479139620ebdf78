"""A small picture of an episode: its values as bars, its limit and its normal as lines, over time.

Each finding is a bar, at its time; before them come the values of `evidence["history"]`, if a finding has one:
`{"step_s": seconds, "values": [...]}`, whose last value is that of the finding. Else nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from rich.text import Text

from actions.evidence import number
from actions.wording import clock, figure
from schemas.outputs import Finding, Status
from schemas.units import US, from_rfc3339, rfc3339

HEIGHT: Final = 8  # rows of the picture itself
NARROWEST: Final = 12  # columns that a picture must have
WIDEST: Final = 80
ABSURD: Final = 50.0  # times the largest value: a limit there means that nothing is judged

Lines = tuple[float, float | None]  # the limit and the normal of a column

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


class Sample(NamedTuple):
    """A value to draw; `is_hot` if it was anomalous."""

    at_us: int
    value: float
    is_hot: bool


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
        """Of the rows that a bar fills, at most all; what is more than nothing can be seen."""
        return max(int(value > 0), round(min(1.0, max(0.0, value) / self.top) * HEIGHT * 8))


def picture(findings: Sequence[Finding], width: int, ink: Ink = UNICODE) -> list[Text]:
    """The lines of the picture, none wider than `width`; none at all where there is no room for it."""
    if not findings:
        return []
    samples = [*_before(findings), *(Sample(from_rfc3339(one.at), one.value, one.score > 1) for one in findings)]
    top = _top(findings, samples)
    labels = _labels(findings[-1], top)
    margin = max(map(len, labels.values())) + 1
    columns = min(width, WIDEST) - margin - 1
    if columns < NARROWEST:
        return []
    scale = Scale(samples[0].at_us, samples[-1].at_us, top, columns)
    rows = _drawn(findings, samples, scale, ink)
    lines = [
        Text(f"{labels.get(row, ''):>{margin}}{ink.edge}").append_text(rows[row]) for row in reversed(range(HEIGHT))
    ]
    return [*lines, *(Text(" " * (margin + 1) + line) for line in _below(findings, scale, ink))]


def _before(findings: Sequence[Finding]) -> list[Sample]:
    """What the first history tells of the time before the episode."""
    known = (_history(one) for one in findings)
    begin_us = from_rfc3339(findings[0].at)
    return [sample for sample in next(filter(None, known), []) if sample.at_us < begin_us]


def _history(finding: Finding) -> list[Sample]:
    """Empty where the evidence has none that can be drawn: one that begins before 1970 is none."""
    told = finding.evidence.get("history")
    step_s = number(told, "step_s") if isinstance(told, dict) else None
    values = told.get("values") if isinstance(told, dict) else None
    end_us = from_rfc3339(finding.at)
    if step_s is None or not isinstance(values, list) or not 0 < step_s * len(values) * US <= end_us:
        return []
    step_us = round(step_s * US)
    numbers = enumerate(reversed([number({"value": value}, "value") for value in values]))
    found = [Sample(end_us - n * step_us, value, is_hot=False) for n, value in numbers if value is not None]
    return found[::-1]


def _top(findings: Sequence[Finding], samples: Sequence[Sample]) -> float:
    highest = max(sample.value for sample in samples)
    lines = [one.threshold for one in findings] + [one.baseline or 0.0 for one in findings]
    seen = [line for line in lines if line <= ABSURD * highest or highest <= 0]
    return max(highest, *seen, 0.0) or 1.0


def _labels(last: Finding, top: float) -> dict[int, str]:
    """What stands beside a row: the limit and the normal of the end, if they are in the picture."""
    scale = Scale(0, 1, top, 1)
    labels = {0: "0", HEIGHT - 1: figure(top)}
    for value in (last.baseline, last.threshold):
        if value is not None and 0 < value <= top:
            labels[scale.row(value)] = figure(value)
    return labels


def _drawn(findings: Sequence[Finding], samples: Sequence[Sample], scale: Scale, ink: Ink) -> list[Text]:
    """The rows, lowest first. Of the samples of a column the largest is drawn."""
    bars: dict[int, Sample] = {}
    for sample in samples:
        column = scale.column(sample.at_us)
        bars[column] = max(sample, bars.get(column, sample), key=lambda one: one.value)
    columns = list(enumerate(_lines(findings, scale)))
    return [
        _row([_cell(row, bars.get(column), lines, scale, ink) for column, lines in columns]) for row in range(HEIGHT)
    ]


def _row(cells: Sequence[tuple[str, str]]) -> Text:
    """Cells of one style that stand side by side are written at one go."""
    runs = groupby(cells, key=lambda cell: cell[1])
    return Text.assemble(*(("".join(char for char, _ in run), style) for style, run in runs))


def _cell(row: int, bar: Sample | None, lines: Lines, scale: Scale, ink: Ink) -> tuple[str, str]:
    """What stands in a row of a column, and its style: a bar hides the lines."""
    part = 0 if bar is None else min(8, max(0, scale.eighths(bar.value) - 8 * row))
    if bar is not None and part:
        return ink.bar[part], "red" if bar.is_hot else "cyan"
    limit, normal = lines
    if limit <= scale.top and row == scale.row(limit):
        return ink.limit, "yellow"
    return (ink.normal, "green") if normal is not None and row == scale.row(normal) else (" ", "")


def _lines(findings: Sequence[Finding], scale: Scale) -> list[Lines]:
    """Limit and normal of each column: those of the finding that is the last one by then, before them of the first."""
    found: list[Lines] = []
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
    normal = "" if findings[-1].baseline is None else f"  {ink.normal} normal"
    yield f"{ink.bar[8]} value  {ink.limit} limit{normal}  O opened  R resolved"[: scale.columns]
