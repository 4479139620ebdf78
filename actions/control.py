"""Brakes on and off: the safety stages, what is in force, renewal, release and expiry.

The only part that changes what is in force. An endpoint is under the join of its claims (`brakes.py`):

- a claim that passes takes the place of the brake of its kind (real, asked for, supposed), with what others claim
  joined in;
- `already_in_force` joins the claim to the brake that covers it, so the brake outlives the episode it came
  from;
- when an episode is over its claims go. With none left the endpoint is restored; while the rest asks for
  the same, nothing is said; else the restore is followed by the weaker brake. That one passes the stages
  like any other, but for the cooldown, which would leave the endpoint without any;
- one that failed goes in the same way, and what it had replaced comes back: that was in force, so no limit counts it;
- a claim that a new configuration would not make any more goes with the episode's next finding, in the same way;
- a brake that expires takes all its claims with it. Their episodes ask again at their next update. One that awaits
  approval is not renewed: when its time is over it is rejected or issued, as its policy says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from actions import alerts, capacity, commands, policy, results, safety
from actions.brakes import OF_MODE, RUNGS, Brake, Claim, Reality, join, lead, reality_of, without
from actions.memory import MOST_TOLD, Memory
from schemas.config import Config, Policy
from schemas.outputs import Action, Alert, Command, Held, Id, Mode, Result, Severity, State
from schemas.topics import EXTERNAL, TELEMETRY_GAP
from schemas.units import HOUR_US, rfc3339

Outputs = list[Command | Result | Alert]
Claims = tuple[Claim, ...]

UNCOOLED = tuple(stage for stage in safety.STAGES if stage is not safety.cooldown)
BACK_AGAIN = (safety.kill_switch, safety.protected, safety.already_in_force, safety.blast_radius, safety.mode)


class Moment(NamedTuple):
    """What is being applied, as the stages need it."""

    finding_id: Id
    at_us: int
    logged_at_us: int | None

    @property
    def come_us(self) -> int:
        """The time that has come for sure: a sender's clock that is ahead of the log's must not end anything early."""
        return self.at_us if self.logged_at_us is None else min(self.at_us, self.logged_at_us)

    @property
    def age_us(self) -> int | None:
        return None if self.logged_at_us is None else self.logged_at_us - self.at_us


class Control:
    """Decides what is in force, in `memory`."""

    def __init__(self, config: Config, memory: Memory) -> None:
        self.config = config
        self._memory = memory

    def braking(self, endpoint: str) -> tuple[Brake, ...]:
        """What is in force on the endpoint, as far as it counts in the endpoint's mode."""
        return self._counting(endpoint, OF_MODE[self.config.mode_of(endpoint)])

    def counting_for(self, claim: Claim) -> tuple[Brake, ...]:
        """What is in force on the claim's endpoint, as far as it counts for the claim."""
        return self._counting(claim.endpoint, OF_MODE[self._mode(claim)])

    def claim(self, claim: Claim, moment: Moment) -> tuple[Held | None, Outputs]:
        """Try to bring a claim into force: what the stages said, and what to write."""
        held = safety.check(claim, self._context(claim, moment, self._mode(claim)))
        return held, self._settle(claim, held, moment)

    def renew(self, episode: Id, moment: Moment) -> Outputs:
        """Another lifetime for the episode's brakes past half of theirs, if operators let them be."""
        outputs: Outputs = []
        for endpoint, brake in self._memory.in_force():
            claim = brake.claim_of(episode)
            if claim is None or 2 * moment.at_us < brake.issued_us + brake.expires_us:
                continue
            if self._is_meant(brake) and self._may_renew(claim, moment):
                lifetime_s = self.config.safety.expires_after
                renewed = commands.renew(brake, moment.finding_id, moment.at_us, lifetime_s)
                self._put(endpoint, structs.replace(brake, command=renewed))
                outputs.append(renewed)
        return outputs

    def withdraw(self, episode: Id, moment: Moment) -> Outputs:
        """Drop what the episode claims and a new configuration no longer answers it with."""
        return self.release(episode, moment, "withdrawn", lambda claim: not self._is_answer(claim))

    def release(
        self, episode: Id, moment: Moment, why: str = "resolved", concerns: Callable[[Claim], bool] = lambda _: True
    ) -> Outputs:
        """Drop what the episode claims; what is restored comes first, then what others still ask for."""
        restored: Outputs = []
        weaker: list[tuple[Brake, Claims]] = []
        for endpoint, brake in self._memory.in_force():
            claim = brake.claim_of(episode)
            if claim is None or not concerns(claim):
                continue
            rest = without(brake.claims, episode)
            if rest and join(rest) == brake.demand:
                self._put(endpoint, structs.replace(brake, claims=rest))
                continue
            restored.append(self.lift(endpoint, brake, (moment.finding_id, moment.at_us, why)))
            weaker.append((brake, tuple(_as_found(claim, brake) for claim in rest)))
        return restored + [output for brake, rest in weaker if rest for output in self._resume(brake, rest, moment)]

    def expire(self, until_us: int) -> Outputs:
        """Restore what has outlived itself. Says the same whoever notices it, and when."""
        outputs: Outputs = []
        while late := [each for each in self._memory.in_force() if each[1].expires_us <= until_us]:
            first = min(late, key=lambda each: (each[1].expires_us, each[1].command.id))
            outputs += self._end(*first)  # one by one: what is issued then may take another's place, or be over, too
        return outputs

    def begun(self, endpoint: str, brake: Brake) -> None:
        """Its executor has it in hand."""
        self._put(endpoint, structs.replace(brake, is_begun=True))

    def miss(self, until_us: int) -> Outputs:
        """Tell once of each command that no executor has begun in time."""
        outputs: Outputs = []
        for endpoint, brake in self._memory.in_force():
            due_us = brake.unheeded_us
            if due_us is not None and due_us <= until_us:
                self._put(endpoint, structs.replace(brake, is_missed=True))
                outputs.append(alerts.unheeded(brake, due_us))
        return outputs

    def overdue(self, now_us: int) -> list[tuple[int, Id]]:
        """What `expire` and `miss` have to say by now: when it was due, and the command."""
        return [
            (due_us, brake.command.id)
            for _, brake in self._memory.in_force()
            for due_us in (brake.expires_us, brake.unheeded_us)
            if due_us is not None and due_us <= now_us
        ]

    def issue(self, endpoint: str, brake: Brake, at_us: int) -> Outputs:
        """Carry out what awaited approval, if the stages that no approval, or no silence, overrules let it pass."""
        first, moment = lead(brake.claims), Moment(brake.command.finding_id, at_us, None)
        stages = safety.APPROVED if brake.is_approved else safety.UNANSWERED
        held = safety.check(first, self._context(first, moment, Mode.AUTO), stages)
        if held is None and self.config.mode_of(endpoint) is Mode.SHADOW:
            held = Held.SHADOW  # since it was asked for: in shadow nothing is carried out, whoever agreed
        self.drop(endpoint, brake)
        if held is not None:
            return [results.about(brake.command, State.HELD, at_us, reason=held.value, by=brake.approvals)]
        real = self._of_kind(endpoint, Reality.REAL)
        episodes = {claim.episode for claim in brake.claims}
        approved = (structs.replace(claim, approved_by=brake.approvals) for claim in brake.claims)
        claims = (*(own for other in real for own in other.claims if own.episode not in episodes), *approved)
        demand = join(claims)
        if real and real[0].demand == demand:
            self._put(endpoint, structs.replace(real[0], claims=claims))
            told = Held.ALREADY_IN_FORCE.value
            return [results.about(brake.command, State.REPLACED, at_us, reason=told, by=brake.approvals)]
        command = commands.approve(brake, demand, at_us, self._terms(endpoint, demand.action))
        return self._bring(commands.replace(command, real), claims, (first, at_us))

    def fail(self, endpoint: str, brake: Brake, moment: Moment) -> Outputs:
        """Undo what could not be carried out. What weaker brakes it had replaced comes back."""
        self._memory.place(endpoint).failed_us[brake.command.action] = moment.at_us
        weaker = (claim for claim in brake.claims if RUNGS[claim.action] < brake.demand.rung)
        rest = tuple(_as_found(claim, brake) for claim in weaker)
        restore = self.lift(endpoint, brake, (moment.finding_id, moment.at_us, "failed"))
        return [restore, *self._resume(brake, rest, moment, BACK_AGAIN)]

    def lift(self, endpoint: str, brake: Brake, because: tuple[Id, int, str]) -> Command:
        """Take a brake off: the restore."""
        self.drop(endpoint, brake)
        return commands.restore(brake, *because)

    def approve(self, endpoint: str, brake: Brake, who: str) -> Brake:
        """Note one person more who agrees to what awaits approval."""
        approved = structs.replace(brake, approvals=(*brake.approvals, who))
        self._put(endpoint, approved)
        return approved

    def drop(self, endpoint: str, brake: Brake) -> None:
        """Without a word: what awaited approval needs no restore."""
        brakes = self._memory.peek_place(endpoint).brakes
        self._memory.brake(endpoint, (other for other in brakes if other.command.id != brake.command.id))

    def _end(self, endpoint: str, brake: Brake) -> Outputs:
        if brake.reality is not Reality.ASKED:
            return [self.lift(endpoint, brake, (brake.command.finding_id, brake.expires_us, "expired"))]
        approval = brake.command.approval
        if approval is not None and approval.otherwise == "issue":
            return self.issue(endpoint, brake, brake.expires_us)
        self.drop(endpoint, brake)
        why = f"not approved by {rfc3339(brake.expires_us)}"
        rejected = results.about(brake.command, State.REJECTED, brake.expires_us, reason=why, by=brake.approvals)
        return [rejected, alerts.rejected(brake, rejected)]

    def _settle(self, claim: Claim, held: Held | None, moment: Moment) -> Outputs:
        if held in safety.IN_FORCE_ALL_THE_SAME:
            return self._apply(claim, held, moment)
        if held is Held.ALREADY_IN_FORCE:
            self._join(claim)
        return self._tell_once(claim, held, moment) if held is not None else []

    def _apply(self, claim: Claim, held: Held | None, moment: Moment) -> Outputs:
        mode = self._mode(claim)
        present = self._of_kind(claim.endpoint, OF_MODE[mode])
        claims = (*(other for brake in present for other in without(brake.claims, claim.episode)), claim)
        command = self._command(claim, claims, moment)
        if held is not None:
            command = self._held(command, held, claims)
        return self._bring(commands.replace(command, self.counting_for(claim)), claims, (claim, moment.at_us))

    def _bring(self, command: Command, claims: Claims, because: tuple[Claim, int]) -> Outputs:
        """Into force, in the place of the brake of its kind."""
        claim, at_us = because
        self._put(command.endpoint, Brake(command, claims, began=command.id))
        self._memory.commanded(command.endpoint, reality_of(command), at_us)
        return [command, *alerts.tells_of(command, claim)]

    def _command(self, claim: Claim, claims: Claims, moment: Moment) -> Command:
        demand = join(claims)
        return commands.issue(claim, demand, moment.at_us, self._terms(claim.endpoint, demand.action))

    def _terms(self, endpoint: str, action: Action) -> commands.Terms:
        return commands.Terms(self.config.safety.expires_after, self.config.executor_for(endpoint, action))

    def _held(self, command: Command, held: Held, claims: Claims) -> Command:
        command = commands.hold(command, held, self._mode(lead(claims)))
        if held is not Held.AWAITING_APPROVAL:
            return command
        asked = (brake.command for brake in self._of_kind(command.endpoint, Reality.ASKED))
        return commands.ask(command, self._strictest(claims), next(asked, None))

    def _strictest(self, claims: Claims) -> Policy:
        """Of a brake that several ask for, what satisfies the policy of each."""
        wanted = [self.config.approval_of(claim.rule, claim.action, claim.endpoint) or Policy() for claim in claims]
        return Policy(
            persons=max(policy.persons for policy in wanted),
            within=min(policy.within for policy in wanted),
            otherwise="reject" if any(policy.otherwise == "reject" for policy in wanted) else "issue",
        )

    def _tell_once(self, claim: Claim, held: Held, moment: Moment) -> Outputs:
        said = (claim.endpoint, claim.action.value, held.value)
        if said in self._memory.peek_line(claim.rule, claim.subject).told:
            return []
        line = self._memory.line(claim.rule, claim.subject)
        line.told = (*line.told, said)[-MOST_TOLD:]
        command = self._command(claim, (claim,), moment)
        command = commands.hold(command, held, self._mode(claim))
        return [command, *alerts.tells_of(command, claim)]

    def _join(self, claim: Claim) -> None:
        """Hang the claim on the brake that covers it."""
        covering = next(brake for brake in self.counting_for(claim) if brake.covers(claim))
        claims = (*without(covering.claims, claim.episode), claim)
        self._put(claim.endpoint, structs.replace(covering, claims=claims))

    def _resume(self, was: Brake, rest: Claims, moment: Moment, stages: tuple[safety.Stage, ...] = UNCOOLED) -> Outputs:
        """The weaker brakes that others still ask for: at once what may be, and what must be asked for beside it."""
        outputs: Outputs = []
        for mode in reversed(Mode):
            claims = tuple(claim for claim in rest if self._mode_after(was, claim) is mode)
            if claims:
                held = safety.check(lead(claims), self._context(lead(claims), moment, mode), stages)
                outputs += self._follow(was, claims, held, moment)
        return outputs

    def _follow(self, was: Brake, claims: Claims, held: Held | None, moment: Moment) -> Outputs:
        first = lead(claims)
        if held is Held.ALREADY_IN_FORCE:
            self._join(first)
        if held not in safety.IN_FORCE_ALL_THE_SAME:
            return self._tell_once(first, held, moment) if held is not None else []
        command = self._command(first, claims, moment)
        if held is not None:
            command = self._held(command, held, claims)
        elif (approved_by := _approved_by(was, first)) is not None:
            command = commands.inherit(command, approved_by)
        present = self._counting(first.endpoint, reality_of(command))
        return self._bring(commands.replace(command, present), claims, (first, moment.at_us))

    def _mode_after(self, was: Brake, claim: Claim) -> Mode:
        """How much may be done about what remains of a brake: of what was approved nothing has to be approved again."""
        now = self._mode(claim)
        if was.reality is Reality.SUPPOSED or now is Mode.SHADOW:
            return Mode.SHADOW
        if was.reality is Reality.ASKED:
            return Mode.APPROVE
        return now if _approved_by(was, claim) is None else Mode.AUTO

    def _put(self, endpoint: str, brake: Brake) -> None:
        """Bring a brake into force in the place of the one of its kind."""
        others = (other for other in self._memory.peek_place(endpoint).brakes if other.reality is not brake.reality)
        self._memory.brake(endpoint, (*others, brake))

    def _counting(self, endpoint: str, wanted: Reality) -> tuple[Brake, ...]:
        return tuple(brake for brake in self._memory.peek_place(endpoint).brakes if brake.reality.counts_as(wanted))

    def _of_kind(self, endpoint: str, kind: Reality) -> tuple[Brake, ...]:
        return tuple(brake for brake in self._memory.peek_place(endpoint).brakes if brake.reality is kind)

    def _mode(self, claim: Claim) -> Mode:
        """How much may be done about the claim without asking."""
        if self.config.mode_of(claim.endpoint) is Mode.SHADOW:
            return Mode.SHADOW
        asks = self.config.approval_of(claim.rule, claim.action, claim.endpoint) is not None
        return Mode.APPROVE if asks else Mode.AUTO

    def _is_answer(self, claim: Claim) -> bool:
        """Whether the policy still answers what was found with the claim's action."""
        if claim.rule == EXTERNAL and not policy.is_own(self.config, EXTERNAL, claim.endpoint):
            return True  # what answers it stood in its evidence
        return claim.action in policy.descend(self.config, claim.rule, claim.severity, claim.endpoint)

    def _is_meant(self, brake: Brake) -> bool:
        """Whether a brake may go on as it is: what nobody has approved, and now would have to, may not."""
        mode = self._mode(lead(brake.claims))
        if brake.reality is Reality.REAL:
            return mode is not Mode.SHADOW and (mode is Mode.AUTO or brake.command.mode is Mode.APPROVE)
        return brake.reality is Reality.SUPPOSED and mode is Mode.SHADOW

    def _may_renew(self, claim: Claim, moment: Moment) -> bool:
        return safety.check(claim, self._context(claim, moment, Mode.AUTO), safety.OPERATORS) is None

    def _context(self, claim: Claim, moment: Moment, mode: Mode) -> safety.Context:
        place, kind = self._memory.peek_place(claim.endpoint), OF_MODE[mode]
        downs = claim.action is Action.SHUTDOWN  # to count a hundred thousand endpoints is not free
        return safety.Context(
            safety=self.config.safety,
            mode=mode,
            at_us=moment.at_us,
            age_us=moment.age_us,
            brakes=self._counting(claim.endpoint, kind),
            commanded_us=max((us for own, us in place.commanded_us.items() if own >= kind), default=None),
            failed_us=place.failed_us.get(claim.action) if kind is Reality.REAL else None,
            recent=sum(own >= kind for own, _ in self._memory.shared.recent),
            recent_here=sum(own >= kind and us > moment.at_us - HOUR_US for own, us in place.recent),
            down=capacity.down_with(claim, self._memory, self.config, kind) if downs else capacity.NOTHING_DOWN,
            paused=self._memory.is_paused(moment.come_us),
            refused=(claim.endpoint, claim.action) in self._memory.peek_line(claim.rule, claim.subject).refused,
            blind=self._is_blind(claim),
        )

    def _is_blind(self, claim: Claim) -> bool:
        """Whether a source of requests or replicas is said to be silent, so that nobody knows how it is now."""
        budgets = {claim.subject, *self.config.budgets_of(claim.endpoint)} & set(self.config.budgets)
        gaps = (self._memory.peek_line(TELEMETRY_GAP, budget) for budget in budgets)
        return any(gap.open and gap.severity.rank >= Severity.ERROR.rank for gap in gaps)


def _approved_by(was: Brake, claim: Claim) -> tuple[str, ...] | None:
    """Who has approved what remains of a brake, or the claim itself before another one covered it."""
    return was.command.approved_by if was.command.mode is Mode.APPROVE else claim.approved_by


def _as_found(claim: Claim, brake: Brake) -> Claim:
    """What a later claim saw before it was the effect of the brake: come back to what the brake saw."""
    return structs.replace(claim, before={**claim.before, **brake.command.before})
