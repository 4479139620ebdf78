"""What an id means, and what belongs to its episode."""

from __future__ import annotations

import json
from typing import Final

import msgspec
import pytest
from msgspec import structs

from actions import ActionFold
from schemas.outputs import Action, Alert, Command, Finding
from schemas.units import from_rfc3339
from streams.core_stage import encode
from streams.explain.search import Search, Trail, Word, decoded, episode_of, when
from tests.actions.findings import later, resolved, runaway, settings, surge


def played(*findings: Finding) -> list[Word]:
    """The findings, and what was made of each."""
    fold = ActionFold(settings())
    said = [word for found in findings for word in (found, *fold.apply(found, from_rfc3339(found.at)))]
    return [word for word in said if isinstance(word, Word)]


OPENED: Final = surge("acme/a", 0)
WORDS: Final = played(OPENED, later(OPENED, 60), runaway("acme/b", 61), resolved(OPENED, 120))


def searched(prefix: str, words: list[Word] = WORDS) -> Search:
    search = Search(prefix)
    for word in words:
        search.take(encode(word))
    return search


def trail(episode: str, words: list[Word] = WORDS) -> Trail:
    found = Trail(episode)
    for word in words:
        found.take(encode(word))
    return found


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{type(word).__name__}-{word.id[:8]}")
def test_what_travels_is_read_as_it_was(word: Word) -> None:
    """Findings, commands and alerts, told apart by their fields."""
    assert decoded(encode(word)) == word


@pytest.mark.parametrize(
    "record", [b"", b"not json", b"[1]", b"{}", b'{"id": "x", "action": 1}', b'{"event": "script"}']
)
def test_what_is_something_else_is_passed_over(record: bytes) -> None:
    """A log may hold anything."""
    assert decoded(record) is None


def test_a_line_of_the_demo_holds_its_finding() -> None:
    """`demo -o json` wraps what it saw in an event."""
    line = json.dumps({"event": "finding", "at_s": 6.1, "finding": msgspec.to_builtins(OPENED)})
    assert decoded(line.encode()) == OPENED


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{type(word).__name__}-{word.id[:8]}")
def test_an_id_or_the_beginning_of_it_names_what_has_it(word: Word) -> None:
    """With its kind, and the episode that it belongs to."""
    for digits in (8, 32):
        (named,) = searched(word.id[:digits]).found.values()
        assert (named.id, named.kind, named.episode) == (word.id, type(word).__name__.lower(), episode_of(word))


def test_an_episode_is_named_by_its_own_id() -> None:
    """However many findings have it."""
    (named,) = searched(OPENED.episode[:6]).found.values()
    assert (named.id, named.kind, named.text) == (OPENED.episode, "episode", "request_surge on acme/a")


def test_a_prefix_of_several_ids_finds_them_all_once_each() -> None:
    """However often each was written."""
    first, second = OPENED, structs.replace(OPENED, id=OPENED.id[:8] + "0" * 24)
    found = searched(OPENED.id[:8], [first, second, first]).found
    assert sorted(found) == sorted({first.id, second.id})


def test_an_id_in_the_middle_of_a_record_is_no_name() -> None:
    """A command holds the id of its finding, and is not it."""
    command = next(word for word in WORDS if isinstance(word, Command))
    assert searched(command.finding_id[:12], [command]).found == {}


def test_a_trail_holds_the_whole_episode_and_nothing_else() -> None:
    """In order of time, each thing once, the finding before what was made of it."""
    course = trail(OPENED.episode, [*WORDS, *WORDS]).course()
    assert [word.id for word in course if isinstance(word, Finding)] == [
        word.id for word in WORDS if isinstance(word, Finding) and word.episode == OPENED.episode
    ]
    assert {word.id for word in course} == {word.id for word in WORDS if episode_of(word) == OPENED.episode}
    assert [when(word) for word in course] == sorted(when(word) for word in course)
    assert [type(word) for word in course][:3] == [Finding, Command, Alert]


def test_what_takes_a_brake_off_is_known_by_what_it_restores() -> None:
    """The command names in `restores` whose place it takes."""
    found = trail(OPENED.episode)
    throttle, restore = found.commands()
    assert (throttle.action, restore.action) == (Action.THROTTLE, Action.RESTORE)
    assert found.later == {throttle.id: restore}


def test_a_stronger_brake_of_another_episode_is_followed_too() -> None:
    """It took the place of this one's, and is none of its course."""
    throttle = next(word for word in WORDS if isinstance(word, Command))
    stronger = structs.replace(throttle, id="f" * 32, episode="e" * 32, restores=throttle.id)
    found = trail(OPENED.episode, [*WORDS, stronger])
    assert found.later[throttle.id] != stronger  # the first word counts
    found = trail(OPENED.episode, [OPENED, throttle, stronger])
    assert found.later == {throttle.id: stronger}
    assert stronger.id not in found.words
