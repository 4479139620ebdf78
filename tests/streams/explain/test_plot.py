"""The picture of an episode."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len

from schemas.outputs import Finding, Status
from streams.explain.plot import ASCII, HEIGHT, NARROWEST, UNICODE, Ink, picture
from tests.actions.findings import later, resolved, surge

OPENED: Final = surge("acme/a", 0, value=40.0, threshold=20.0)
EPISODE: Final = [OPENED, later(OPENED, 60, value=30.0), resolved(structs.replace(OPENED, value=10.0), 120)]

NUMBERS: Final = st.tuples(st.floats(-1e6, 1e12), st.floats(0, 1e12), st.none() | st.floats(0, 1e9))


def drawn(findings: list[Finding], width: int = 60) -> list[str]:
    return [line.plain for line in picture(findings, width)]


def test_values_are_bars_and_limit_and_normal_are_lines() -> None:
    """The highest value fills the picture; between the findings there are only the lines."""
    assert [line.rstrip() for line in drawn(EPISODE, 30)] == [
        " 40│█",
        "   │█",
        "   │█           █",
        " 20│█───────────█─────────────",
        "   │█           █",
        "   │█           █",
        "  5│█···········█············█",
        "  0│█           █            █",
        "    O                        R",
        "    10:00:00 UTC",
        "    █ value  ─ limit  · normal",
    ]


def test_ascii_is_enough() -> None:
    """Where a terminal knows no more."""
    lines = picture(EPISODE, 60, ASCII)
    assert all(line.plain.isascii() for line in lines)
    assert "#" in lines[0].plain
    assert any("-" in line.plain and "#" in line.plain for line in lines)


def test_history_comes_before_the_episode() -> None:
    """At its step; its last value is that of the finding, and what lies within the episode is told by findings."""
    told = structs.replace(OPENED, evidence={"history": {"step_s": 10, "values": [5.0] * 12 + [40.0]}})
    lines = drawn([told, *EPISODE[1:]], 100)
    opened = lines[HEIGHT].index("O")
    lowest = lines[HEIGHT - 1]
    assert lowest[:opened].count("█") == 12
    assert lines[0][opened] == "█"
    assert lowest[opened:].count("█") == 3


@pytest.mark.parametrize(
    "history",
    [
        *(None, 5, [], {}),
        *({"step_s": step_s, "values": [1.0, 2.0]} for step_s in (0, "1", 1e10, 1e308, 10**300, 10**400)),
        {"step_s": 1, "values": "12"},
    ],
)
def test_a_history_that_is_none_is_left_out(history: object) -> None:
    """Evidence may hold anything."""
    told = structs.replace(OPENED, evidence={"history": history})
    assert drawn([told, *EPISODE[1:]]) == drawn(EPISODE)


def test_a_limit_that_is_beyond_all_reason_does_not_flatten_the_values() -> None:
    """A rule that was disabled meanwhile resolves against a limit that nothing reaches."""
    never = structs.replace(EPISODE[-1], threshold=1e9)
    first = drawn([*EPISODE[:2], never])[0]
    assert first.startswith(" 40│█")


def test_a_normal_that_is_beyond_all_reason_breaks_no_picture() -> None:
    """However small the values are."""
    tiny = structs.replace(OPENED, value=1e-322, threshold=5e-324, baseline=1e9)
    lines = drawn([tiny])
    assert len(lines) == HEIGHT + 3
    assert "█" in lines[0]


def test_without_findings_or_room_there_is_no_picture() -> None:
    """Rather none than one that nobody can read."""
    assert drawn([]) == []
    assert drawn(EPISODE, NARROWEST) == []


@given(
    st.lists(NUMBERS, min_size=1, max_size=9),
    st.integers(0, 130),
    st.sampled_from([UNICODE, ASCII]),
)
def test_no_line_is_wider_than_the_room(numbers: list[tuple[float, float, float | None]], width: int, ink: Ink) -> None:
    """Whatever the numbers are."""
    findings = [
        structs.replace(later(OPENED, 60.0 * n, Status.UPDATE), value=value, threshold=limit, baseline=normal)
        for n, (value, limit, normal) in enumerate(numbers)
    ]
    lines = picture(findings, width, ink)
    assert all(cell_len(line.plain) <= width for line in lines)
    assert len(lines) in (0, HEIGHT + 3)
