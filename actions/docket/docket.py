"""The docket of one partition of commands: a desk for each endpoint with something to do, and what is over.

Built of what was said before (`Past`), then fed with the commands in order of the log, from the committed offset on.
Until `caught_up` nothing may be asked: what was commanded long ago may have been taken back since.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from actions import commands
from actions.docket.desk import Desk
from actions.docket.office import MOST_BEHIND_US, Office, judge, judge_signed
from actions.docket.past import UNPROVEN, Past
from actions.docket.standing import NOTHING, Answer, Ask, Entry, Told, Turn
from actions.docket.telling import Subject, Voice, refusal_of
from schemas.outputs import Action, Command, Refusal

# what was begun is ended here, though it would not begin now; that it is the same says its id
NOT_ANY_MORE: Final = frozenset({Refusal.UNKNOWN_KEY, Refusal.WRONG_EXECUTOR})


class Left(StrEnum):
    """Why nothing is said about a command: the metric's label."""

    HELD = "held"  # it says itself that it is not to be carried out
    NOT_OURS = "not_ours"  # another executor of the configuration carries it out, or none does
    KNOWN = "known"  # written again after a crash, or read again


class Heard(NamedTuple):
    """What to tell of a command that was read; `left`: why that is nothing."""

    tell: Told = NOTHING
    left: Left | None = None


class Docket:
    """All that one executor knows of one partition."""

    def __init__(self, office: Office, past: Past) -> None:
        self._office, self._settled = office, past.settled
        self._held = dict(past.held)
        self._desks: dict[str, Desk] = {}
        self._next = 0  # the offset after the last record that was read

    def begin(self, offset: int) -> None:
        """From where the partition is read."""
        self._next = offset

    def read(self, entry: Entry, logged_us: int, now_us: int) -> Heard:
        """The next command of the log. `logged_us`: when the log took it."""
        self._next = entry.offset + 1
        command = entry.command
        if command.held is not None:
            return Heard(left=Left.HELD)
        desk = self._desk(command.endpoint)
        heard = self._heard(desk, entry, logged_us, now_us)
        self._drop_if_free(command.endpoint)
        return heard

    def unreadable(self, offset: int, reason: str, now_us: int) -> Heard:
        """A record that is no command."""
        self._next = offset + 1
        return Heard((refusal_of(Subject(None), Refusal.UNREADABLE, self._voice(now_us), reason),))

    def caught_up(self, now_us: int) -> None:
        """All that was in the log is read: what an earlier process held is known, or is not of this partition."""
        self._held.clear()
        for endpoint, desk in list(self._desks.items()):
            desk.forget_past()
            self._drop_if_free(endpoint)
        self.forget(now_us)

    def forget(self, now_us: int) -> None:
        """Drop what nobody can command any more. To be called now and then."""
        self._settled.forget(now_us)

    def endpoints(self) -> list[str]:
        """Where there is something to do, or to watch."""
        return list(self._desks)

    def turn(self, endpoint: str, now_us: int) -> Turn:
        """What comes next on an endpoint."""
        if (desk := self._desks.get(endpoint)) is None:
            return Turn()
        turn = desk.turn(now_us)
        self._drop_if_free(endpoint)
        return turn

    def answer(self, ask: Ask, answer: Answer, now_us: int) -> Told:
        """What came of what the last turn of the endpoint asked."""
        tell = self._desks[ask.command.endpoint].answer(ask, answer, now_us)
        self._drop_if_free(ask.command.endpoint)
        return tell

    def committable(self) -> int:
        """From where a successor must read; good as soon as everything told so far is acknowledged."""
        return min((offset for desk in self._desks.values() for offset in desk.offsets()), default=self._next)

    def in_force(self) -> int:
        """How many endpoints are held."""
        return sum(desk.hold is not None for desk in self._desks.values())

    def _heard(self, desk: Desk, entry: Entry, logged_us: int, now_us: int) -> Heard:
        command = entry.command
        if desk.knows(command.id):
            return Heard(left=Left.KNOWN)
        if entry.is_misplaced and command.executor == self._office.name and not desk.resumes(command.id):
            return self._refused(entry, Refusal.MISPLACED, now_us)
        if command.id in self._settled:
            desk.link(entry)
            if self._settled.is_replay(command.id, logged_us):
                return self._refused(entry, Refusal.REPLAYED, now_us)
            return Heard(left=Left.KNOWN)
        if command.executor != self._office.name:
            return self._of_another(desk, entry, now_us)
        return self._of_ours(desk, entry, now_us)

    def _of_ours(self, desk: Desk, entry: Entry, now_us: int) -> Heard:
        command = entry.command
        refusal, is_restore = judge(command, self._office, now_us), command.action is Action.RESTORE
        if desk.resumes(command.id) and refusal in (None, Refusal.EXPIRED):
            return Heard(desk.resume(entry, now_us))
        if desk.resumes(command.id) and refusal in NOT_ANY_MORE and commands.is_sealed(command):
            return Heard(desk.resume(entry, now_us, f"{refusal}, since the configuration was changed"))
        if refusal is None and not is_restore and desk.is_behind(command, MOST_BEHIND_US):
            refusal = Refusal.REPLAYED
        if refusal is Refusal.EXPIRED:
            desk.link(entry)
        if refusal is not None:
            return self._refused(entry, refusal, now_us)
        return Heard(desk.restore(entry, now_us) if is_restore else desk.brake(entry, now_us))

    def _of_another(self, desk: Desk, entry: Entry, now_us: int) -> Heard:
        command = entry.command
        if command.executor is not None and command.executor not in self._office.others:
            return self._refused(entry, Refusal.WRONG_EXECUTOR, now_us)
        if desk.means(command.restores) and judge_signed(command, self._office, now_us) in (None, Refusal.EXPIRED):
            is_restore = command.action is Action.RESTORE
            return Heard(desk.let_go(entry, now_us) if is_restore else desk.hand_over(entry, now_us))
        return Heard(left=Left.NOT_OURS)

    def _refused(self, entry: Entry, refusal: Refusal, now_us: int) -> Heard:
        command = entry.command
        if refusal not in UNPROVEN:
            self._settled.add(command.id, now_us, None)
        elif self._settled.is_doubted(command.id):
            return Heard(left=Left.KNOWN)
        else:
            self._settled.doubt(command.id, now_us)
        return Heard((refusal_of(Subject.of(command), refusal, self._voice(now_us), _why(refusal, command)),))

    def _voice(self, now_us: int) -> Voice:
        return Voice(self._office.name, now_us)

    def _desk(self, endpoint: str) -> Desk:
        if endpoint not in self._desks:
            self._desks[endpoint] = Desk(self._office, self._settled, self._held.pop(endpoint, None))
        return self._desks[endpoint]

    def _drop_if_free(self, endpoint: str) -> None:
        desk = self._desks.get(endpoint)
        if desk is not None and desk.is_free:
            del self._desks[endpoint]


def _why(refusal: Refusal, command: Command) -> str:
    match refusal:
        case Refusal.WRONG_EXECUTOR:
            return (
                f"it is for {command.executor!r}; {command.action} of {command.endpoint} is nothing that this one takes"
            )
        case Refusal.MISPLACED:
            return "a record of its endpoint lies in another partition: this is a copy of one"
        case Refusal.EXPIRED:
            return f"it ended at {command.expires_at}"
        case Refusal.FROM_THE_FUTURE:
            return f"it was issued at {command.issued_at}"
        case Refusal.REPLAYED:
            return "it is over, or older than what came after it"
    return ""


__all__ = ["Docket", "Heard", "Left"]
