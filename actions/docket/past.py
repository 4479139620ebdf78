"""What an executor has said so far, folded from `control.results.v1`: what it holds, and what is over.

Of every endpoint at most one command is held: the last one that began and was not undone. The results of one command
may be repeated, and a late one about a command that is over changes nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actions.executors.interface import Saved
from schemas.outputs import Action, Id, Refusal, Result, State
from schemas.units import US, from_rfc3339, is_time

REMEMBERED_US: Final = 86_400 * US  # how long it is known that a command is over
WRITTEN_AGAIN_US: Final = 600 * US  # how long after it the same may come again by a crash of who wrote it
# whoever may write to the topic can have a record refused so, whatever the id: it says nothing of the true command
UNPROVEN: Final = frozenset(
    {Refusal.UNSIGNED, Refusal.UNKNOWN_KEY, Refusal.BAD_SIGNATURE, Refusal.WRONG_EXECUTOR, Refusal.MISPLACED}
)


class Settled:
    """The commands that are over, and since when; and the ids under which something unproven was refused."""

    def __init__(self) -> None:
        self._since_us: dict[Id, int] = {}
        self._doubted_us: dict[Id, int] = {}
        self._restored: set[Id] = set()

    def __contains__(self, command_id: object) -> bool:
        return command_id in self._since_us

    def add(self, command_id: Id, at_us: int, state: State | None) -> None:
        """It is over, and in what way: refused (None), restored, ..."""
        self._since_us.setdefault(command_id, at_us)
        if state is State.RESTORED:
            self._restored.add(command_id)

    def doubt(self, command_id: Id, at_us: int) -> None:
        """Something of that id was refused, and nobody knows whose it was."""
        self._doubted_us.setdefault(command_id, at_us)

    def is_doubted(self, command_id: Id) -> bool:
        return command_id in self._doubted_us

    def is_restored(self, command_id: Id) -> bool:
        return command_id in self._restored

    def is_replay(self, command_id: Id, logged_us: int) -> bool:
        """Whether a record was written when it could only be an old one, written by somebody else."""
        return logged_us > self._since_us[command_id] + WRITTEN_AGAIN_US

    def forget(self, now_us: int) -> None:
        """Whoever writes such a command again: it has expired."""
        for command_id, since_us in list(self._since_us.items()):
            if since_us > now_us - REMEMBERED_US:
                break
            del self._since_us[command_id]
            self._restored.discard(command_id)
        self._doubted_us = {name: us for name, us in self._doubted_us.items() if us > now_us - REMEMBERED_US}


class Held(NamedTuple):
    """What was begun on an endpoint, and how things were before."""

    command_id: Id
    before: Saved
    state: State
    is_expired: bool = False


class Past:
    """Feed it the results in the order of their log."""

    def __init__(self, executor: str) -> None:
        self._executor = executor
        self.settled = Settled()
        self.held: dict[str, Held] = {}

    def add(self, result: Result) -> None:
        command_id, endpoint = result.command_id, result.endpoint
        if result.executor != self._executor or command_id is None or endpoint is None or command_id in self.settled:
            return
        if not is_time(result.at) or (result.refusal is not None and self._holds(endpoint, command_id)):
            return  # no executor wrote that, or it is of a copy: what is held was not refused
        if result.refusal in UNPROVEN:
            self.settled.doubt(command_id, from_rfc3339(result.at))
        elif self._is_over(result, self.held.get(endpoint)):
            self.settled.add(command_id, from_rfc3339(result.at), result.state)
        elif result.state is not None and result.action is not Action.RESTORE:
            self._move(endpoint, result)
        if result.state is State.RESTORED and self._holds(endpoint, command_id):
            del self.held[endpoint]

    def _is_over(self, result: Result, held: Held | None) -> bool:
        if result.refusal is not None or result.state is State.RESTORED:
            return True
        if result.action is Action.RESTORE:
            return result.state is State.VERIFIED  # one that failed is tried again
        is_held = held is not None and held.command_id == result.command_id
        return result.state in (State.FAILED, State.REPLACED, State.EXPIRED) and not is_held

    def _move(self, endpoint: str, result: Result) -> None:
        held, command_id, state = self.held.get(endpoint), result.command_id, result.state
        if command_id is None or state is None:
            return
        if held is not None and held.command_id == command_id:
            if state is State.EXPIRED:
                self.held[endpoint] = held._replace(is_expired=True)
            elif state in (State.APPLIED, State.VERIFIED, State.FAILED):
                self.held[endpoint] = held._replace(state=state)
        elif state in (State.APPLYING, State.VERIFIED):  # a renewal is verified at once
            if held is not None:
                self.settled.add(held.command_id, from_rfc3339(result.at), State.REPLACED)
            self.held[endpoint] = Held(command_id, result.before, state)

    def _holds(self, endpoint: str, command_id: Id) -> bool:
        held = self.held.get(endpoint)
        return held is not None and held.command_id == command_id
