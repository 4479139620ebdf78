"""Laws that hold whatever operators say and executors report, and whenever: Hypothesis writes the logs."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from actions import ActionFold
from schemas.config import ApprovalRule, Config, Policy, Seconds
from schemas.orders import Verb
from schemas.outputs import Action, Command, Finding, Held, Mode, Result
from tests.actions.findings import Outputs, at, commands, later, resolved, runaway, settings, surge
from tests.actions.orders import failed, operators, order, passed
from tests.actions.test_laws import FAR_S, kept, laws

PERSONS: Final = 2
VERBS: Final = {
    "alice": Verb.APPROVE, "bob": Verb.APPROVE, "reject": Verb.REJECT, "rollback": Verb.ROLLBACK,
    "pause": Verb.PAUSE, "resume": Verb.RESUME,
}  # fmt: skip


class Step(NamedTuple):
    """What happens next: `which` is resolved when it happens, as commands do not exist before."""

    pause_s: float
    what: str
    which: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([1.0, 30.0, 200.0, 700.0]),
        st.sampled_from(
            ["open", "open", "update", "resolve", "alice", "bob", "reject", "rollback", "pause", "resume", "fail"]
        ),
        st.integers(0, 7),
    ),
    max_size=30,
)
POLICIES = st.builds(
    Policy,
    persons=st.integers(1, PERSONS),
    within=st.just(Seconds(600)),
    otherwise=st.sampled_from(["reject", "issue"]),
)
CONFIGS = st.builds(
    lambda policy, actions: settings(
        approvals=(ApprovalRule(actions=actions, approve=policy),),
        operators=operators("alice", "bob"),
        actions={"runaway_replicas": "shutdown"},
    ),
    POLICIES,
    st.sampled_from([("throttle",), ("shutdown",), ("*",)]),
)


class Theatre:
    """Plays steps, and keeps the log that they made."""

    def __init__(self, config: Config) -> None:
        self.config, self.fold = config, ActionFold(config)
        self.log: list[Finding] = []
        self.outputs: Outputs = []
        self._open: dict[int, Finding] = {}
        self._now_s = 0.0

    def step(self, step: Step) -> None:
        self._now_s += step.pause_s
        heard = self._heard(step)
        if heard is not None:
            self.log.append(heard)
            self.outputs += self.fold.apply(heard, at(self._now_s))

    def end(self) -> None:
        while (tick := self.fold.overdue(at(FAR_S))) is not None:  # what is issued at a deadline ends later
            self.outputs += self.fold.apply(tick, None)

    def _heard(self, step: Step) -> Finding | None:
        if step.what in ("open", "update", "resolve"):
            return self._found(step)
        told = commands(self.outputs)
        named = told[step.which % len(told)] if told else None
        if step.what == "fail":
            return None if named is None or named.action is Action.RESTORE else failed(named, self._now_s)
        who = step.what if step.what in ("alice", "bob") else "alice"
        fields: dict[str, Any] = (
            {} if step.what in ("pause", "resume") else {"command_id": named.id if named else "a" * 32}
        )
        heard = passed(order(VERBS[step.what], who, self._now_s, **fields), self._now_s, self.config)
        assert not isinstance(heard, Result)
        return heard

    def _found(self, step: Step) -> Finding | None:
        last = self._open.get(step.which)
        if last is None or step.what == "open":
            kind = surge if step.which % 2 else runaway
            name = f"acme/{'abcd'[step.which // 2]}"
            if last is None:
                self._open[step.which] = kind(name, self._now_s, opened_s=self._now_s)
            return self._open[step.which] if last is None else None
        if step.what == "resolve":
            return resolved(self._open.pop(step.which), self._now_s)
        return later(last, self._now_s)


def played(config: Config, steps: list[Step]) -> Theatre:
    theatre = Theatre(config)
    for step in steps:
        theatre.step(step)
    theatre.end()
    return theatre


@given(CONFIGS, STEPS)
@laws
def test_whatever_is_said_every_command_ends_once(config: Config, steps: list[Step]) -> None:
    """What came into force has one follower; what awaited approval was issued, rejected, held or restored."""
    outputs = played(config, steps).outputs
    told = commands(outputs)
    ends = [command.restores for command in told if command.restores] + [c.proposal for c in told if c.proposal]
    states = {"rejected", "held", "replaced"}
    ends += [one.command_id or "" for one in outputs if isinstance(one, Result) and one.state in states]
    begun = [c.id for c in told if c.action is not Action.RESTORE and c.held in (None, Held.AWAITING_APPROVAL)]
    assert sorted(ends) == sorted(begun)


@given(CONFIGS, STEPS)
@laws
def test_nothing_that_must_be_approved_goes_without_enough_persons(config: Config, steps: list[Step]) -> None:
    """Unless the policy says that silence is consent, and then not before its time."""
    known: dict[str, Command] = {}
    for command in commands(played(config, steps).outputs):
        known[command.id] = command
        asked = known.get(command.proposal or "")
        if asked is not None:
            assert asked.approval is not None
            in_time = len(set(command.approved_by)) >= asked.approval.persons
            assert in_time or (asked.approval.otherwise == "issue" and command.issued_at >= asked.approval.until)
        if command.held is None and command.mode is Mode.AUTO and command.action is not Action.RESTORE:
            assert config.approval_of(command.rule, command.action, command.endpoint) is None


@given(CONFIGS, STEPS)
@laws
def test_no_endpoint_has_two_real_brakes(config: Config, steps: list[Step]) -> None:
    """Each new one names the one whose place it takes."""
    in_force: dict[str, str] = {}
    for command in commands(played(config, steps).outputs):
        if command.held is None:
            assert command.restores == in_force.get(command.endpoint)
            if command.action is Action.RESTORE:
                del in_force[command.endpoint]
            else:
                in_force[command.endpoint] = command.id
    assert not in_force


@given(CONFIGS, STEPS, st.lists(st.integers(0, 30), max_size=4))
@laws
def test_a_restart_anywhere_changes_nothing_that_operators_said(
    config: Config, steps: list[Step], cuts: list[int]
) -> None:
    """Who has approved, what was refused, the kill switch, and what was heard already are part of the state."""
    log = played(config, steps).log
    plain = ActionFold(config)
    expected = [output for heard in log for output in plain.apply(heard, None)]
    fold, facts, outputs = ActionFold(config), dict[bytes, bytes](), Outputs()
    for number, heard in enumerate(log):
        outputs += fold.apply(heard, None)
        if number in cuts:
            facts.update(kept(fold))
            position, fold = fold.position(), ActionFold(config)
            fold.restore(position, list(facts.items()))
            assert fold.apply(heard, None) == []  # read again
    assert outputs == expected
