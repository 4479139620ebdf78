"""A command's ruling as pairs of a name and what a person reads beside it."""

from __future__ import annotations

from collections.abc import Iterator

from actions.wording import usd
from schemas.outputs import Action, Cost
from streams.explain.decision import Ruling
from streams.explain.settings import Setting
from streams.narration import short


def ruled(ruling: Ruling) -> dict[str, str]:
    """What there is to say of it, in the order in which it is asked."""
    return {name: text for name, text in _said(ruling) if text}


def _said(ruling: Ruling) -> Iterator[tuple[str, str]]:
    yield "what", ruling.sentence
    yield "held", _held(ruling)
    yield "mode", f"{ruling.mode.value}; now {_given(ruling.mode_now)}"
    yield "money", _money(ruling.cost)
    yield "expires", _expires(ruling)
    yield "ended", _ended(ruling)


def _held(ruling: Ruling) -> str:
    if ruling.held is None or ruling.because is None:
        return ""
    by = "" if ruling.decided_by is None else f": {_given(ruling.decided_by)}"
    return f"{ruling.held.value}, {ruling.because}{by}"


def _given(setting: Setting) -> str:
    """`mode auto (tidegate.yaml:3)`."""
    value = setting.value if isinstance(setting.value, str | int | float) else "as listed"
    return f"{setting.key} {value} ({setting.origin})"


def _money(cost: Cost) -> str:
    amounts = {
        "saves {} per hour": cost.saves_usd_per_hour,
        "it costs {} per hour": cost.rate_usd_per_hour,
        "spent {}": cost.spend_usd,
        "of {}": cost.budget_usd,
    }
    return ", ".join(text.format(usd(amount)) for text, amount in amounts.items() if amount is not None)


def _expires(ruling: Ruling) -> str:
    if ruling.expires_at is None or not ruling.in_force:
        return ""
    return f"{ruling.expires_at} unless it is renewed; {_given(ruling.expires_after)} after it was issued"


def _ended(ruling: Ruling) -> str:
    if not ruling.in_force:
        return "" if ruling.held is None else "it was never in force; tried again at each update of the episode"
    if ruling.ended is None:
        return "not yet, as far as was read: the end of the episode restores it, or its expiry"
    how = "restored" if ruling.ended.action is Action.RESTORE else f"a new {ruling.ended.action.value} took its place"
    return f"{ruling.ended.at}, {how} by command {short(ruling.ended.id)} ({ruling.ended.reason})"
