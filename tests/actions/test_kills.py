"""An executor that is killed at every step of every transition, one after another, before Hugging Face's double.

For each story the undisturbed run says what is to be done, and how often. Then the same is played with a death after
the first effect, after the second, and so on to the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from schemas.outputs import Action, State
from schemas.units import US
from tests.actions.docket.commands import LIFETIME_S, START_US, command
from tests.actions.mortal import SOON_S, World, Written, live, llama
from tests.hosted import LLAMA, account

END_S: Final = 5 * LIFETIME_S
LATE_S: Final = 2 * LIFETIME_S  # until somebody notices that there is no process any more
SLACK_S: Final = 30.0  # the grace of the dead man's switch, and an update that is under way
EVERY: Final = (5, 8)
WAIT_S: Final = 180.0


class Story(NamedTuple):
    """What is commanded, and when the last brake of it ends, seconds from the start."""

    script: tuple[Written, ...]
    over_s: float


def write(at_s: float, action: Action, **fields: Any) -> Written:
    """A command that the log takes when it is issued."""
    return Written(at_s, command(action, START_US + round(at_s * US), endpoint=LLAMA, **fields))


def throttle(at_s: float, **fields: Any) -> Written:
    return write(at_s, Action.THROTTLE, parameters={"max_replicas": 4}, **fields)


def shutdown(at_s: float, **fields: Any) -> Written:
    return write(at_s, Action.SHUTDOWN, parameters={}, **fields)


def back(at_s: float, of: Written) -> Written:
    return write(at_s, Action.RESTORE, restores=of.command.id)


def in_place_of(of: Written) -> dict[str, str]:
    return {"restores": of.command.id}


def throttled() -> Story:
    first = throttle(0)
    return Story((first, back(300, first)), 300)


def shut_down() -> Story:
    first = shutdown(0)
    return Story((first, back(300, first)), 300)


def tightened() -> Story:
    first = throttle(0)
    second = shutdown(120, **in_place_of(first))
    return Story((first, second, back(600, second)), 600)


def renewed_and_left() -> Story:
    """The worker dies after it has renewed: the dead man's switch."""
    first = throttle(0)
    return Story((first, throttle(450, **in_place_of(first))), 450 + LIFETIME_S)


def left() -> Story:
    """The worker dies after it has shut down: the dead man's switch."""
    return Story((shutdown(0),), LIFETIME_S)


def loosened() -> Story:
    """What others still ask for follows the restore at once."""
    first = shutdown(0)
    return Story((first, back(200, first), throttle(200)), 200 + LIFETIME_S)


def taken_back_at_once() -> Story:
    """While the provider still carries it out."""
    first = throttle(0)
    return Story((first, back(0.5, first)), 0.5)


STORIES: Final = (throttled, tightened, renewed_and_left, left, loosened, taken_back_at_once)


async def played(story: Story, **how: Any) -> World:
    """The world in the end. What must be true of any run is checked."""
    async with account(llama()) as found:
        world = World(found, story.script, **how)
        process = await live(world, END_S)
        assert not world.is_braked(), "in force beyond its end"
        assert process.settled(), "settled, and yet read again"
        assert world.last_braked_s <= story.over_s + SLACK_S + world.away_s, "in force for too long"
        begun = [one.before["scaling"] for one in world.results if one.state is State.APPLYING]
        told = [world.states(each.command.id) for each in story.script]
        assert all(len(set(states)) == len(states) for states in told), "said twice, though it is in the log"
        assert all((one["minReplica"], one["maxReplica"]) == (2, 10) for one in begun), "the way back leads elsewhere"
        return world


def ends(world: World) -> list[list[State]]:
    """What was told of each command at last."""
    return [world.states(each.command.id)[-1:] for each in world.script]


async def killed(story: Story, *, is_told: bool = True, **how: Any) -> None:
    """Once after each effect, in a world of its own each time. `is_told`: what is told at last does not change."""
    calm = await played(story)
    assert calm.deaths == 0
    for number in range(1, calm.effects + 1):
        world = await played(story, dies_after=lambda effects, n=number: effects == n, **how)
        assert world.deaths == 1, f"it did not die after effect {number}"
        assert world.applied <= calm.applied, f"something was applied twice: killed after effect {number}"
        assert not is_told or ends(world) == ends(calm), f"told something else: killed after effect {number}"


def play(story: Callable[[], Story], **how: Any) -> None:
    asyncio.run(asyncio.wait_for(killed(story(), **how), WAIT_S))


@pytest.mark.parametrize("story", STORIES)
def test_killed_after_any_effect_and_started_again(story: Callable[[], Story]) -> None:
    """Nothing is done twice, and in the end all is as it was, told, and settled."""
    play(story, away_s=SOON_S)


@pytest.mark.parametrize("story", [shut_down, left])
def test_killed_with_all_that_was_not_acknowledged(story: Callable[[], Story]) -> None:
    """What was told and did not reach the log is told again; nothing is touched of which nothing is written."""
    play(story, is_lazy=True)


@pytest.mark.parametrize("story", [throttled, tightened])
def test_killed_while_everything_is_written_twice(story: Callable[[], Story]) -> None:
    """Commands and results that come again, late ones too, change nothing."""
    play(story, is_doubled=True)


@pytest.mark.parametrize("story", [shut_down, loosened])
def test_killed_and_started_again_when_all_is_over(story: Callable[[], Story]) -> None:
    """Whoever comes long after the end of what is in force ends it, and begins nothing that is over."""
    play(story, away_s=LATE_S, is_told=False)


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("story", [tightened, renewed_and_left])
def test_killed_again_and_again(story: Callable[[], Story], every: int) -> None:
    """No life is longer than a few effects, and together they come to the same end."""

    async def scenario() -> None:
        calm = await played(story())
        world = await played(story(), dies_after=lambda effects: effects % every == 0)
        assert world.deaths > 1
        assert world.applied <= calm.applied
        assert ends(world) == ends(calm)

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))
