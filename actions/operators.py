"""What operators say and executors report, as the action stage hears it: from its own log (`passed_on.py`).

Everything here may come twice, after a crash of whoever passed it on. So the offset that it had in its own topic is
remembered: what is not beyond it was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from actions import alerts, results
from actions.brakes import Brake, Reality
from actions.control import Control, Moment, Outputs
from actions.memory import Memory, Pause
from actions.wording import what_to_do
from schemas.orders import Order, Verb
from schemas.outputs import Action, Finding, Id, Refusal, Result, State
from schemas.topics import EXECUTOR, OPERATOR
from schemas.units import from_rfc3339

Answer = Callable[[Order, Moment], Outputs]


class Operators:
    """Approvals, rejections, rollbacks, the kill switch; and commands that could not be carried out."""

    def __init__(self, control: Control, memory: Memory) -> None:
        self._control = control
        self._memory = memory
        self._answers: Final[Mapping[Verb, Answer]] = {
            Verb.APPROVE: self._approve,
            Verb.REJECT: self._reject,
            Verb.ROLLBACK: self._roll_back,
            Verb.PAUSE: self._pause,
            Verb.RESUME: self._resume,
        }

    def hear(self, finding: Finding, moment: Moment) -> Outputs:
        """Whatever was passed on; nothing comes of a finding of the clock."""
        if finding.rule not in (OPERATOR, EXECUTOR) or not self._is_news(finding):
            return []
        if finding.rule == OPERATOR:
            order = msgspec.convert(finding.evidence["order"], Order)
            return self._answers[order.verb](order, moment)
        return self._note(msgspec.convert(finding.evidence["result"], Result), moment)

    def end_pause(self, at_us: int) -> Outputs:
        """The kill switch goes off by itself when its time is over."""
        pause = self._memory.shared.pause
        if pause is None or self._memory.is_paused(at_us):
            return []
        self._memory.shared.pause = None
        return [alerts.resumed(pause, pause.until_us or at_us, "its time is over")]

    def _is_news(self, finding: Finding) -> bool:
        offset, heard = int(finding.value), self._memory.shared.heard
        if offset <= heard.get(finding.rule, -1):
            return False
        heard[finding.rule] = offset
        return True

    def _approve(self, order: Order, moment: Moment) -> Outputs:
        found = self._find(order.command_id, Reality.ASKED)
        if found is None:
            return [self._not_found(order, moment, "awaits no approval")]
        endpoint, brake = found
        if order.who in brake.approvals:
            return [self._unheard(order, moment, Refusal.NOT_ALLOWED, f"{order.who} has approved it already")]
        brake = self._control.approve(endpoint, brake, order.who)
        approval, persons = brake.command.approval, brake.approvals
        if approval is not None and not brake.is_approved:
            told = f"{len(persons)} of {approval.persons}: {order.why}"
            return [results.about(brake.command, State.AWAITING_APPROVAL, moment.at_us, reason=told, by=persons)]
        return self._control.issue(endpoint, brake, moment.at_us)

    def _reject(self, order: Order, moment: Moment) -> Outputs:
        found = self._find(order.command_id, Reality.ASKED)
        if found is None:
            return [self._not_found(order, moment, "awaits no approval")]
        endpoint, brake = found
        self._control.drop(endpoint, brake)
        self._refuse(brake)
        rejected = results.about(brake.command, State.REJECTED, moment.at_us, reason=order.why, by=(order.who,))
        return [rejected, alerts.rejected(brake, rejected)]

    def _roll_back(self, order: Order, moment: Moment) -> Outputs:
        found = self._find(order.command_id, Reality.REAL)
        if found is None:
            return [self._not_found(order, moment, "is not in force")]
        endpoint, brake = found
        self._refuse(brake)
        why = f"rolled back by {order.who}, {order.why}"
        return [
            self._control.lift(endpoint, brake, (moment.finding_id, moment.at_us, why)),
            alerts.lifted(brake, moment.at_us, why),
        ]

    def _pause(self, order: Order, moment: Moment) -> Outputs:
        if self._is_stale(order):
            return [self._unheard(order, moment, Refusal.REPLAYED, "a later one was heard")]
        before, until = self._memory.shared.pause, order.until
        until_us = None if until is None else from_rfc3339(until)
        if until_us is not None and until_us <= moment.at_us:
            return [self._unheard(order, moment, Refusal.TOO_LATE, "its end has passed")]
        since = Pause(order.id, order.who, order.why, moment.at_us, until_us)
        pause = since if before is None else msgspec.structs.replace(since, order_id=before.order_id)
        self._memory.shared.pause = pause
        return [alerts.paused(pause, moment.at_us)]

    def _resume(self, order: Order, moment: Moment) -> Outputs:
        if self._is_stale(order):
            return [self._unheard(order, moment, Refusal.REPLAYED, "a later one was heard")]
        pause = self._memory.shared.pause
        if pause is None:
            return [self._unheard(order, moment, Refusal.TOO_LATE, "actions are not paused")]
        self._memory.shared.pause = None
        return [alerts.resumed(pause, moment.at_us, f"{order.who}: {order.why}")]

    def _is_stale(self, order: Order) -> bool:
        """Only the newest word about the kill switch counts, so that no old one can be played again."""
        at_us = from_rfc3339(order.at)
        if at_us <= self._memory.shared.ordered_us:
            return True
        self._memory.shared.ordered_us = at_us
        return False

    def _note(self, result: Result, moment: Moment) -> Outputs:
        """A command that failed is not in force: what was done of it is restored, and it may be asked for again."""
        if result.action is Action.RESTORE and result.refusal is None:
            return self._note_restore(result, moment)
        found = self._find(result.command_id, Reality.REAL)
        if found is None or found[1].command.executor not in (None, result.executor):
            return []  # nor is it for others to say what their command came to
        endpoint, brake = found
        if result.refusal is not None:
            is_of_a_copy = result.refusal is Refusal.MISPLACED or result.command_id != brake.command.id
            return [] if is_of_a_copy else [alerts.refused(brake, result, moment.at_us)]
        if result.state is not State.FAILED:
            self._control.begun(endpoint, brake)
            return []
        outputs = self._control.fail(endpoint, brake, moment)
        deed = what_to_do(brake.command.action, endpoint, brake.command.parameters)
        return [*outputs, alerts.lifted(brake, moment.at_us, f"{deed} failed: {result.reason}")]

    def _note_restore(self, result: Result, moment: Moment) -> Outputs:
        """That a brake does not come off is a matter for a person, until it did."""
        endpoint, command_id = result.endpoint or "", result.command_id
        stuck = self._memory.peek_place(endpoint).unrestored
        if result.state is State.FAILED and stuck is None and command_id is not None:
            self._memory.place(endpoint).unrestored = command_id
            return [alerts.unrestored(result, command_id, moment.at_us)]
        if result.state is State.VERIFIED and stuck is not None:
            self._memory.place(endpoint).unrestored = None
            return [alerts.unrestored(result, stuck, moment.at_us)]
        return []

    def _refuse(self, brake: Brake) -> None:
        for claim in brake.claims:
            line = self._memory.line(claim.rule, claim.subject)
            if line.episode == claim.episode:
                line.refused = (*line.refused, (claim.endpoint, claim.action))

    def _find(self, command_id: Id | None, kind: Reality) -> tuple[str, Brake] | None:
        in_force = self._memory.in_force()
        own = (each for each in in_force if each[1].reality is kind and each[1].is_about(command_id or ""))
        return next(own, None)

    def _not_found(self, order: Order, moment: Moment, why: str) -> Result:
        return self._unheard(order, moment, Refusal.UNKNOWN_COMMAND, f"the command {why}")

    def _unheard(self, order: Order, moment: Moment, refusal: Refusal, why: str) -> Result:
        return results.unheard(order, refusal, moment.at_us, why)
