"""A command's ruling as pairs of a name and what a person reads beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actions.wording import usd
from schemas.outputs import Action, Cost
from streams.explain.decision import Policy, Ruling
from streams.explain.settings import Setting
from streams.narration import short

_A: Final = {Action.THROTTLE: "a throttle", Action.OVERFLOW: "an overflow", Action.SHUTDOWN: "a shutdown"}


def ruled(ruling: Ruling, policy: Policy | None = None) -> dict[str, str]:
    """What there is to say of it, in the order in which it is asked; its policy, if it is not the one that was told."""
    return {name: text for name, text in _said(ruling, policy) if text}


def _said(ruling: Ruling, policy: Policy | None) -> Iterator[tuple[str, str]]:
    yield "what", ruling.sentence
    yield "policy", _policy(ruling, policy)
    yield "held", _held(ruling)
    yield "mode", _mode(ruling)
    yield "money", _money(ruling.cost)
    yield "before", _before(ruling)
    yield "expires", _expires(ruling)
    yield "ended", _ended(ruling)


def _policy(ruling: Ruling, told: Policy | None) -> str:
    own = ruling.policy
    if own is None or own.action in (None, ruling.action):
        return "" if own in (None, told) else str(own)
    became = f"it became {ruling.action.value}, which is what could be done, or what other episodes asked as well"
    return f"{own}; {became}"


def _held(ruling: Ruling) -> str:
    if ruling.because is None:
        return ""
    return ruling.because if ruling.decided_by is None else f"{ruling.because}: {_given(ruling.decided_by)}"


def _mode(ruling: Ruling) -> str:
    """What a safety stage held is published in mode `shadow`, whatever the endpoint's mode is."""
    now = ruling.mode_now
    if ruling.held_by_safety or now.value == ruling.mode:
        return _given(now)
    return f"{ruling.mode.value}; the configuration now says {_given(now)}"


def _given(setting: Setting) -> str:
    """`mode: auto (tidegate.yaml:3)`."""
    value = "" if isinstance(setting.value, list) else f": {setting.value}"
    return f"{setting.key}{value} ({setting.origin})"


def _money(cost: Cost) -> str:
    amounts = {
        "saves {} per hour": cost.saves_usd_per_hour,
        "at a rate of {} per hour": cost.rate_usd_per_hour,
        "spent {}": cost.spend_usd,
        "allowed {}": cost.budget_usd,
    }
    return ", ".join(text.format(usd(amount)) for text, amount in amounts.items() if amount is not None)


def _before(ruling: Ruling) -> str:
    if ruling.restores is None:
        return ""
    how = "takes off" if ruling.action is Action.RESTORE else "takes the place of"
    return f"it {how} command {short(ruling.restores)}"


def _expires(ruling: Ruling) -> str:
    if ruling.expires_at is None or not ruling.in_force:
        return ""
    return f"{ruling.expires_at} unless it is renewed, {_given(ruling.expires_after)}"


def _ended(ruling: Ruling) -> str:
    if ruling.held_by_safety:
        return "it was never in force; tried again at each update of the episode"
    if not ruling.in_force:
        return ""
    if ruling.ended is None:
        return "not as far as was read: the end of the episode restores it, or its expiry"
    how = "restored" if ruling.ended.action is Action.RESTORE else f"{_A[ruling.ended.action]} took its place"
    return f"{ruling.ended.at}, {how}: command {short(ruling.ended.id)}, {ruling.ended.reason}"
