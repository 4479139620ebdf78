"""Laws of the fold that hold for every log: Hypothesis writes the logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from actions import ActionFold
from schemas.config import Config, Endpoint, Overflow, Provider, Response, Safety, Seconds
from schemas.outputs import Action, Alert, Command, Finding, Held, Mode, Result, Severity, Status
from schemas.units import US, from_rfc3339
from tests.actions.findings import (
    Outputs,
    at,
    commands,
    finding,
    later,
    runaway,
    spend,
    spend_evidence,
    surge,
)

ENDPOINTS: Final = tuple(f"acme/{name}" for name in "abcde")
PROTECTED: Final = "acme/e"
SHUT: Final = "latency"  # a rule that the laws' configurations answer with a shutdown
IN_FORCE: Final = (None, Held.SHADOW)
FAR_S: Final = 10_000_000.0

laws = settings(deadline=None, max_examples=40)
Log = list[tuple[Finding, int | None]]


def _opening(subject: int, at_s: float, severity: Severity) -> Finding:
    """One of sixteen subjects: three rules on five endpoints, and a budget."""
    if subject == 15:
        rows = [(name, 3 + 4 * place, 2.0) for place, name in enumerate(ENDPOINTS)]
        return spend(at_s, rows, opened_s=at_s, severity=severity)
    rule, endpoint = divmod(subject, 5)
    name = ENDPOINTS[endpoint]
    if rule == 0:
        return surge(name, at_s, opened_s=at_s, severity=severity)
    if rule == 1:
        return runaway(name, at_s, opened_s=at_s, severity=severity)
    evidence = {"before": {"ready_replicas": 2}}
    return finding(SHUT, name, name, at_s, opened_s=at_s, severity=severity, evidence=evidence)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Episodes that open, go on and mostly end, at a time that only rises; some evidence is old."""
    log: Log = []
    current: dict[int, Finding] = {}
    now_s = 0.0
    for _ in range(draw(st.integers(0, 40))):
        now_s += draw(st.sampled_from([1, 20, 61, 400, 1000, 4000, 50_000]))
        subject = draw(st.integers(0, 15))
        severity = draw(st.sampled_from(Severity))
        found = _next(current, subject, (now_s, severity), ends=draw(st.integers(0, 2)) == 0)
        age_s = draw(st.sampled_from([None, 0, 60, 500]))
        log.append((found, None if age_s is None else at(now_s + age_s)))
    return log


def _next(current: dict[int, Finding], subject: int, when: tuple[float, Severity], *, ends: bool) -> Finding:
    at_s, severity = when
    last = current.get(subject)
    if last is None:
        current[subject] = _opening(subject, at_s, severity)
        return current[subject]
    if ends:
        return later(current.pop(subject), at_s, Status.RESOLVED)
    rows = [(name, 8, 2.0 + place) for place, name in enumerate(ENDPOINTS)]
    evidence = spend_evidence(rows) if subject == 15 else last.evidence
    return later(last, at_s, severity=severity, evidence=evidence)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any mode, tight or wide limits, some endpoints with a will of their own."""
    responses: list[Response] = ["none", "throttle", "overflow", "shutdown"]
    own = st.dictionaries(st.sampled_from(["request_surge", "hourly_spend"]), st.sampled_from(responses))
    safety = Safety(
        protected=(PROTECTED,),
        cooldown=Seconds(draw(st.sampled_from([0, 300]))),
        max_actions_per_hour=draw(st.sampled_from([0, 1, 3, 20])),
        max_share_down=draw(st.sampled_from([0.2, 0.25, 0.5, 1.0])),
        expires_after=Seconds(draw(st.sampled_from([90, 900, 100_000]))),
    )
    modes = st.sampled_from([None, *Mode])
    return Config(
        mode=draw(st.sampled_from(Mode)),
        endpoints={name: Endpoint(price_usd_per_hour=2.0, actions=draw(own), mode=draw(modes)) for name in ENDPOINTS},
        actions={SHUT: "shutdown"},
        overflow=Overflow(providers=(Provider(name="p", price_usd_per_hour=0.5, endpoints=("acme/[ab]",)),)),
        safety=safety,
        version="v1",
    )


def play(fold: ActionFold, log: Iterable[tuple[Finding, int | None]]) -> Outputs:
    return [output for found, logged_at_us in log for output in fold.apply(found, logged_at_us)]


def kept(fold: ActionFold) -> dict[bytes, bytes]:
    """The facts of a checkpoint; what forgotten subjects had before stays in the log, as a zombie may leave it."""
    return {name: state for name, state in fold.changed() if state is not None}


def everything(config: Config, log: Log) -> list[Command]:
    """The commands of the log and of the clock that comes long after it."""
    fold = ActionFold(config)
    outputs = play(fold, log)
    tick = fold.overdue(at(FAR_S))
    return commands(outputs + ([] if tick is None else fold.apply(tick, None)))


def in_force(told: list[Command]) -> list[Command]:
    return [command for command in told if command.action is not Action.RESTORE and command.held in IN_FORCE]


@given(configs(), logs(), st.data())
@laws
def test_a_prefix_that_is_replayed_changes_nothing(config: Config, log: Log, data: st.DataObject) -> None:
    """A worker that starts again, or a zombie, writes any earlier part of the log again."""
    until = data.draw(st.integers(0, len(log)))
    start = data.draw(st.integers(0, until))
    again = [(found, None if us is None else us + 7 * US) for found, us in log[start:until]]
    assert play(ActionFold(config), log[:until] + again + log[until:]) == play(ActionFold(config), log)


@given(configs(), logs(), st.lists(st.integers(0, 40), max_size=4))
@laws
def test_snapshot_and_restore_anywhere_change_nothing(config: Config, log: Log, cuts: list[int]) -> None:
    """The newest fact of each subject is the state, although those of forgotten subjects are still there."""
    facts: dict[bytes, bytes] = {}
    fold, outputs, start = ActionFold(config), Outputs(), 0
    for cut in [*sorted(cuts), len(log)]:
        outputs += play(fold, log[start:cut])
        start = max(start, cut)
        facts.update(kept(fold))
        position, fold = fold.position(), ActionFold(config)
        fold.restore(position, list(facts.items()))
    assert outputs == play(ActionFold(config), log)


@given(configs(), configs(), logs(), st.integers(0, 40))
@laws
def test_one_id_has_one_content(config: Config, other: Config, log: Log, cut: int) -> None:
    """Whatever configuration reads the log, and where it changes: one id is one command or alert."""
    changing = ActionFold(config)
    outputs = play(ActionFold(config), log) + play(ActionFold(other), log) + play(changing, log[:cut])
    changing.reconfigure(other)
    known: dict[str, Command | Result | Alert] = {}
    for output in outputs + play(changing, log[cut:]):
        assert known.setdefault(output.id, output) == output


@given(configs(), logs())
@laws
def test_nothing_that_is_held_is_in_mode_auto(config: Config, log: Log) -> None:
    """An executor that looks at the mode alone is safe."""
    assert not [command for command in everything(config, log) if command.held and command.mode is Mode.AUTO]


@given(configs(), logs())
@laws
def test_a_protected_endpoint_is_never_commanded(config: Config, log: Log) -> None:
    """Neither in earnest, nor in shadow, nor for approval."""
    assert not [command for command in in_force(everything(config, log)) if command.endpoint == PROTECTED]


@given(configs(), logs())
@laws
def test_never_more_is_down_than_the_limit(config: Config, log: Log) -> None:
    """At every command, the endpoints really shut down are at most the share allowed."""
    down: dict[str, bool] = {}
    for command in everything(config, log):
        if command.mode is Mode.AUTO:
            down[command.endpoint] = command.action is Action.SHUTDOWN
            assert sum(down.values()) / len(ENDPOINTS) <= config.safety.max_share_down


@given(configs(), configs(), logs(), st.integers(0, 40))
@laws
def test_every_brake_comes_off_once(config: Config, other: Config, log: Log, cut: int) -> None:
    """Each command in force has exactly one follower that names it, and so has what awaited approval, or a result."""
    fold = ActionFold(config)
    told = play(fold, log[:cut])
    fold.reconfigure(other)
    told += play(fold, log[cut:])
    tick = fold.overdue(at(FAR_S))
    told += [] if tick is None else fold.apply(tick, None)
    followers = [command.restores for command in commands(told) if command.restores is not None]
    followers += [result.command_id for result in told if isinstance(result, Result) and result.command_id]
    asked = [command for command in commands(told) if command.approval is not None]
    assert sorted(followers) == sorted(command.id for command in [*in_force(commands(told)), *asked])


@given(configs(), configs(), logs(), st.integers(0, 40))
@laws
def test_a_restore_has_its_commands_mode(config: Config, other: Config, log: Log, cut: int) -> None:
    """Also when the mode changes in between; what was held back is replaced and comes off in name only."""
    fold = ActionFold(config)
    outputs = play(fold, log[:cut])
    fold.reconfigure(other)
    told = commands(outputs + play(fold, log[cut:]))
    known = {command.id: command for command in told}
    for command in told:
        if command.restores is not None:
            assert command.held is known[command.restores].held
            if command.action is Action.RESTORE:
                assert command.mode is known[command.restores].mode


@given(configs(), logs())
@laws
def test_an_hour_has_no_more_actions_than_allowed(config: Config, log: Log) -> None:
    """In any hour of event time and in each mode, commands that came into force, without renewals and restores."""
    issued = [command for command in in_force(everything(config, log)) if "renewed: " not in command.reason]
    for mode in Mode:
        times = [from_rfc3339(command.issued_at) for command in issued if command.mode is mode]
        for begin in times:
            within = [us for us in times if begin <= us < begin + 3600 * US]
            assert len(within) <= config.safety.max_actions_per_hour


@given(configs(), logs())
@laws
def test_once_all_is_over_nothing_is_in_force_and_memory_empties(config: Config, log: Log) -> None:
    """Two days of silence later, one finding is enough to forget all that was."""
    fold = ActionFold(config)
    play(fold, log)
    end_s = (fold.event_time_us or at(0)) / US - at(0) / US
    play(fold, [(surge("acme/new", end_s + 200_000, opened_s=end_s + 200_000), None)])
    play(fold, [(surge("acme/newer", end_s + 400_000, opened_s=end_s + 400_000), None)])
    facts = kept(fold)
    again = ActionFold(structs.replace(config))
    again.restore(fold.position(), list(facts.items()))
    assert play(again, log) == []
