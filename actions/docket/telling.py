"""Results: what an executor says of a command, with ids that their content gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import structs

from actions.results import seal
from schemas.outputs import UNSEALED, Action, Command, Id, Refusal, Result, State
from schemas.units import rfc3339


class Subject(NamedTuple):
    """Of which command a result speaks; what is not known is None."""

    command_id: Id | None
    endpoint: str | None = None
    action: Action | None = None

    @classmethod
    def of(cls, command: Command) -> Subject:
        return cls(command.id, command.endpoint, command.action)


class Voice(NamedTuple):
    """Who speaks, and when."""

    executor: str
    at_us: int


class Said(NamedTuple):
    """What goes with a state: why, how things were, and what was read back."""

    reason: str = ""
    before: Mapping[str, Any] = {}
    after: Mapping[str, Any] = {}


NO_WORDS: Final = Said()


def state_of(subject: Subject, state: State, voice: Voice, said: Said = NO_WORDS) -> Result:
    """What a command came to."""
    return seal(
        structs.replace(
            _silent(subject, voice), state=state, reason=said.reason, before=dict(said.before), after=dict(said.after)
        )
    )


def refusal_of(subject: Subject, refusal: Refusal, voice: Voice, reason: str = "") -> Result:
    """Why a command was not even tried."""
    return seal(structs.replace(_silent(subject, voice), refusal=refusal, reason=reason))


def without_state(result: Result, reason: str) -> Result:
    """The same, as something that is only said and changes no command's state."""
    return seal(structs.replace(result, state=None, refusal=None, reason=reason))


def _silent(subject: Subject, voice: Voice) -> Result:
    return Result(
        id=UNSEALED,
        command_id=subject.command_id,
        state=None,
        refusal=None,
        endpoint=subject.endpoint,
        action=subject.action,
        executor=voice.executor,
        at=rfc3339(voice.at_us),
    )
