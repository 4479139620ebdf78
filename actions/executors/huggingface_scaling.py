"""What is seen of a Hugging Face endpoint, and what a brake makes of it. Pure: `huggingface.py` asks and writes.

A throttle caps the replicas: `maxReplica` at the limit, and `minReplica` so that it is no larger. It never raises
anything, and leaves alone who is paused: nothing runs there, and what a PUT would do to it is documented nowhere.

What is put back is what we changed and what is still as we left it: a field that has a value which one of our throttles
gave it; after a shutdown also one that is 0 or 1, since a pause and a resume may set both to that, whatever they were.
Each plan therefore adds its cap to `before` under a key of its own, and a chain of brakes keeps them all. Everything
else that differs was set by a person meanwhile: it is left as it is, and told (`Seen.kept`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.outputs import Action, Command

MIN: Final = "minReplica"
MAX: Final = "maxReplica"
CAP: Final = "cap_"  # begins the key of a throttle's cap
FORGOTTEN: Final = frozenset({0, 1})  # what a pause and a resume may make of the scaling
Fields = dict[str, int]


class State(StrEnum):
    """Hugging Face's words for what an endpoint is doing, as far as they matter here."""

    UPDATING = "updating"
    PAUSED = "paused"
    FAILED = "failed"
    UPDATE_FAILED = "updateFailed"


FAILURES: Final = frozenset({State.FAILED, State.UPDATE_FAILED})


class _Compute(Struct, frozen=True):
    scaling: dict[str, Any]


class _Status(Struct, frozen=True, rename="camel"):
    state: str
    target_replica: int | None = None  # an endpoint at rest may come without
    ready_replica: int | None = None
    message: str | None = None
    error_message: str | None = None


class _Object(Struct, frozen=True):
    compute: _Compute
    status: _Status


class Seen:
    """One endpoint as it was read. Raises msgspec.ValidationError if the answer does not say what is needed."""

    def __init__(self, answer: bytes) -> None:
        found = msgspec.json.decode(answer, type=_Object)
        self.scaling = found.compute.scaling
        self.least, self.most = (msgspec.convert(self.scaling.get(name), int) for name in (MIN, MAX))
        self.state, self.message = found.status.state, found.status.error_message or found.status.message or ""
        self.ready, self.target = found.status.ready_replica or 0, found.status.target_replica or 0

    @property
    def saved(self) -> dict[str, Any]:
        """How things are, as plain JSON."""
        replicas = {"ready_replicas": self.ready, "target_replicas": self.target}
        return {"state": self.state, **replicas, "scaling": dict(self.scaling)}

    def lowering(self, limit: int) -> Fields:
        """What must change so that there are at most so many replicas."""
        if self.state == State.PAUSED:
            return {}
        return {name: limit for name, now in ((MIN, self.least), (MAX, self.most)) if now > limit}

    def raising(self, command: Command, before: Mapping[str, Any], floor: int) -> Fields:
        """What must be put back for `before` to be again what it was, apart from what is not ours any more."""
        if self.state == State.PAUSED:  # by a person: what is ours was resumed first
            return {}
        ours = _caps(before) | {cap(command, before, floor)} if command.action is Action.THROTTLE else _caps(before)
        reset = FORGOTTEN if command.action is Action.SHUTDOWN else frozenset()
        found = {
            name: was
            for name, was in _numbers(before).items()
            if self.scaling[name] < was and self.scaling[name] in ours | reset
        }
        most = found.get(MAX, self.most)
        return {name: min(was, most) for name, was in found.items() if min(was, most) != self.scaling[name]}

    def kept(self, before: Mapping[str, Any]) -> list[str]:
        """What differs from `before`, in words: a person set it meanwhile, and it is theirs."""
        saved: Mapping[str, Any] = before["scaling"]
        return [
            f"{name} stays {self.scaling.get(name)}, was {was}"
            for name, was in saved.items()
            if self.scaling.get(name) != was
        ]


def cap(command: Command, before: Mapping[str, Any], floor: int) -> int:
    """How many replicas a throttle leaves: what it says, else those that were ready: no growth. At least `floor`."""
    if (planned := before.get(_cap_key(command))) is not None:
        return int(planned)
    said = command.parameters.get("max_replicas", before["ready_replicas"])
    return max(1, floor, int(said))


def remember_cap(command: Command, saved: dict[str, Any], floor: int) -> dict[str, Any]:
    """How things were, and the cap that is to come."""
    return {**saved, _cap_key(command): cap(command, saved, floor)}


def _cap_key(command: Command) -> str:
    return f"{CAP}{command.id}"


def _caps(before: Mapping[str, Any]) -> frozenset[int]:
    return frozenset(number for key, number in before.items() if key.startswith(CAP))


def _numbers(before: Mapping[str, Any]) -> Fields:
    return {name: before["scaling"][name] for name in (MIN, MAX)}
