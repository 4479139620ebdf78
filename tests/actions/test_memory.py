"""Snapshots: versioned, bounded, mended when torn."""

from __future__ import annotations

import msgspec

from actions import ActionFold
from actions.memory import KEPT_US
from schemas.units import US
from tests.actions.findings import alerts, resolved, settings, spend, surge

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
    gone = [msgspec.msgpack.decode(state)[1] for name, state in fold.changed() if b"acme/a" in name]
    assert gone == [None, None]
    assert fold.apply(found, None) == []


def test_an_open_episode_is_not_forgotten_in_silence() -> None:
    """Its budget was removed: without a word the incident would stay open for ever."""
    fold = ActionFold(settings())
    opened = [spend(0, []), surge("acme/a", 1, opened_s=1), surge("acme/b", 2, opened_s=2)]
    for found in [*opened, resolved(opened[2], 60)]:
        fold.apply(found, None)
    again = ActionFold(settings())
    again.restore(fold.position(), sorted(fold.changed(), reverse=True))
    told = again.apply(surge("acme/c", DAY_S + 7200, opened_s=DAY_S + 7200), None)
    over = [alert.dedup_key for alert in alerts(told) if alert.status == "resolved"]
    assert over == [found.episode for found in opened[:2]]


def test_the_newest_fact_below_the_position_counts() -> None:
    """Facts of several writers may be handed over, in any order."""
    fold, found = ActionFold(settings()), surge("acme/a", 0)
    fold.apply(found, None)
    facts, position = fold.changed(), fold.position()
    fold.apply(resolved(found, 60), None)
    facts = fold.changed() + facts
    again = ActionFold(settings())
    again.restore(position, facts)
    assert again.overdue(2**60 // 10) is not None
    latest = ActionFold(settings())
    latest.restore(fold.position(), facts)
    assert latest.overdue(2**60 // 10) is None
