"""Snapshots: small, and bounded."""

from __future__ import annotations

from msgspec import structs

from actions import ActionFold
from actions.memory import KEPT_US, MOST_TOLD
from schemas.config import Safety, Seconds
from schemas.outputs import Held
from schemas.units import US
from tests.actions.findings import alerts, commands, later, resolved, settings, spend, spend_evidence, surge

DAY_S = KEPT_US / US


def test_only_what_changed_is_written() -> None:
    """The surge's line and its endpoint; then nothing."""
    fold = ActionFold(settings())
    fold.apply(surge("acme/a", 0), None)
    names = [name for name, _ in fold.changed()]
    assert names == [b'["endpoint","acme/a"]', b'["episode","request_surge","acme/a"]']
    assert fold.changed() == []


def test_what_was_silent_for_a_day_is_forgotten_and_still_not_repeated() -> None:
    """Its facts say so, and the old findings are taken for what they are."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    fold.apply(found, None)
    fold.apply(resolved(found, 60), None)
    fold.changed()
    fold.apply(surge("acme/b", DAY_S + 7200, opened_s=DAY_S + 7200), None)
    gone = [state for name, state in fold.changed() if b"acme/a" in name]
    assert gone == [None, None]
    assert fold.apply(found, None) == []


def test_an_open_episode_is_not_forgotten_in_silence() -> None:
    """Its budget was removed: without a word the incident would stay open for ever."""
    fold = ActionFold(settings())
    opened = [spend(0, []), surge("acme/a", 1, opened_s=1), surge("acme/b", 2, opened_s=2)]
    for found in [*opened, resolved(opened[2], 60)]:
        fold.apply(found, None)
    again = ActionFold(settings())
    again.restore(fold.position(), [(name, state) for name, state in fold.changed() if state is not None])
    told = again.apply(surge("acme/c", DAY_S + 7200, opened_s=DAY_S + 7200), None)
    over = [alert.dedup_key for alert in alerts(told) if alert.status == "resolved"]
    assert over == [found.episode for found in opened[:2]]


def test_a_stale_fact_brings_no_brake_back() -> None:
    """A stopped worker that wakes up writes what it knew of an endpoint that was forgotten long ago."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    fold.apply(found, None)
    stale = {name: state for name, state in fold.changed() if state is not None}
    fold.apply(resolved(found, 60), None)
    fold.apply(surge("acme/b", DAY_S + 7200, opened_s=DAY_S + 7200), None)
    facts = {**stale, **{name: state for name, state in fold.changed() if state is not None}}
    again = ActionFold(settings())
    again.restore(fold.position(), list(facts.items()))
    assert {name for name, state in again.changed() if state is None} == stale.keys()
    assert again.position() == fold.position()
    tick = (again.overdue(2**60 // 10), fold.overdue(2**60 // 10))
    assert tick[0] == tick[1] is not None


def test_a_long_cooldown_is_remembered_as_long_as_it_lasts() -> None:
    """An endpoint that must rest for two days must not be commanded again after one."""
    slow = structs.replace(settings(), safety=Safety(cooldown=Seconds(2 * DAY_S)))
    fold, found = ActionFold(slow), surge("acme/a", 0)
    fold.apply(found, None)
    fold.apply(resolved(found, 60), None)
    told = fold.apply(surge("acme/a", 1.5 * DAY_S, opened_s=1.5 * DAY_S), None)
    assert [command.held for command in commands(told)] == [Held.COOLDOWN]


def test_ever_new_names_are_bounded_by_a_day() -> None:
    """Each of them has its episode, and each episode ends."""
    fold = ActionFold(settings())
    for hour in range(24 * 5):
        found = surge(f"acme/job-{hour}", hour * 3600, opened_s=hour * 3600)
        fold.apply(found, None)
        fold.apply(resolved(found, hour * 3600 + 60), None)
    assert len(fold._memory.lines) == len(fold._memory.places) == 25


def test_a_budgets_long_episode_does_not_fill_the_memory() -> None:
    """Every minute it lists other endpoints, and of each a command is held."""
    config = structs.replace(settings(), safety=Safety(protected=("acme/*",)))
    fold, found = ActionFold(config), spend(0, [("acme/job-0", 900, 2.0)])
    for minute in range(MOST_TOLD + 20):
        evidence = spend_evidence([(f"acme/job-{minute}", 900, 2.0)])
        fold.apply(later(found, minute * 60, evidence=evidence), None)
    assert len(fold._memory.peek_line("hourly_spend", found.subject).told) == MOST_TOLD
