"""The normals of a budget's accounts: each that of its own values alone, whoever comes and goes beside it."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec import structs

from detectors import LearnedNormal
from detectors.account_normals import BUDGET, GRACE_US, LEAST_GAPS, MOST_STEPS, AccountNormals
from schemas.units import HOUR_US, US

STEP_S: Final = 600
STEP_US: Final = STEP_S * US
START_US: Final = 498_705 * HOUR_US


def value_of(name: str, step: int) -> float:
    return float(len(name) + (7 * step) % 5)


def taught(names: list[str], steps: range, normals: AccountNormals | None = None) -> AccountNormals:
    normals = AccountNormals(STEP_S) if normals is None else normals
    for step in steps:
        normals.learn(START_US + (step + 1) * STEP_US, {name: value_of(name, step) for name in names})
    return normals


def alone(name: str, steps: range) -> LearnedNormal:
    normal = LearnedNormal(STEP_S)
    for step in steps:
        normal.update(START_US / US + (step + 0.5) * STEP_S, value_of(name, step))
    return normal


def test_each_account_has_the_normal_of_its_own_values() -> None:
    """And it says what is expected at any hour."""
    normals = taught(["acme/a", "acme/bb", BUDGET], range(200))
    for hours in (0, 1, 7):
        time_us = START_US + 200 * STEP_US + hours * HOUR_US
        expected = normals.expect(["acme/bb", BUDGET], time_us)
        for place, name in enumerate(["acme/bb", BUDGET]):
            known = alone(name, range(200)).expect(time_us / US)
            assert (expected.expected[place], expected.high[place]) == (known.expected, known.high)
            assert (expected.low[place], expected.warm[place]) == (known.low, True)


def test_accounts_come_and_go_without_a_trace() -> None:
    """Whoever stays keeps what is known of it; whoever comes back begins anew."""
    normals = taught(["acme/stays"], range(30))
    for round_ in range(4):
        names = [f"acme/{round_}-{i}" for i in range(LEAST_GAPS)]
        taught([*names, "acme/stays"], range(30 + 5 * round_, 35 + 5 * round_), normals)
        for name in names:
            normals.drop(name)
    normals.drop("acme/never-came")
    taught(["acme/0-1"], range(50, 52), normals)
    assert len(normals) == 2
    for name, steps in (("acme/stays", range(50)), ("acme/0-1", range(50, 52))):
        undisturbed = structs.replace(alone(name, steps).snapshot(), surprise=None)  # nobody asks for scores
        assert normals.snapshot_of(name) == undisturbed
    assert normals.snapshot_of("acme/0-2") is None


def test_what_is_kept_goes_on_as_if_nothing_had_been() -> None:
    """The budget's own part, and each endpoint's."""
    normals = taught(["acme/a", BUDGET], range(100))
    normals.ended(START_US)
    again = AccountNormals(STEP_S)
    again.restore(normals.snapshot())
    kept = normals.snapshot_of("acme/a")
    assert kept is not None
    again.adopt("acme/a", kept)
    for one in (normals, again):
        taught(["acme/a", BUDGET], range(100, 130), one)
    assert again.snapshot() == normals.snapshot()
    assert again.snapshot_of("acme/a") == normals.snapshot_of("acme/a")
    assert again.ended(START_US + 2 * STEP_US) == normals.ended(START_US + 2 * STEP_US) != []


def test_what_was_learned_in_other_steps_is_learned_anew() -> None:
    """Its numbers mean something else."""
    kept = taught(["acme/a"], range(10)).snapshot_of("acme/a")
    other = AccountNormals(60)
    assert kept is not None
    other.adopt("acme/a", kept)
    assert "acme/a" not in other


def test_an_open_episode_does_not_teach() -> None:
    """Its values would become normal."""
    normals = taught(["acme/a", "acme/b"], range(100))
    before = normals.expect(["acme/a"], START_US).expected[0]
    for step in range(100, 110):
        normals.learn(START_US + (step + 1) * STEP_US, {"acme/a": 900.0, "acme/b": 900.0}, silent={"acme/a"})
    assert normals.expect(["acme/a"], START_US).expected[0] == before
    assert normals.expect(["acme/b"], START_US).expected[0] > before


@pytest.mark.parametrize("every_us", [US, 7 * US, 61 * US, STEP_US])
def test_each_step_ends_once_and_a_little_late(every_us: int) -> None:
    """However often the clock is looked at."""
    normals = AccountNormals(STEP_S)
    told: list[int] = []
    for now_us in range(START_US + GRACE_US, START_US + 5 * STEP_US + every_us, every_us):
        ended = normals.ended(now_us)
        assert all(end_us + GRACE_US <= now_us < end_us + GRACE_US + every_us for end_us in ended)
        told += ended
    assert told == list(range(START_US + STEP_US, told[-1] + 1, STEP_US))
    assert len(told) >= 4


def test_after_a_long_silence_the_last_steps_alone_have_ended() -> None:
    """A clock that jumps by a year must not take an hour to follow; and one that goes back ends nothing."""
    normals = AccountNormals(STEP_S)
    assert normals.ended(START_US + GRACE_US) == []
    later_us = START_US + 50_000 * STEP_US
    ended = normals.ended(later_us + GRACE_US)
    assert ended == list(range(later_us - (MOST_STEPS - 1) * STEP_US, later_us + 1, STEP_US))
    assert normals.ended(START_US + GRACE_US) == []
    assert normals.ended(later_us + GRACE_US) == []
