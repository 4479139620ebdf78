"""One endpoint: what is in force, what is wanted, and what to do next. A state machine without I/O and clock.

    a command is read ─► wanted ─► PLAN ─► (applying) APPLY ─► (applied) READ_BACK ─► (verified) in force
                                                                  its end, or a restore: UNDO ─► READ_UNDONE ─► free

In brackets is what is told at each step: `applying`, with how things were, before anything outside is touched. What is
begun on an endpoint is *held* until it is undone. A later command takes the held one's place and keeps how things were
before the first; one that asks for the same moves the expiry alone, and nothing outside is asked.

One step at a time is under way. What is read meanwhile counts when it has ended: of commands that wait only the newest
is carried out, and a restore cancels the one that waits. A restore of what is held comes before whatever waits, for
the way back leads from what was done last.

It is a dead man's switch: what is held past its expiry, with no renewal read, is undone without anybody's word.
"""

from __future__ import annotations

from typing import Final

from actions.docket.office import Office, is_over
from actions.docket.past import Held, Settled
from actions.docket.pauses import APPLY_MOST_US, READ_MOST_US, UNDO_MOST_US, Tries
from actions.docket.standing import NOTHING, Answer, Ask, Entry, Hold, Lift, Step, Told, Turn, Wanted
from actions.docket.telling import NO_WORDS, Said, Subject, Voice, state_of
from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from schemas.outputs import Command, Id, Result, State
from schemas.units import US, from_rfc3339

GRACE_US: Final = 5 * US  # for a renewal that is on its way
UNDO_FOR_US: Final = 86_400 * US


class Desk:
    """One endpoint of one executor. `past`: what an earlier process holds there, until its command is read."""

    def __init__(self, office: Office, settled: Settled, past: Held | None = None) -> None:
        self._office, self._settled, self._past = office, settled, past
        self.hold: Hold | None = None
        self.wanted: Wanted | None = None
        self.lift: Lift | None = None
        self._newest_us = 0
        self._tries: Tries | None = None

    # what is read

    def knows(self, command_id: Id) -> bool:
        """Whether it is being dealt with."""
        active = [
            self.hold and self.hold.entry,
            self.wanted and self.wanted.entry,
            *(self.lift.by if self.lift else ()),
        ]
        return any(entry is not None and entry.command.id == command_id for entry in active)

    def means(self, command_id: Id | None) -> bool:
        """Whether a later command that `restores` this id is about what is held or wanted here."""
        return self._is_held(command_id) or self._is_wanted(command_id)

    def link(self, entry: Entry) -> None:
        """A command that is not carried out was to take the place of one here: a restore may name it."""
        restores = entry.command.restores
        if self.hold is not None and self._is_held(restores):
            self.hold = self.hold._replace(links=self.hold.links | entry.ids)
        if self.wanted is not None and self._is_wanted(restores):
            self.wanted = self.wanted._replace(links=self.wanted.links | entry.ids)

    def resumes(self, command_id: Id) -> bool:
        """Whether it is what an earlier process holds."""
        return self._past is not None and self._past.command_id == command_id

    def resume(self, entry: Entry, now_us: int, over: str | None = None) -> Told:
        """Go on with what an earlier process began; `over`: why it must be undone at once."""
        past, self._past = self._past, None
        if past is None:
            return ()
        tell = self._drop_wanted(State.REPLACED, now_us, "")
        self.hold = Hold(entry, past.before, past.state, entry.ids)
        why = "expired" if past.is_expired else over
        self.lift = None if why is None else Lift(why)
        self._newest_us = from_rfc3339(entry.command.issued_at)
        return tell

    def forget_past(self) -> None:
        """The command of what an earlier process held did not come."""
        self._past = None

    def is_behind(self, command: Command, most_behind_us: int) -> bool:
        """Whether a command was issued well before what is known here, and is not linked to it."""
        issued_us = from_rfc3339(command.issued_at)
        return issued_us < self._newest_us - most_behind_us and not self.means(command.restores)

    def brake(self, entry: Entry, now_us: int) -> Told:
        """A sound command to throttle, overflow or shut down: what is wanted from now on."""
        command, waiting = entry.command, self.wanted
        is_chained = self._is_held(command.restores)
        if waiting is not None and command.restores in waiting.links:
            is_chained = is_chained or waiting.is_chained
        tell = self._drop_wanted(State.REPLACED, now_us, "a newer command came before it had begun")
        self.wanted = Wanted(entry, entry.ids, is_chained)
        self._newest_us = max(self._newest_us, from_rfc3339(command.issued_at))
        return tell

    def restore(self, entry: Entry, now_us: int) -> Told:
        """A sound restore. Of what is not in force it undoes nothing."""
        restores, waiting = entry.command.restores, self.wanted
        lifts, tell = self._is_held(restores), NOTHING
        if waiting is not None and self._is_wanted(restores):
            lifts = lifts or waiting.is_chained
            tell = self._drop_wanted(State.RESTORED, now_us, "it had not begun")
        if lifts and self.hold is not None:
            self._raise(Lift(entry.command.reason, (entry,)))
            return tell
        if restores is not None and not self._settled.is_restored(restores):
            self._settled.add(restores, now_us, State.RESTORED)
            subject, voice = Subject(restores, entry.command.endpoint), Voice(self._office.name, now_us)
            tell += (state_of(subject, State.RESTORED, voice, Said("nothing of it was in force")),)
        return (*tell, self._settle(entry, State.VERIFIED, now_us, "nothing was in force"))

    def hand_over(self, entry: Entry, now_us: int) -> Told:
        """A sound command that another executor carries out, or none, in the place of ours.

        Whether it does is not known here. So what is held stays on beside it, for as long as the chain lasts.
        """
        tell, waiting, command = NOTHING, self.wanted, entry.command
        is_chained = self._is_held(command.restores)
        if waiting is not None and self._is_wanted(command.restores):
            is_chained = is_chained or waiting.is_chained
            tell = self._drop_wanted(State.REPLACED, now_us, f"{command.executor} takes its place")
        if is_chained and self.hold is not None and command.expires_at is not None:
            others_us = max(self.hold.others_us, from_rfc3339(command.expires_at))
            self.hold = self.hold._replace(links=self.hold.links | entry.ids, others_us=others_us)
        return tell

    def let_go(self, entry: Entry, now_us: int) -> Told:
        """A sound restore of what another executor has in the chain of ours: ours goes with it."""
        tell, waiting, restores = NOTHING, self.wanted, entry.command.restores
        lifts = self._is_held(restores)
        if waiting is not None and self._is_wanted(restores):
            lifts = lifts or waiting.is_chained
            tell = self._drop_wanted(State.RESTORED, now_us, "it had not begun")
        if lifts and self.hold is not None:
            self._raise(Lift(entry.command.reason, pinned=entry.offset))
        return tell

    # what to do

    def turn(self, now_us: int) -> Turn:
        """What comes next. To be called again after each answer, and whenever something was read."""
        tell = self._end_what_is_over(now_us)
        if self.lift is not None and self.hold is not None:
            return self._asked(tell, Step.UNDO if self.lift.undone_us is None else Step.READ_UNDONE, now_us)
        if self.wanted is not None and self._is_renewal(self.wanted):
            tell += self._renew(self.wanted, now_us)
        if self.wanted is not None:
            return self._asked(tell, Step.PLAN, now_us)
        if self.hold is not None and self.hold.state is State.APPLYING:
            return self._asked(tell, Step.APPLY, now_us)
        if self.hold is not None and self.hold.state is State.APPLIED:
            return self._asked(tell, Step.READ_BACK, now_us)
        return Turn(tell, again_us=self._end_us())

    def answer(self, ask: Ask, answer: Answer, now_us: int) -> Told:
        """What came of the question that the last turn asked."""
        if ask.step in (Step.UNDO, Step.READ_UNDONE):
            return self._undone(ask, answer, now_us)
        wanted = self.wanted
        part = (
            wanted if ask.step is Step.PLAN and self.lift is None else self.hold if ask.step is not Step.PLAN else None
        )
        if part is None or part.entry.command.id != ask.command.id:
            return ()  # only planned, and not wanted any more, or not before something else is undone
        match answer:
            case Plan() if wanted is not None:
                return self._take(wanted, answer, now_us)
            case Reading(wrong=None):
                return self._move(State.VERIFIED, now_us, Said(after=answer.after))
            case Reading():
                answer = Failure(f"not as it should be: {answer.wrong}", retryable=True)
        if isinstance(answer, Failure):
            return self._failed(ask, answer, now_us)
        return self._move(State.APPLIED, now_us)

    @property
    def is_free(self) -> bool:
        return self.hold is None and self.wanted is None and self._past is None

    def offsets(self) -> list[int]:
        """Where the records lie that must be read again after a crash."""
        found = [part.entry.offset for part in (self.hold, self.wanted) if part is not None]
        if self.lift is not None:
            found += [entry.offset for entry in self.lift.by]
            found += [self.lift.pinned] if self.lift.pinned is not None else []
        return found

    # how

    def _end_what_is_over(self, now_us: int) -> Told:
        tell = NOTHING
        if self.wanted is not None and is_over(self.wanted.entry.command, now_us):
            why = self._why_late("it had not begun", self.wanted.entry)
            tell = self._drop_wanted(State.EXPIRED, now_us, why, keep_links=True)
        end_us, is_awaited = self._end_us(), self.wanted is not None and self.wanted.is_chained
        if self.hold is None or self.lift is not None or end_us is None or now_us < end_us or is_awaited:
            return tell
        self._raise(Lift("expired"))
        if self.hold.state is State.FAILED:
            return tell  # it was told to have failed, and is undone all the same
        why = self._why_late("nobody has renewed it", self.hold.entry)
        return (*tell, self._say(self.hold.entry, State.EXPIRED, now_us, Said(why)))

    def _why_late(self, why: str, entry: Entry) -> str:
        tries = self._tries
        is_about = tries is not None and tries.job == _job(Step.APPLY, entry)
        return f"{why}, after {tries.failures} attempts" if tries is not None and is_about and tries.failures else why

    def _end_us(self) -> int | None:
        """When what is held ends by itself."""
        if self.hold is None or self.hold.is_stuck or self.hold.entry.command.expires_at is None:
            return None
        end_us = from_rfc3339(self.hold.entry.command.expires_at)
        return end_us if self.hold.state is State.APPLYING else max(end_us, self.hold.others_us) + GRACE_US

    def _asked(self, tell: Told, step: Step, now_us: int) -> Turn:
        entry, before = self._about(step)
        if self._tries is None or self._tries.job != _job(step, entry):
            self._tries = Tries(_job(step, entry), now_us)
        if self._tries.next_us <= now_us:
            return Turn(tell, Ask(step, entry.command, before))
        over = None if step in (Step.UNDO, Step.READ_UNDONE) else entry.command.expires_at
        ends = [end for end in (self._tries.next_us, over and from_rfc3339(over), self._next_end_us()) if end]
        return Turn(tell, again_us=max(min(ends), now_us + 1))

    def _next_end_us(self) -> int | None:
        is_awaited = self.wanted is not None and self.wanted.is_chained
        return None if self.lift is not None or is_awaited else self._end_us()

    def _about(self, step: Step) -> tuple[Entry, Saved]:
        if step is Step.PLAN and self.wanted is not None:
            return self.wanted.entry, {}
        if self.hold is None:
            raise AssertionError(f"{step} of nothing")
        return self.hold.entry, self.hold.before

    def _is_renewal(self, wanted: Wanted) -> bool:
        hold, command = self.hold, wanted.entry.command
        if hold is None or not wanted.is_chained or hold.state is not State.VERIFIED:
            return False
        held = hold.entry.command
        return (command.action, command.parameters) == (held.action, held.parameters)

    def _renew(self, wanted: Wanted, now_us: int) -> Told:
        hold = self.hold
        if hold is None:
            return ()
        tell = self._let_go(wanted, now_us)
        self.hold = Hold(wanted.entry, hold.before, State.VERIFIED, wanted.links)
        self.wanted, self._tries = None, None
        said = Said("renewed: only the expiry moves", before=hold.before)
        return (*tell, self._say(wanted.entry, State.VERIFIED, now_us, said))

    def _take(self, wanted: Wanted, plan: Plan, now_us: int) -> Told:
        """It begins. How things were before the first of a chain is what to come back to."""
        before = plan.before if self.hold is None else {**plan.before, **self.hold.before}
        tell = self._let_go(wanted, now_us)
        self.hold = Hold(wanted.entry, before, State.APPLYING, wanted.links)
        self.wanted, self.lift = None, None
        said = Said("; ".join(plan.changes) or "it is so already", before=before)
        return (*tell, self._say(wanted.entry, State.APPLYING, now_us, said))

    def _let_go(self, wanted: Wanted, now_us: int) -> Told:
        """Another command takes the place of the one that is held. One that it names needs no word of ours."""
        if self.hold is None:
            return ()
        told = self._settle(self.hold.entry, State.REPLACED, now_us, "a newer command takes its place")
        return () if wanted.entry.command.restores == told.command_id else (told,)

    def _move(self, state: State, now_us: int, said: Said = NO_WORDS) -> Told:
        if self.hold is None:
            return ()
        self.hold = self.hold._replace(state=state)
        if self._tries is not None:
            self._tries = self._tries._replace(failures=0, next_us=0)
        return (self._say(self.hold.entry, state, now_us, said),)

    def _failed(self, ask: Ask, failure: Failure, now_us: int) -> Told:
        tries = self._tries or Tries(_job(ask.step, self._about(ask.step)[0]), now_us)
        most_us = READ_MOST_US if ask.step is Step.READ_BACK else APPLY_MOST_US
        self._tries = tries.after(failure, now_us, most_us)
        if failure.retryable and self._tries.next_us <= tries.since_us + self._office.give_up_us:
            return ()
        if ask.step is Step.PLAN:
            return self._drop_wanted(State.FAILED, now_us, failure.reason, keep_links=True)
        return self._give_up(failure.reason, now_us)

    def _give_up(self, reason: str, now_us: int) -> Told:
        if self.hold is None:
            return ()
        self.hold, self._tries = self.hold._replace(state=State.FAILED), None
        return (self._say(self.hold.entry, State.FAILED, now_us, Said(reason)),)

    def _undone(self, ask: Ask, answer: Answer, now_us: int) -> Told:
        lift, hold = self.lift, self.hold
        if lift is None or hold is None:
            return ()
        if isinstance(answer, Reading) and answer.wrong is None:
            return self._free(hold, lift, answer, now_us)
        if ask.step is Step.UNDO and not isinstance(answer, Failure):
            self.lift = lift._replace(undone_us=now_us)
            return ()
        wrong = answer.wrong if isinstance(answer, Reading) else None
        failure = answer if isinstance(answer, Failure) else Failure(f"not undone: {wrong}", retryable=True)
        return self._undo_again(lift, hold, failure, now_us)

    def _free(self, hold: Hold, lift: Lift, reading: Reading, now_us: int) -> Told:
        self.hold, self.lift, self._tries = None, None, None
        self._settled.add(hold.entry.command.id, now_us, State.RESTORED)
        tell = [self._say(hold.entry, State.RESTORED, now_us, Said(lift.why, after=reading.after))]
        tell += [self._settle(entry, State.VERIFIED, now_us) for entry in lift.by]
        return tuple(tell)

    def _undo_again(self, lift: Lift, hold: Hold, failure: Failure, now_us: int) -> Told:
        """Never gives up before a day, whatever the answer: a brake that stays on is an outage."""
        tries = self._tries or Tries(_job(Step.UNDO, hold.entry), now_us)
        is_read = lift.undone_us is not None and failure.retryable
        self._tries = tries.after(failure, now_us, READ_MOST_US if is_read else UNDO_MOST_US)
        if lift.undone_us is not None and now_us - lift.undone_us > self._office.give_up_us:
            self.lift = lift = lift._replace(undone_us=None)
        is_out_of_time = self._tries.next_us > tries.since_us + UNDO_FOR_US
        if is_out_of_time:
            self.hold, self.lift, self._tries = hold._replace(is_stuck=True), None, None
        if lift.is_told_failed or (failure.retryable and not is_out_of_time):
            return ()
        if self.lift is not None:
            self.lift = lift._replace(is_told_failed=True)
        said = Said(f"could not be undone: {failure.reason}")
        return tuple(self._say(entry, State.FAILED, now_us, said) for entry in lift.by or (hold.entry,))

    def _raise(self, lift: Lift) -> None:
        """Undo what is held; what was done of it already stays done."""
        if self.hold is not None and self.hold.is_stuck:
            self.hold = self.hold._replace(is_stuck=False)
        if self.lift is None:
            self.lift = lift
            return
        is_told = self.lift.is_told_failed and not lift.by  # of the brake, or of other restores
        self.lift = self.lift._replace(by=(*self.lift.by, *lift.by), why=lift.why, is_told_failed=is_told)

    def _drop_wanted(self, state: State, now_us: int, why: str, *, keep_links: bool = False) -> Told:
        """What waits is not carried out; if it failed or ended, a restore may still name it."""
        wanted, self.wanted = self.wanted, None
        if wanted is None:
            return ()
        if keep_links and wanted.is_chained and self.hold is not None:
            self.hold = self.hold._replace(links=self.hold.links | wanted.links)
        return (self._settle(wanted.entry, state, now_us, why),)

    def _settle(self, entry: Entry, state: State, now_us: int, why: str = "") -> Result:
        self._settled.add(entry.command.id, now_us, state)
        return self._say(entry, state, now_us, Said(why))

    def _say(self, entry: Entry, state: State, now_us: int, said: Said = NO_WORDS) -> Result:
        return state_of(Subject.of(entry.command), state, Voice(self._office.name, now_us), said)

    def _is_held(self, command_id: Id | None) -> bool:
        return self.hold is not None and command_id in self.hold.links

    def _is_wanted(self, command_id: Id | None) -> bool:
        return self.wanted is not None and command_id in self.wanted.links


def _job(step: Step, entry: Entry) -> str:
    """What is tried: each direction of one command has a patience of its own."""
    direction = "undo" if step in (Step.UNDO, Step.READ_UNDONE) else "apply"
    return f"{direction} {entry.command.id}"
