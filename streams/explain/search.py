"""What an id means, and everything that belongs to its episode: two readings of the same records.

The first one looks for the id, the second one keeps what the episode needs, so that memory does not grow with
what is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson

from actions.wording import what_was_done
from schemas.outputs import Alert, Command, Finding
from streams.narration import of_finding

Word = Finding | Command | Alert
Kind = Literal["finding", "command", "alert", "episode"]

_ORDER: Final = ("finding", "command", "alert")  # of what is said at one moment


class Named(NamedTuple):
    """What an id is the id of."""

    id: str
    kind: Kind
    episode: str
    text: str


class Search:
    """Everything whose id begins with a prefix; `take` is given each record.

    `has_words`: whether any of them was a finding, a command or an alert at all.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._bytes = f'"{prefix}'.encode()
        self.found: dict[str, Named] = {}
        self.has_words = False

    def take(self, record: bytes) -> None:
        self.has_words = self.has_words or decoded(record) is not None
        if self._bytes not in record:
            return
        word = decoded(record)
        for named in [] if word is None else _names(word):
            if named.id.startswith(self._prefix):
                self.found.setdefault(named.id, named)


@dataclass
class Trail:
    """All that was said of one episode, each thing once, by id; `take` is given each record."""

    episode: str
    words: dict[str, Word] = field(default_factory=dict)
    later: dict[str, Command] = field(default_factory=dict)  # id of a command -> what took its place

    def take(self, record: bytes) -> None:
        if self.episode.encode() not in record and not self._follows(record):
            return
        word = decoded(record)
        if isinstance(word, Command) and word.restores is not None:
            self.later.setdefault(word.restores, word)
        if word is not None and episode_of(word) == self.episode:
            self.words.setdefault(word.id, word)

    def course(self) -> list[Word]:
        """In order of time; at one moment the finding comes first, then what was made of it."""
        return sorted(self.words.values(), key=lambda word: (when(word), _ORDER.index(kind_of(word))))

    def findings(self) -> list[Finding]:
        return [word for word in self.course() if isinstance(word, Finding)]

    def commands(self) -> list[Command]:
        return [word for word in self.course() if isinstance(word, Command)]

    def _follows(self, record: bytes) -> bool:
        """Whether it may take the place of a command of this episode; it may be another episode's."""
        return any(isinstance(word, Command) and word.id.encode() in record for word in self.words.values())


def decoded(record: bytes) -> Word | None:
    """The finding, command or alert in a record of a topic or a line of `replay -o json`, or of `demo -o json`."""
    try:
        fields = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    if isinstance(fields, dict) and "event" in fields:
        fields = fields.get("finding") or fields.get("command")
    if not isinstance(fields, dict):
        return None
    try:
        return msgspec.convert(fields, _kind(fields))
    except msgspec.ValidationError:
        return None


def episode_of(word: Word) -> str:
    return word.dedup_key if isinstance(word, Alert) else word.episode


def when(word: Word) -> str:
    """Its time, as it is written; text sorts as time does."""
    return word.issued_at if isinstance(word, Command) else word.at


def sentence(word: Word) -> str:
    """What it says, without its time."""
    if isinstance(word, Finding):
        return of_finding(word)
    return what_was_done(word) if isinstance(word, Command) else word.summary


def kind_of(word: Word) -> Kind:
    if isinstance(word, Finding):
        return "finding"
    return "command" if isinstance(word, Command) else "alert"


def _kind(fields: dict[str, Any]) -> type[Finding | Command | Alert]:
    if "dedup_key" in fields:
        return Alert
    return Command if "action" in fields else Finding


def _names(word: Word) -> list[Named]:
    episode = episode_of(word)
    about = f"{word.rule} on {word.endpoint if isinstance(word, Command) else word.subject}"
    own = Named(word.id, kind_of(word), episode, f"{when(word)}  {sentence(word)}")
    return [own, Named(episode, "episode", episode, about)]
