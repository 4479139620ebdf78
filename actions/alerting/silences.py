"""Silences, from the orders of operators: what matches one is not told while it lasts.

An order counts if its id is that of its content and, where the configuration names `operators`, if its signature is
theirs. An order that lies in the log twice counts once, also after it was taken back.

The log is heard anew at each start, and operators come, go and change their keys. What was heard once stays heard: else
a silence that somebody has taken back would be in force again once that person has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from actions.alerting.matchers import BadMatcher, Matcher, match_all, parse_all
from schemas.config import Operator
from schemas.orders import Order, Verb, seal
from schemas.outputs import Id, Refusal
from schemas.signatures import BadKey, PublicKey, refused
from schemas.units import from_rfc3339


class Silence(NamedTuple):
    """An order that is heard; `until_us` None: until it is taken back."""

    order: Order
    matchers: tuple[Matcher, ...]
    until_us: int | None

    def is_over(self, now_us: int) -> bool:
        return self.until_us is not None and self.until_us <= now_us


class Silences:
    """Those that last. Feed it the orders in their log's order."""

    def __init__(self, operators: Mapping[str, Operator]) -> None:
        self._is_open, self._keys = not operators, _keys(operators)
        self._silences: dict[Id, Silence] = {}
        self._taken_back: set[Id] = set()
        self._heard: set[Id] = set()  # signed, by the keys of their time
        self._changed: set[Id] = set()

    def hear(self, order: Order, now_us: int) -> Refusal | None:
        """Take an order; why it does not count. Of other verbs nothing is said."""
        self._forget_over(now_us)
        if order.verb not in {Verb.SILENCE, Verb.UNSILENCE}:
            return None
        why_not = self._refused(order)
        if why_not is None and order.verb is Verb.UNSILENCE:
            why_not = self._take_back(order)
        elif why_not is None and order.id not in self._taken_back:
            why_not = self._add(order, now_us)
        has_effect = order.verb is Verb.UNSILENCE or order.id in self._silences
        if why_not is None and has_effect and not self._is_open:
            self._heard.add(order.id)
            self._changed.add(order.id)
        return why_not

    def trust(self, order_id: Id) -> None:
        """An order of this id, which is a hash of all that it says, was heard before."""
        self._heard.add(order_id)

    def changed(self) -> Iterator[tuple[Id, bool]]:
        """The orders of which it changed whether they are to be remembered, and whether they are."""
        changed, self._changed = self._changed, set()
        yield from ((order_id, order_id in self._heard) for order_id in sorted(changed))

    def mark_all(self) -> None:
        """Let `changed` name every order that is remembered."""
        self._changed.update(self._heard)

    def is_silenced(self, labels: Mapping[str, str], now_us: int) -> bool:
        lasting = (one for one in self._silences.values() if not one.is_over(now_us))
        return any(match_all(one.matchers, labels) for one in lasting)

    def _refused(self, order: Order) -> Refusal | None:
        if seal(order).id != order.id:
            return Refusal.UNREADABLE
        if self._is_open or order.id in self._heard:
            return None
        if order.who not in self._keys:
            return Refusal.NOT_ALLOWED
        return refused(order, [self._keys[order.who]])

    def _add(self, order: Order, now_us: int) -> Refusal | None:
        try:
            matchers = parse_all(order.matchers)
            until_us = None if order.until is None else from_rfc3339(order.until)
        except (BadMatcher, ValueError):
            return Refusal.UNREADABLE
        if not matchers:  # it would silence everything, which nobody means
            return Refusal.UNREADABLE
        silence = Silence(order, matchers, until_us)
        if not silence.is_over(now_us):
            self._silences[order.id] = silence
        return None

    def _forget_over(self, now_us: int) -> None:
        over = [id_ for id_, one in self._silences.items() if one.is_over(now_us)]
        for id_ in over:
            del self._silences[id_]
        self._heard.difference_update(over)
        self._changed.update(over)

    def _take_back(self, order: Order) -> Refusal | None:
        if order.silence_id is None:
            return Refusal.UNREADABLE
        self._taken_back.add(order.silence_id)
        self._silences.pop(order.silence_id, None)
        return None


def _keys(operators: Mapping[str, Operator]) -> dict[str, PublicKey]:
    """Of those whose key can be read: of others `tidegate check` tells, and nobody's word counts by them."""
    found: dict[str, PublicKey] = {}
    for name, operator in operators.items():
        try:
            found[name] = PublicKey.parse(operator.public_key)
        except BadKey:
            continue
    return found
