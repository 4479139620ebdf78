"""The action stage: a pure fold over the log of findings. One partition, so that its limits are global.

For each finding, in this order: drop it if it was seen; restore what has expired by its time; then

- *open* or *update*: tell people if the episode is new or more severe; renew its brakes; ask for more if
  need be, and only while the value is above its threshold: what is calming down is no ground for a new command;
- *resolved*: take its brakes off and tell people.

Seen: per (rule, subject) the findings of an episode come in order of time, so what lies before the last
one, or is that one, was seen; of an episode that is over all was.

Time is in the findings. Only silence needs a clock: when the wall clock passes the end of a command, of the patience
with operators or of a pause, and no finding comes to say so, the shell writes `overdue()` into the same log. That
finding (rule `clock`) ends what is over and does nothing else, and it says `"clock": "wall"`.

What operators say and what comes of commands is passed on into the same log, as findings of the rules `operator` and
`executor` (`passed_on.py`): the outputs are a function of one log.
"""

from __future__ import annotations

from collections.abc import Sequence

from actions import alerts, budget, evidence, proposals, safety
from actions.brakes import RUNGS, Claim
from actions.control import Control, Moment, Outputs
from actions.memory import KEPT_US, Line, Memory
from actions.operators import Operators
from schemas.config import Config
from schemas.outputs import Action, Alert, Command, Finding, Result, Severity, Status, derive_id
from schemas.topics import CLOCK, PASSED_ON
from schemas.units import HOUR_US, US, from_rfc3339, rfc3339


class ActionFold:
    """Findings in, commands and alerts out.

    State after a log depends on that log and the configuration alone.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._memory = Memory()
        self._control = Control(config, self._memory)
        self._operators = Operators(self._control, self._memory)

    def apply(self, finding: Finding, logged_at_us: int | None) -> Outputs:
        """The next finding of the log. `logged_at_us` is when the log took it; None: its age is not known."""
        moment = Moment(finding.id, from_rfc3339(finding.at), logged_at_us)
        if finding.rule in PASSED_ON:
            return self._advance(finding, moment.at_us, moment.at_us) + self._operators.hear(finding, moment)
        if self._was_seen(finding, moment.at_us):
            return []
        return self._advance(finding, moment.at_us, moment.come_us) + self._follow(finding, moment)

    def overdue(self, now_us: int) -> Finding | None:
        """Build the finding that tells the log of commands which ended before `now_us`, or None."""
        late = self._control.overdue(now_us)
        pause = self._memory.shared.pause
        if pause is not None and pause.until_us is not None and pause.until_us <= now_us:
            late.append((pause.until_us, pause.order_id))
        if not late:
            return None
        late.sort()
        (first_us, first), at = late[0], rfc3339(late[-1][0])
        config_version = self._config.version
        return Finding(
            id=derive_id(CLOCK, first, at, len(late), config_version),
            episode=derive_id(CLOCK, first),
            rule=CLOCK,
            subject=alerts.TIDEGATE,
            endpoint=None,
            status=Status.UPDATE,
            severity=Severity.INFO,
            opened_at=rfc3339(first_us),
            at=at,
            score=0.0,
            value=float(len(late)),
            threshold=0.0,
            baseline=None,
            unit="ends",
            evidence={"clock": "wall"},
            config_version=config_version,
        )

    def changed(self) -> list[tuple[bytes, bytes | None]]:
        """(subject, state) of what changed since the last call; None: it is forgotten."""
        return self._memory.changed()

    def position(self) -> bytes:
        """What belongs to no one subject: event time, recent actions."""
        return self._memory.position()

    def restore(self, position: bytes, facts: Sequence[tuple[bytes, bytes]]) -> None:
        """Become what a position and the facts up to it described. Called once, when new."""
        self._memory.restore(position, facts)

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration from the next finding on. What is in force stays until it ends."""
        self._config = self._control.config = config

    @property
    def event_time_us(self) -> int | None:
        """The largest event time seen."""
        return None if self._memory.shared.time_us < 0 else self._memory.shared.time_us

    def _advance(self, finding: Finding, at_us: int, come_us: int) -> Outputs:
        """Of an episode whose rule or budget left the configuration, nothing more is heard: people must be told."""
        restored = self._control.expire(come_us) + self._control.miss(come_us) + self._operators.end_pause(come_us)
        cooldown_us = round(self._config.safety.cooldown * US)
        silent = self._memory.advance(at_us, max(KEPT_US, cooldown_us))
        over = [alerts.forgotten(finding, rule, subject, line.episode) for (_, rule, subject), line in silent]
        return [*restored, *over]

    def _was_seen(self, finding: Finding, at_us: int) -> bool:
        line = self._memory.peek_line(finding.rule, finding.subject)
        if not line.episode:
            return at_us <= self._memory.shared.forgotten_us
        if finding.episode != line.episode:
            return at_us <= line.at_us and from_rfc3339(finding.opened_at) <= line.opened_us
        return not line.open or at_us < line.at_us or finding.id in line.seen

    def _follow(self, finding: Finding, moment: Moment) -> Outputs:
        for endpoint, replicas in evidence.mentioned(finding):
            self._see(endpoint, replicas, moment.at_us)
        line = self._memory.line(finding.rule, finding.subject)
        outputs = self._displace(line, finding, moment)
        louder = not line.open or finding.severity.rank > line.severity.rank
        _progress(line, finding, moment.at_us)
        if finding.status is Status.RESOLVED:
            return outputs + self._resolve(line, finding, moment)
        outputs += [alerts.fires(finding)] if louder else []
        outputs += self._control.withdraw(finding.episode, moment)
        outputs += self._control.renew(finding.episode, moment)
        return outputs + (self._act(finding, moment) if finding.score > 1 else [])

    def _see(self, endpoint: str, replicas: int | None, at_us: int) -> None:
        """Remember that the endpoint exists, and how large it is without our brakes.

        To the hour, so that no finding writes a whole fleet anew.
        """
        if at_us >= self._memory.peek_place(endpoint).seen_us + HOUR_US:
            place = self._memory.place(endpoint)
            place.seen_us = at_us
            if replicas is not None and not place.brakes:
                place.replicas = replicas

    def _displace(self, line: Line, finding: Finding, moment: Moment) -> Outputs:
        """Make room for a new episode. One that is still open then will never be heard of again."""
        if line.episode == finding.episode:
            return []
        was_open, was = line.open, line.episode
        line.episode, line.opened_us = finding.episode, from_rfc3339(finding.opened_at)
        line.open, line.severity, line.told, line.seen, line.refused = False, Severity.INFO, (), (), ()
        if not was_open:
            return []
        return [*self._control.release(was, moment, "displaced"), alerts.displaced(finding, was)]

    def _resolve(self, line: Line, finding: Finding, moment: Moment) -> Outputs:
        line.open, line.told, line.refused = False, (), ()
        released = self._control.release(finding.episode, moment)
        restored = sum(1 for output in released if _is_real_restore(output))
        return [*released, alerts.resolves(finding, restored)]

    def _act(self, finding: Finding, moment: Moment) -> Outputs:
        if finding.endpoint is None:
            return self._act_on_budget(finding, moment)
        claim = proposals.propose(finding, self._config)
        if claim is None or self._has_claimed(claim):
            return []
        return self._control.claim(claim, moment)[1]

    def _act_on_budget(self, finding: Finding, moment: Moment) -> Outputs:
        """Down the list, dearest first, until the excess is gone or nobody may be braked any more."""
        outputs: Outputs = []
        over = budget.excess(finding, self._config, self._control.braking)
        for listed in evidence.spenders(finding):
            spender = budget.under(listed, self._control.braking(listed.endpoint))
            claim = budget.propose(finding, spender, self._config, over)
            while claim is not None and not self._is_covered(claim):
                held, told = self._control.claim(claim, moment)
                outputs += told
                if held in safety.FOR_EVERY_ENDPOINT:
                    return outputs
                if held not in safety.FOR_THIS_RUNG:
                    over -= (claim.cost.saves_usd_per_hour or 0.0) if held in safety.IN_FORCE_ALL_THE_SAME else 0.0
                    break
                claim = budget.propose(finding, spender, self._config, over, below=claim.action)
        return outputs

    def _has_claimed(self, claim: Claim) -> bool:
        """Whether the episode has this rung or a higher one: a limit that drifts is not sent again."""
        own = [brake.claim_of(claim.episode) for brake in self._control.counting_for(claim)]
        return any(mine is not None and RUNGS[mine.action] >= RUNGS[claim.action] for mine in own)

    def _is_covered(self, claim: Claim) -> bool:
        """Whether a brake of this episode does all of this already; a tighter cap is a new demand."""
        braking = self._control.counting_for(claim)
        return any(brake.claim_of(claim.episode) is not None and brake.covers(claim) for brake in braking)


def _progress(line: Line, finding: Finding, at_us: int) -> None:
    line.seen = (*line.seen, finding.id) if line.at_us == at_us else (finding.id,)
    line.at_us, line.open = at_us, True
    line.severity = max(line.severity, finding.severity, key=lambda severity: severity.rank)


def _is_real_restore(output: Command | Result | Alert) -> bool:
    return isinstance(output, Command) and output.action is Action.RESTORE and output.held is None
