"""What came of an order: the first record that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from actions.wording import HELD_BECAUSE, what_to_do
from schemas.orders import Order, Verb
from schemas.outputs import Action, Alert, Command, Held, Result, State
from schemas.topics import ALERTS
from schemas.unreadable import UNREADABLE
from streams.narration import short
from streams.operate.reading import News


class Answer(NamedTuple):
    """What came of it, and whether that is what was wanted."""

    was_done: bool
    text: str


class Question(NamedTuple):
    """An order, and the command that it is about as it was when it was given."""

    order: Order
    command: Command | None = None


def answer(question: Question, news: News) -> Answer | None:
    """What a record says about the order; None: nothing."""
    if isinstance(news.said, Result) and _refuses(news.said, question.order):
        return Answer(was_done=False, text=f"refused ({news.said.refusal}): {news.said.reason}")
    return _ANSWERS[question.order.verb](question, news)


def _refuses(result: Result, order: Order) -> bool:
    """The reason of a refusal begins with the verb and the id of what is refused."""
    return result.refusal is not None and result.by == (order.who,) and short(order.id) in result.reason


def _of_approval(question: Question, news: News) -> Answer | None:
    order, said = question.order, news.said
    if isinstance(said, Command) and said.proposal == order.command_id:
        return Answer(was_done=True, text=f"approved by {_names(said.approved_by)}: {_deed(said)}")
    if not isinstance(said, Result) or said.command_id != order.command_id:
        return None
    if said.state is State.AWAITING_APPROVAL and order.who in said.by:
        return Answer(was_done=True, text=f"approved, {len(said.by)} of {_needed(question)} ({', '.join(said.by)})")
    if said.state in {State.HELD, State.REJECTED, State.EXPIRED}:
        return Answer(was_done=False, text=f"{said.state} all the same: {_because(said.reason)}")
    return None


def _of_rejection(question: Question, news: News) -> Answer | None:
    order, said = question.order, news.said
    if not isinstance(said, Result) or said.command_id != order.command_id or said.state is not State.REJECTED:
        return None
    is_own = order.who in said.by
    return Answer(was_done=is_own, text=f"rejected by {_names(said.by)}: {said.reason}")


def _of_rollback(question: Question, news: News) -> Answer | None:
    said, command = news.said, question.command
    if command is None or not isinstance(said, Command) or said.endpoint != command.endpoint:
        return None
    if said.action is not Action.RESTORE or said.held is not None:
        return None
    return Answer(was_done=True, text=f"rolled back: {_deed(said)}")


def _of_the_kill_switch(question: Question, news: News) -> Answer | None:
    if news.topic != ALERTS:
        return None
    try:
        alert = msgspec.json.decode(news.value, type=Alert)
    except UNREADABLE:
        return None
    wanted = "firing" if question.order.verb is Verb.PAUSE else "resolved"
    is_about_it = alert.rule == "kill_switch" and alert.status == wanted
    return Answer(was_done=True, text=alert.summary) if is_about_it else None


def _at_once(question: Question, news: News) -> Answer | None:
    """Whoever delivers alerts reads it from the topic, and answers nobody."""
    is_it = isinstance(news.said, Order) and news.said.id == question.order.id
    return Answer(was_done=True, text="written") if is_it else None


def _deed(command: Command) -> str:
    by = "no executor takes it" if command.executor is None else f"{command.executor} carries it out"
    return f"{what_to_do(command.action, command.endpoint, command.parameters)} ({short(command.id)}); {by}"


def _needed(question: Question) -> int:
    approval = None if question.command is None else question.command.approval
    return 1 if approval is None else approval.persons


def _names(persons: tuple[str, ...]) -> str:
    return " and ".join(persons) or "nobody"


def _because(reason: str) -> str:
    """A safety stage's word for it, or what somebody wrote."""
    return HELD_BECAUSE[Held(reason)] if reason in set(Held) else reason


_ANSWERS: Final[Mapping[Verb, Callable[[Question, News], Answer | None]]] = {
    Verb.APPROVE: _of_approval,
    Verb.REJECT: _of_rejection,
    Verb.ROLLBACK: _of_rollback,
    Verb.PAUSE: _of_the_kill_switch,
    Verb.RESUME: _of_the_kill_switch,
    Verb.SILENCE: _at_once,
    Verb.UNSILENCE: _at_once,
}
