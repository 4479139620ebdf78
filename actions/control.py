"""Brakes on and off: the safety stages, what is in force, renewal, release and expiry.

The only part that changes what is in force. An endpoint is under the join of its claims (`brakes.py`):

- a claim that passes takes the place of the brake in its mode, with what others claim joined in;
- `already_in_force` joins the claim to the brake that covers it, so the brake outlives the episode it came
  from;
- when an episode is over its claims go. With none left the endpoint is restored; while the rest asks for
  the same, nothing is said; else the restore is followed by the weaker brake. That one passes the stages
  like any other, but for the cooldown, which would leave the endpoint without any;
- a claim that a new configuration would not make any more goes with the episode's next finding, in the same way;
- a brake that expires takes all its claims with it. Their episodes ask again at their next update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from actions import commands, policy, safety
from actions.alerts import tells_of
from actions.brakes import Brake, Claim, counts_in, join, lead, without
from actions.memory import MOST_TOLD, Memory
from schemas.config import Config
from schemas.outputs import Action, Alert, Command, Held, Id, Mode

Outputs = list[Command | Alert]
Claims = tuple[Claim, ...]

UNCOOLED = tuple(stage for stage in safety.STAGES if stage is not safety.cooldown)


class Moment(NamedTuple):
    """The finding that is being applied, as the stages need it."""

    finding_id: Id
    at_us: int
    logged_at_us: int | None

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
        mode = self.config.mode_of(endpoint)
        return tuple(brake for brake in self._memory.peek_place(endpoint).brakes if brake.counts_in(mode))

    def claim(self, claim: Claim, moment: Moment) -> tuple[Held | None, Outputs]:
        """Try to bring a claim into force: what the stages said, and what to write."""
        held = safety.check(claim, self._context(claim, moment))
        return held, self._settle(claim, held, moment)

    def renew(self, episode: Id, moment: Moment) -> Outputs:
        """Another lifetime for the episode's brakes past half of theirs, if operators let them be."""
        outputs: Outputs = []
        for endpoint, brake in self._memory.in_force():
            claim = brake.claim_of(episode)
            if claim is None or 2 * moment.at_us < brake.issued_us + brake.expires_us:
                continue
            if brake.mode is self.config.mode_of(endpoint) and self._may_renew(claim, moment):
                lifetime_s = self.config.safety.expires_after
                renewed = commands.renew(brake, moment.finding_id, moment.at_us, lifetime_s)
                self._put(endpoint, Brake(renewed, brake.claims))
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
        weaker: list[Claims] = []
        for endpoint, brake in self._memory.in_force():
            claim = brake.claim_of(episode)
            if claim is None or not concerns(claim):
                continue
            rest = without(brake.claims, episode)
            if rest and join(rest) == brake.demand:
                self._put(endpoint, Brake(brake.command, rest))
                continue
            restored.append(self._lift(endpoint, brake, (moment.finding_id, moment.at_us, why)))
            weaker.append(tuple(_as_found(claim, brake) for claim in rest))
        return restored + [output for rest in weaker if rest for output in self._resume(rest, moment)]

    def expire(self, until_us: int) -> Outputs:
        """Restore what has outlived itself. Says the same whoever notices it, and when."""
        return [
            self._lift(endpoint, brake, (brake.command.finding_id, brake.expires_us, "expired"))
            for endpoint, brake in self._memory.in_force()
            if brake.expires_us <= until_us
        ]

    def overdue(self, now_us: int) -> list[Command]:
        """The commands past their end, earliest first."""
        late = [brake.command for _, brake in self._memory.in_force() if brake.expires_us <= now_us]
        return sorted(late, key=lambda command: (command.expires_at or command.issued_at, command.id))

    def _settle(self, claim: Claim, held: Held | None, moment: Moment) -> Outputs:
        if held in safety.IN_FORCE_ALL_THE_SAME:
            return self._apply(claim, held, moment)
        if held is Held.ALREADY_IN_FORCE:
            self._join(claim)
        return self._tell_once(claim, held, moment) if held is not None else []

    def _apply(self, claim: Claim, held: Held | None, moment: Moment, joining: Claims = ()) -> Outputs:
        mode = self.config.mode_of(claim.endpoint)
        present = [brake for brake in self._memory.peek_place(claim.endpoint).brakes if brake.mode is mode]
        others = [other for brake in present for other in without(brake.claims, claim.episode)]
        claims = (*others, *joining, claim)
        command = self._command(claim, claims, moment)
        command = command if held is None else commands.hold(command, held, mode)
        command = commands.replace(command, self.braking(claim.endpoint))
        self._put(claim.endpoint, Brake(command, claims))
        self._memory.place(claim.endpoint).commanded_us[mode] = moment.at_us
        self._memory.shared.recent += ((mode, moment.at_us),)
        return [command, *tells_of(command, claim)]

    def _command(self, claim: Claim, claims: Claims, moment: Moment) -> Command:
        return commands.issue(claim, join(claims), moment.at_us, self.config.safety.expires_after)

    def _tell_once(self, claim: Claim, held: Held, moment: Moment) -> Outputs:
        said = (claim.endpoint, claim.action.value, held.value)
        if said in self._memory.peek_line(claim.rule, claim.subject).told:
            return []
        line = self._memory.line(claim.rule, claim.subject)
        line.told = (*line.told, said)[-MOST_TOLD:]
        command = self._command(claim, (claim,), moment)
        command = commands.hold(command, held, self.config.mode_of(claim.endpoint))
        return [command, *tells_of(command, claim)]

    def _join(self, claim: Claim) -> None:
        """Hang the claim on the brake that covers it."""
        covering = next(brake for brake in self.braking(claim.endpoint) if brake.covers(claim))
        claims = (*without(covering.claims, claim.episode), claim)
        self._put(claim.endpoint, Brake(covering.command, claims))

    def _resume(self, rest: Claims, moment: Moment) -> Outputs:
        """The weaker brake that others still ask for."""
        first = lead(rest)
        held = safety.check(first, self._context(first, moment), UNCOOLED)
        if held in safety.IN_FORCE_ALL_THE_SAME:
            return self._apply(first, held, moment, without(rest, first.episode))
        return self._settle(first, held, moment)

    def _lift(self, endpoint: str, brake: Brake, because: tuple[Id, int, str]) -> Command:
        brakes = self._memory.peek_place(endpoint).brakes
        self._memory.brake(endpoint, (other for other in brakes if other.command.id != brake.command.id))
        return commands.restore(brake, *because)

    def _put(self, endpoint: str, brake: Brake) -> None:
        """Bring a brake into force in the place of the one in its mode."""
        brakes = self._memory.peek_place(endpoint).brakes
        self._memory.brake(endpoint, (*(other for other in brakes if other.mode is not brake.mode), brake))

    def _is_answer(self, claim: Claim) -> bool:
        """Whether the policy still answers what was found with the claim's action."""
        return claim.action in policy.descend(self.config, claim.rule, claim.severity, claim.endpoint)

    def _may_renew(self, claim: Claim, moment: Moment) -> bool:
        return safety.check(claim, self._context(claim, moment), safety.OPERATORS) is None

    def _context(self, claim: Claim, moment: Moment) -> safety.Context:
        mode = self.config.mode_of(claim.endpoint)
        commanded = self._memory.peek_place(claim.endpoint).commanded_us.items()
        return safety.Context(
            safety=self.config.safety,
            mode=mode,
            at_us=moment.at_us,
            age_us=moment.age_us,
            brakes=self.braking(claim.endpoint),
            commanded_us=max((us for other, us in commanded if counts_in(other, mode)), default=None),
            recent=sum(counts_in(other, mode) for other, _ in self._memory.shared.recent),
            down=self._down(mode),
            known=len(self._memory.endpoints() | set(self.config.endpoints)) if _downs(claim) else 0,
        )

    def _down(self, mode: Mode) -> int:
        down = [
            endpoint
            for endpoint, brake in self._memory.in_force()
            if brake.command.action is Action.SHUTDOWN and brake.counts_in(mode)
        ]
        return len(set(down))


def _as_found(claim: Claim, brake: Brake) -> Claim:
    """What a later claim saw before it was the effect of the brake: come back to what the brake saw."""
    return structs.replace(claim, before={**claim.before, **brake.command.before})


def _downs(claim: Claim) -> bool:
    """Only a shutdown asks how many endpoints there are, and counting a hundred thousand is not free."""
    return claim.action is Action.SHUTDOWN
